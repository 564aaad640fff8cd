//! Check, submit, verify, and the list of results.

use crate::Cx;
use crate::exit;
use crate::out::{Cell, Ink, Out, cell, points, span};
use forge_core::api::{
    CheckReport, CheckRun, Empty, OutcomeKind, Reexecute, Reexecuted, RunRequest, VerifyReport, VerifyRequest,
};
use forge_core::error::{Code, Result};
use std::path::Path;
use std::process::ExitCode;

pub async fn check(cx: &Cx, run: String, criteria: Vec<String>, gentle: bool, require_full: bool) -> Result<ExitCode> {
    let report = cx.engine.check_run(&cx.caller, CheckRun { run, criteria, gentle }).await?;
    cx.out.answer(&report, check_words)?;
    let short = require_full && report.score < report.max;
    Ok(if short { ExitCode::from(exit::FAILED) } else { ExitCode::SUCCESS })
}

pub fn check_words(out: &Out, report: &CheckReport) -> Result<()> {
    for c in &report.criteria {
        let (mark, ink) = match c.outcome {
            OutcomeKind::Pass => ("✓", Ink::Good),
            OutcomeKind::Fail => ("✗", Ink::Bad),
            OutcomeKind::Error => ("!", Ink::Warn),
            OutcomeKind::NotChecked => ("·", Ink::Dim),
        };
        let got = format!("{}/{}", points(c.points), points(c.max));
        out.line(format!(
            "{} {}  {}",
            out.ink(ink, mark),
            c.title,
            out.ink(Ink::Dim, &format!("{got} · {} · {}", c.id, span(c.ms)))
        ))?;
        if matches!(c.outcome, OutcomeKind::Fail | OutcomeKind::Error) {
            out.line(format!("    expected  {}\n    seen      {}", c.expected, c.seen))?;
            if !c.advice.is_empty() {
                out.line(format!("    {} {}", out.ink(Ink::Ember, "→"), c.advice))?;
            }
        }
    }
    out.line(format!("\nScore {} of {}", out.ink(Ink::Bold, &points(report.score)), points(report.max)))
}

pub async fn submit(cx: &Cx, run: String) -> Result<()> {
    let report = cx.engine.submit_run(&cx.caller, RunRequest { run }).await?;
    cx.out.answer(&report, |out, r| {
        out.line(format!(
            "Score {} of {}, signed with key {}.",
            out.ink(Ink::Bold, &points(r.score)),
            points(r.max),
            r.key_id
        ))?;
        out.line(&r.dir)?;
        out.line(format!("Verify it with `forge verify {}`.", r.dir))
    })
}

pub async fn results(cx: &Cx) -> Result<()> {
    let results = cx.engine.list_results(&cx.caller, Empty {}).await?;
    cx.out.answer(&results, |out, results| {
        if results.is_empty() {
            return out.line("Nothing was submitted yet.");
        }
        let rows: Vec<Vec<Cell>> = results
            .iter()
            .map(|r| {
                let short: String = r.id.chars().take(12).collect();
                vec![
                    (short, Ink::Bold),
                    cell(&r.lab),
                    cell(format!("{}/{}", points(r.score), points(r.max))),
                    cell(span(r.duration_ms)),
                    cell(super::start::word(&r.established.unwrap_or(r.tier))),
                    cell(&r.dir),
                ]
            })
            .collect();
        out.table(&["VERDICT", "LAB", "SCORE", "TIME", "TRUST", "FOLDER"], &rows)
    })
}

pub async fn verify(cx: &Cx, dir: &Path, regrade: bool) -> Result<ExitCode> {
    // The engine's working directory is its own business: it gets a path that means the same everywhere.
    let dir = std::path::absolute(dir)?.to_string_lossy().into_owned();
    let report = cx.engine.verify_result(&cx.caller, VerifyRequest { dir, regrade }).await?;
    cx.out.answer(&report, verify_words)?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::from(exit::of(Code::VerdictInvalid)) })
}

/// Fails when a criterion came out otherwise than submitted.
pub async fn reexecute(cx: &Cx, verdict: String, report: bool) -> Result<ExitCode> {
    let folder = Path::new(&verdict);
    let verdict = if folder.is_dir() { std::path::absolute(folder)?.to_string_lossy().into_owned() } else { verdict };
    let done = cx.engine.reexecute(&cx.caller, Reexecute { verdict, report }).await?;
    cx.out.answer(&done, |out, r: &Reexecuted| {
        let word = |o| super::start::word(&o);
        let rows: Vec<Vec<Cell>> = r
            .criteria
            .iter()
            .map(|c| {
                let ink = if c.submitted == c.reexecuted { Ink::Good } else { Ink::Bad };
                vec![cell(&c.id), cell(word(c.submitted)), (word(c.reexecuted), ink), cell(&c.seen)]
            })
            .collect();
        out.table(&["CRITERION", "SUBMITTED", "AGAIN", "SEEN"], &rows)?;
        let tier = super::start::word(&r.tier);
        let told = if r.reported { " The scoreboard was told." } else { "" };
        out.line(format!("\n{} of {} under seed {}: {tier}.{told}", points(r.score), points(r.max), r.seed))
    })?;
    Ok(if done.agrees { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}

pub fn verify_words(out: &Out, report: &VerifyReport) -> Result<()> {
    for c in &report.checks {
        let (mark, ink) = if c.ok { ("✓", Ink::Good) } else { ("✗", Ink::Bad) };
        out.line(format!("{} {}  {}", out.ink(ink, mark), c.name, out.ink(Ink::Dim, &c.detail)))?;
    }
    if report.ok {
        let tier = report.tier.map(|t| super::start::word(&t)).unwrap_or_default();
        return out.line(format!("\nThe verdict holds: {} · key {} · {tier}", report.verdict_id, report.key_id));
    }
    let wrong = report.checks.iter().find(|c| !c.ok).map_or("nothing could be checked", |c| c.name.as_str());
    out.line(format!("\n{} {wrong}", out.ink(Ink::Bad, "The verdict does not hold:")))
}
