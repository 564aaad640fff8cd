//! Isolation: the quick look, or all techniques with their controls; what holds, by group.

use crate::Cx;
use crate::exit;
use crate::out::{Cell, Ink, Out, cell, span};
use crate::signal;
use forge_core::api::{Empty, IsolationRow, JobInfo, JobRequest, ProbeIsolation, StepState};
use forge_core::error::Result;
use std::collections::HashSet;
use std::process::ExitCode;
use std::time::Duration;

const POLL: Duration = Duration::from_millis(150);

/// Fails when something escaped or a control did not work. Ctrl-C ends a full proof, which removes what it made first.
pub async fn isolation(cx: &Cx, run: String, full: bool) -> Result<ExitCode> {
    let work = cx.engine.probe_isolation(&cx.caller, ProbeIsolation { run, full });
    tokio::pin!(work);
    let asked = signal::asked_to_end();
    tokio::pin!(asked);
    let mut told = HashSet::new();
    let mut ending = false;
    let rows = loop {
        tokio::select! {
            rows = &mut work => break rows?,
            () = &mut asked, if !ending => ending = true,
            () = tokio::time::sleep(POLL) => {}
        }
        for job in cx.engine.list_jobs(&cx.caller, Empty {}).await?.iter().filter(|j| j.kind == "isolation") {
            if ending && !job.done {
                cx.engine.cancel_job(&cx.caller, JobRequest { job: job.job.clone() }).await?;
            }
            tell(cx, &mut told, job);
        }
    };
    cx.out.answer(&rows, |out, rows| words(out, rows))?;
    let holds = !rows.is_empty() && rows.iter().all(IsolationRow::holds);
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}

fn tell(cx: &Cx, told: &mut HashSet<String>, job: &JobInfo) {
    for step in job.steps.iter().filter(|s| s.state != StepState::Running) {
        if told.insert(format!("{} {}", job.job, step.name)) {
            let (mark, ink) = if step.state == StepState::Done { ("✓", Ink::Good) } else { ("✗", Ink::Bad) };
            cx.out.progress(ink, format!("  {mark} {:<10} {:>9}", step.name, span(step.ms)).trim_end());
        }
    }
}

fn words(out: &Out, rows: &[IsolationRow]) -> Result<()> {
    let mut groups: Vec<&str> = rows.iter().map(|r| r.group.as_str()).collect();
    groups.dedup();
    for group in groups {
        out.line(format!("\n{}", out.ink(Ink::Bold, group)))?;
        let table: Vec<Vec<Cell>> = rows
            .iter()
            .filter(|r| r.group == group)
            .map(|r| {
                let control = if r.control { ("works", Ink::Good) } else { ("broken", Ink::Warn) };
                let outcome = match (r.escaped, r.control) {
                    (true, _) => ("ESCAPED", Ink::Bad),
                    (false, true) => ("blocked", Ink::Good),
                    (false, false) => ("unproven", Ink::Warn),
                };
                let (control, outcome) = ((control.0.to_owned(), control.1), (outcome.0.to_owned(), outcome.1));
                vec![cell(&r.technique), control, outcome, (r.detail.clone(), Ink::Dim)]
            })
            .collect();
        out.table(&["TECHNIQUE", "CONTROL", "FROM THE LAB", "SEEN"], &table)?;
    }
    let (controls, escaped) = (rows.iter().filter(|r| r.control).count(), rows.iter().filter(|r| r.escaped).count());
    out.line(format!("\n{} tried, {controls} controls worked, {escaped} escaped.", rows.len()))
}
