//! Class sessions: make, join, look.

use crate::Cx;
use crate::args::SessionCommand;
use crate::out::{Ink, Out, cell};
use forge_core::api::{CreateSession, JoinSession, SessionInfo, SessionRequest, SessionState};
use forge_core::error::Result;
use serde_json::Value;

pub async fn run(cx: &Cx, what: SessionCommand) -> Result<()> {
    match what {
        SessionCommand::Create { title, lab: labs, minutes, shared_seed, hints, attempts } => {
            let request = CreateSession { title, labs, shared_seed, minutes, hints, attempts };
            let session = cx.engine.create_session(&cx.caller, request).await?;
            cx.out.answer(&session, |out, s| {
                head(out, s)?;
                out.line(format!("Learners join with: forge session join {}", s.join_code.as_deref().unwrap_or("?")))
            })
        }
        SessionCommand::Join { code } => {
            let session = cx.engine.join_session(&cx.caller, JoinSession { code }).await?;
            cx.out.answer(&session, |out, s| {
                head(out, s)?;
                s.labs.iter().try_for_each(|lab| out.line(format!("forge start {lab} --session {}", s.id)))
            })
        }
        SessionCommand::Status { session } => {
            let state = cx.engine.session_status(&cx.caller, SessionRequest { session }).await?;
            cx.out.answer(&state, status)
        }
    }
}

fn head(out: &Out, s: &SessionInfo) -> Result<()> {
    let hints = if s.hints { "hints allowed" } else { "no hints" };
    let frozen = if s.frozen { ", frozen" } else { "" };
    out.line(format!("{} in {} ({}), {hints}{frozen}", out.ink(Ink::Bold, &s.title), s.class, s.id))
}

fn status(out: &Out, state: &SessionState) -> Result<()> {
    head(out, &state.session)?;
    let list = |name: &str| state.board.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |v: &Value, name: &str| match v.get(name) {
        Some(Value::String(s)) => s.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let rows: Vec<_> = list("rows")
        .iter()
        .map(|row| {
            let at = row.get("progress").cloned().unwrap_or_default();
            let results = row.get("results").and_then(Value::as_array).cloned().unwrap_or_default();
            let best = results.iter().map(|r| format!("{} {}/{}", text(r, "lab"), text(r, "score"), text(r, "max")));
            let best = best.collect::<Vec<_>>().join(", ");
            vec![cell(text(row, "name")), cell(text(&at, "lab")), cell(text(&at, "state")), cell(best)]
        })
        .collect();
    if !rows.is_empty() {
        out.table(&["LEARNER", "LAB", "STATE", "RESULTS (MILLI-POINTS)"], &rows)?;
    }
    for red in list("red") {
        out.line(format!("{} is red for {}: {}", text(&red, "criterion"), text(&red, "learners"), text(&red, "lab")))?;
    }
    Ok(())
}
