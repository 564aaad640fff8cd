//! `forge start`: tells the steps while they happen; being interrupted gives the start up and leaves nothing.

use crate::Cx;
use crate::out::{Ink, cell, span};
use crate::signal;
use forge_core::api::{Event, RunDetail, RunRequest, StartLab, Step, StepState};
use forge_core::error::{Error, Result};
use futures_util::StreamExt;
use std::collections::HashSet;
use std::time::Duration;

/// Longer than any lab takes whose images are there; images that must be built first are told by the start's own error.
const LIMIT: Duration = Duration::from_secs(300);

/// # Errors
/// What the start failed with; `Cancelled` when this process was asked to end before it was ready.
pub async fn start(cx: &Cx, lab: String, request_id: Option<String>, seed: Option<String>) -> Result<RunDetail> {
    // From here on the default action of a signal must not end us half-way.
    let asked = signal::asked_to_end();
    tokio::pin!(asked);
    let admitted = cx.engine.start_lab(&cx.caller, StartLab { lab, request_id, seed });
    tokio::pin!(admitted);
    let (run, given_up) = tokio::select! {
        run = &mut admitted => (run?, false),
        () = &mut asked => (admitted.await?, true),
    };
    let run = run.run;
    if given_up {
        return Err(give_up(cx, &run).await);
    }
    let mut told = HashSet::new();
    let mut events = cx.engine.events(Some(run.clone()), 0);
    let ready = cx.engine.wait_ready(&run, LIMIT);
    tokio::pin!(ready);
    let detail = loop {
        tokio::select! {
            biased;
            () = &mut asked => return Err(give_up(cx, &run).await),
            Some(event) = events.next() => if let Some(step) = step_of(&event) { tell(cx, &mut told, &step) },
            detail = &mut ready => break detail?,
        }
    };
    detail.steps.iter().for_each(|step| tell(cx, &mut told, step));
    Ok(detail)
}

/// Cancellation outranks every other outcome; only not being able to clean up is worse, and is said.
async fn give_up(cx: &Cx, run: &str) -> Error {
    cx.out.progress(Ink::Warn, "Giving up and cleaning up…");
    match cx.engine.stop_run(&cx.caller, RunRequest { run: run.to_owned() }).await {
        Ok(_) => Error::cancelled(),
        Err(e) => {
            let mut cancelled = Error::cancelled();
            cancelled.message = format!("Cancelled as asked, but cleaning up did not finish: {}", e.message);
            cancelled.hint(format!("Run `forge stop {run}`; the next start of any forge process sweeps it as well."))
        }
    }
}

fn step_of(event: &Event) -> Option<Step> {
    if event.kind != "run.step" {
        return None;
    }
    let data = event.data.get("step").unwrap_or(&event.data);
    serde_json::from_value(data.clone()).ok()
}

fn tell(cx: &Cx, told: &mut HashSet<String>, step: &Step) {
    let (mark, ink) = match step.state {
        StepState::Running => return,
        StepState::Done => ("✓", Ink::Good),
        StepState::Failed => ("✗", Ink::Bad),
        StepState::Skipped => ("–", Ink::Dim),
    };
    if told.insert(step.name.clone()) {
        cx.out.progress(ink, format!("  {mark} {:<10} {:>9}  {}", step.name, span(step.ms), step.detail).trim_end());
    }
}

/// What `forge start --json` prints.
pub fn document(detail: &RunDetail) -> serde_json::Value {
    let nodes: Vec<_> = detail
        .nodes
        .iter()
        .map(|n| serde_json::json!({"name": n.name, "role": n.role, "container": n.container, "enter": n.enter}))
        .collect();
    serde_json::json!({
        "run": detail.run.run, "lab": detail.run.lab, "seed": detail.run.seed, "request_id": detail.run.request_id,
        "nodes": nodes, "ready_ms": detail.run.ready_ms, "steps": detail.steps,
    })
}

/// # Errors
/// As [`start`]; `Io` when the answer cannot be written.
pub async fn told(cx: &Cx, lab: String, request_id: Option<String>, seed: Option<String>) -> Result<()> {
    let detail = start(cx, lab, request_id, seed).await?;
    cx.out.answer(&document(&detail), |out, _| {
        let ready = detail.run.ready_ms.map(|ms| format!(" in {}", span(ms))).unwrap_or_default();
        out.line(format!(
            "{} is ready{ready}: run {}, seed {}\n",
            detail.run.lab_title,
            out.ink(Ink::Bold, &detail.run.run),
            detail.run.seed
        ))?;
        let rows: Vec<_> = detail
            .nodes
            .iter()
            .map(|n| {
                let addresses: Vec<_> = n
                    .interfaces
                    .iter()
                    .flat_map(|i| i.addresses.iter().map(move |a| format!("{} {a}", i.name)))
                    .collect();
                let enter = if n.enter {
                    cell(format!("forge enter {} {}", detail.run.run, n.name))
                } else {
                    (String::from("–"), Ink::Dim)
                };
                vec![cell(&n.name), cell(word(&n.role)), enter, cell(addresses.join(", "))]
            })
            .collect();
        out.table(&["NODE", "ROLE", "TERMINAL", "ADDRESSES"], &rows)?;
        out.line(format!("\n`forge guide {0}` says what to do, `forge check {0}` how far you are.", detail.run.run))
    })
}

/// The word an enum of the contract is written with.
pub fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}
