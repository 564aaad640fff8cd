//! Having verdicts executed again: asking a scoreboard for it, and working for one.

use super::start::word;
use crate::Cx;
use crate::exit;
use crate::out::{Ink, Out, cell, span};
use forge_core::api::{AskReexecution, Empty, ReexecutionJob, ReexecutionState};
use forge_core::board::GivenUp;
use forge_core::error::Result;
use forge_core::forge::{Ending, Worked};
use std::process::ExitCode;

pub async fn ask(cx: &Cx, verdict: String) -> Result<()> {
    let job = cx.engine.ask_reexecution(&cx.caller, AskReexecution { verdict }).await?;
    cx.out.answer(&job, |out, j| {
        let (said, ink) = standing(j);
        out.line(format!("{} {}: {}", out.ink(ink, &word(&j.state)), j.verdict, said))
    })
}

pub async fn jobs(cx: &Cx) -> Result<()> {
    let jobs = cx.engine.list_reexecutions(&cx.caller, Empty {}).await?;
    cx.out.answer(&jobs, |out, jobs| {
        if jobs.is_empty() {
            return out.line("Nothing was asked for yet: forge reexecute VERDICT --ask");
        }
        let row = |j: &ReexecutionJob| {
            let (said, ink) = standing(j);
            let short: String = j.verdict.chars().take(12).collect();
            vec![cell(short), cell(&j.lab), (word(&j.state), ink), cell(j.tries.to_string()), cell(said)]
        };
        let rows: Vec<_> = jobs.iter().map(row).collect();
        out.table(&["VERDICT", "LAB", "STATE", "TRIES", ""], &rows)
    })
}

fn standing(job: &ReexecutionJob) -> (String, Ink) {
    match (job.state, job.agrees) {
        (ReexecutionState::Queued, _) if job.why.is_empty() => ("a worker will take it".into(), Ink::Warn),
        (ReexecutionState::Queued, _) => (format!("waits for another try: {}", job.why), Ink::Warn),
        (ReexecutionState::Running, _) => ("a worker is at it".into(), Ink::Ember),
        (ReexecutionState::Done, Some(false)) => ("it came out otherwise than submitted".into(), Ink::Bad),
        (ReexecutionState::Done, _) => ("it came out as submitted".into(), Ink::Good),
        (ReexecutionState::Refused | ReexecutionState::Failed, _) => (job.why.clone(), Ink::Bad),
    }
}

/// A line for each thing that happens: in JSON on stdout, else as progress.
pub fn told(out: &Out, worked: &Worked) {
    let (ink, words) = match worked {
        Worked::Taken { verdict, lab } => (Ink::Plain, format!("{lab}: executing {verdict} again")),
        Worked::Ended { verdict, how, ms } => {
            let (ink, words) = outcome(how);
            (ink, format!("{verdict}: {words} ({})", span(*ms)))
        }
        Worked::Away(e) => (Ink::Warn, format!("No job can be asked for, trying again: {e}")),
    };
    out.progress(ink, words);
    if out.json
        && let Err(e) = out.document(&document(worked))
    {
        tracing::warn!("what a worker did could not be told: {e}");
    }
}

fn outcome(how: &Ending) -> (Ink, String) {
    match how {
        Ending::Done { agrees: true } => (Ink::Good, "it came out as submitted".into()),
        Ending::Done { agrees: false } => (Ink::Bad, "it came out otherwise than submitted".into()),
        Ending::GivenUp(GivenUp::Returned, _) => (Ink::Dim, "given back".into()),
        Ending::GivenUp(GivenUp::Again, e) => (Ink::Warn, format!("not now: {e}")),
        Ending::GivenUp(GivenUp::Refused | GivenUp::Failed, e) => (Ink::Bad, e.message.clone()),
        Ending::Lost => (Ink::Warn, "another worker has it by now".into()),
    }
}

fn document(worked: &Worked) -> serde_json::Value {
    match worked {
        Worked::Taken { verdict, lab } => serde_json::json!({"event": "taken", "verdict": verdict, "lab": lab}),
        Worked::Ended { verdict, how, ms } => {
            let (what, agrees, error) = match how {
                Ending::Done { agrees } => (serde_json::json!("done"), Some(*agrees), None),
                Ending::GivenUp(how, e) => (serde_json::json!(how), None, Some(e)),
                Ending::Lost => (serde_json::json!("lost"), None, None),
            };
            serde_json::json!({
                "event": "ended", "verdict": verdict, "how": what, "agrees": agrees, "error": error, "ms": ms,
            })
        }
        Worked::Away(e) => serde_json::json!({"event": "away", "error": e}),
    }
}

/// With `once`: fails when the job that was taken did not come to its end.
pub fn ended(out: &Out, last: Option<&Ending>, once: bool) -> Result<ExitCode> {
    match last {
        None if once && out.json => out.document(&serde_json::json!({"event": "idle"}))?,
        None if once => out.line("Nothing waits.")?,
        _ => {}
    }
    let short = once && last.is_some_and(|how| !matches!(how, Ending::Done { .. }));
    Ok(if short { ExitCode::from(exit::FAILED) } else { ExitCode::SUCCESS })
}
