//! Looking: doctor, labs, runs, events.

use super::start::word;
use crate::Cx;
use crate::exit;
use crate::out::{Cell, Ink, cell, points, span};
use crate::signal;
use forge_core::api::{Empty, Event, Fix, Health, LabOrigin, LabRequest, Level, ListEvents, ListRuns, RunState};
use forge_core::error::Result;
use futures_util::StreamExt;
use std::process::ExitCode;

pub async fn doctor(cx: &Cx) -> Result<ExitCode> {
    let report = cx.engine.doctor(&cx.caller, Empty {}).await?;
    cx.out.answer(&report, |out, r| {
        for row in &r.rows {
            let (mark, ink) = match row.state {
                Health::Ok => ("✓", Ink::Good),
                Health::Warn => ("!", Ink::Warn),
                Health::Fail => ("✗", Ink::Bad),
            };
            out.line(format!("{} {}  {}", out.ink(ink, mark), out.ink(Ink::Bold, &row.title), row.detail))?;
            if row.state != Health::Ok {
                out.line(format!("    {}", out.ink(Ink::Dim, &row.why)))?;
                match &row.fix {
                    Some(Fix::Shell { label, command }) => {
                        out.line(format!("    {} {label}: {command}", out.ink(Ink::Ember, "→")))?
                    }
                    Some(Fix::Call { label, command, .. }) if command == "prepare_images" => {
                        out.line(format!("    {} {label}: forge images prepare", out.ink(Ink::Ember, "→")))?;
                    }
                    Some(Fix::Call { label, .. }) => {
                        out.line(format!("    {} {label} (in the app)", out.ink(Ink::Ember, "→")))?
                    }
                    None => {}
                }
            }
        }
        out.line(if r.ready { "\nThis machine is ready." } else { "\nThis machine is not ready yet." })
    })?;
    Ok(if report.ready { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}

pub async fn labs(cx: &Cx) -> Result<()> {
    let labs = cx.engine.list_labs(&cx.caller, Empty {}).await?;
    cx.out.answer(&labs, |out, labs| {
        if labs.is_empty() {
            return out.line("No lab could be read here; `forge doctor` says what is wrong with each.");
        }
        let rows: Vec<Vec<Cell>> = labs
            .iter()
            .map(|lab| {
                let best = lab
                    .best
                    .as_ref()
                    .map_or_else(|| "–".to_owned(), |b| format!("{}/{}", points(b.score), points(b.max)));
                let state = match (&lab.active_run, lab.ready) {
                    (Some(run), _) => (format!("running ({run})"), Ink::Ember),
                    (None, true) => ("ready".to_owned(), Ink::Good),
                    (None, false) => (lab.blockers.first().cloned().unwrap_or_else(|| "not ready".into()), Ink::Warn),
                };
                vec![
                    (lab.id.clone(), Ink::Bold),
                    cell(match lab.origin {
                        LabOrigin::BuiltIn => "built-in",
                        LabOrigin::Yours => "yours",
                        LabOrigin::Folder => "draft",
                    }),
                    cell(&lab.track),
                    cell(&lab.tier),
                    cell(&lab.title),
                    cell(format!("{} min", lab.minutes)),
                    cell(lab.nodes.to_string()),
                    cell(best),
                    state,
                ]
            })
            .collect();
        out.table(&["LAB", "FROM", "TRACK", "TIER", "TITLE", "TIME", "NODES", "BEST", "STATE"], &rows)
    })
}

pub async fn lab(cx: &Cx, lab: String) -> Result<()> {
    let detail = cx.engine.get_lab(&cx.caller, LabRequest { lab }).await?;
    cx.out.answer(&detail, |out, d| {
        let lab = &d.lab;
        out.line(format!(
            "{}  {} {} · {} · {} min · version {}",
            out.ink(Ink::Bold, &lab.title),
            lab.track,
            lab.tier,
            lab.id,
            lab.minutes,
            lab.version
        ))?;
        out.line(format!("{}\n", lab.summary))?;
        for objective in &lab.objectives {
            out.line(format!("  {} {}  {}", objective.exam, objective.id, objective.text))?;
        }
        out.line("")?;
        let rows: Vec<_> =
            d.criteria.iter().map(|c| vec![cell(&c.id), cell(c.weight.to_string()), cell(&c.title)]).collect();
        out.table(&["CRITERION", "WEIGHT", "WHAT MUST HOLD"], &rows)?;
        out.line("")?;
        let rows: Vec<_> = d
            .requirements
            .iter()
            .map(|r| {
                vec![
                    if r.met { ("✓".into(), Ink::Good) } else { ("✗".into(), Ink::Bad) },
                    cell(&r.title),
                    cell(&r.detail),
                ]
            })
            .collect();
        out.table(&["", "REQUIRES", ""], &rows)?;
        out.line(format!("\nStart it with `forge start {}`; it takes about {:.1} s here.", lab.id, d.expected_seconds))
    })
}

pub async fn ps(cx: &Cx, all: bool) -> Result<()> {
    let runs = cx.engine.list_runs(&cx.caller, ListRuns { all }).await?;
    cx.out.answer(&runs, |out, runs| {
        if runs.is_empty() {
            return out.line("No lab is running. `forge labs` lists what you can start.");
        }
        let rows: Vec<Vec<Cell>> = runs
            .iter()
            .map(|r| {
                let ink = match r.state {
                    RunState::Ready => Ink::Good,
                    RunState::Starting | RunState::Stopping | RunState::Paused => Ink::Warn,
                    RunState::Failed => Ink::Bad,
                    RunState::Stopped => Ink::Dim,
                };
                let left = r.remaining_ms.and_then(|ms| u64::try_from(ms).ok()).map_or_else(|| "–".to_owned(), span);
                let score = r
                    .last_check
                    .as_ref()
                    .map_or_else(|| "–".to_owned(), |c| format!("{}/{}", points(c.score), points(c.max)));
                vec![
                    (r.run.clone(), Ink::Bold),
                    cell(&r.lab),
                    (word(&r.state), ink),
                    cell(r.nodes.to_string()),
                    cell(left),
                    cell(score),
                    cell(&r.seed),
                    cell(&r.reason),
                ]
            })
            .collect();
        out.table(&["RUN", "LAB", "STATE", "NODES", "LEFT", "SCORE", "SEED", "WHY"], &rows)
    })
}

pub async fn events(cx: &Cx, run: Option<String>, since: i64, follow: bool) -> Result<()> {
    if !follow {
        let events = cx.engine.list_events(&cx.caller, ListEvents { run, since, limit: Some(10_000) }).await?;
        return cx.out.answer(&events, |out, events| events.iter().try_for_each(|e| out.line(worded(out, e))));
    }
    let mut events = cx.engine.events(run, since);
    let asked = signal::asked_to_end();
    tokio::pin!(asked);
    loop {
        tokio::select! {
            () = &mut asked => return Ok(()),
            event = events.next() => match event {
                Some(event) if cx.out.json => cx.out.document(&event)?,
                Some(event) => cx.out.line(worded(&cx.out, &event))?,
                None => return Ok(()),
            },
        }
    }
}

fn worded(out: &crate::out::Out, e: &Event) -> String {
    let ink = match e.level {
        Level::Debug => Ink::Dim,
        Level::Info => Ink::Plain,
        Level::Warn => Ink::Warn,
        Level::Error => Ink::Bad,
    };
    let (seconds, millis) = (e.at.div_euclid(1000).rem_euclid(86_400), e.at.rem_euclid(1000));
    let clock = format!("{:02}:{:02}:{:02}.{millis:03}Z", seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!(
        "{}  {:<10}  {:<16}  {}",
        out.ink(Ink::Dim, &clock),
        e.run.as_deref().unwrap_or("–"),
        e.kind,
        out.ink(ink, &e.text)
    )
}
