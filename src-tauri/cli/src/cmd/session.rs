//! Class sessions: make, join, look, speak, freeze, export.

use super::start::word;
use super::sync::warn_of_clock;
use crate::Cx;
use crate::args::SessionCommand;
use crate::out::{Cell, Ink, Out, cell};
use forge_core::api::{
    CreateSession, Empty, ExportSession, FreezeSession, JoinSession, LiveBoard, SayToSession, SessionExport,
    SessionInfo, SessionRequest, SessionState, WatchBoard,
};
use forge_core::error::Result;
use serde_json::Value;
use std::path::PathBuf;

pub async fn run(cx: &Cx, what: SessionCommand) -> Result<()> {
    match what {
        SessionCommand::Create { title, lab: labs, minutes, shared_seed, hints, attempts } => {
            let request = CreateSession { title, labs, shared_seed, minutes, hints, attempts };
            let session = cx.engine.create_session(&cx.caller, request).await?;
            warn_of_clock(cx).await?;
            cx.out.answer(&session, |out, s| {
                head(out, s)?;
                out.line(format!("Learners join with: forge session join {}", s.join_code.as_deref().unwrap_or("?")))
            })
        }
        SessionCommand::Join { code } => {
            let session = cx.engine.join_session(&cx.caller, JoinSession { code }).await?;
            warn_of_clock(cx).await?;
            cx.out.answer(&session, |out, s| {
                head(out, s)?;
                s.labs.iter().try_for_each(|lab| out.line(format!("forge start {lab} --session {}", s.id)))
            })
        }
        SessionCommand::Status { session } => {
            let state = cx.engine.session_status(&cx.caller, SessionRequest { session }).await?;
            cx.out.answer(&state, status)
        }
        SessionCommand::List => {
            let list = cx.engine.list_sessions(&cx.caller, Empty {}).await?;
            cx.out.answer(&list, |out, list| {
                if let Some(e) = &list.trouble {
                    out.line(out.ink(Ink::Warn, &format!("As it was known before. {}", e.message)))?;
                }
                if list.sessions.is_empty() {
                    return out.line(
                        "No session yet. Make one with `forge session create`, or join one with `forge session join`.",
                    );
                }
                let rows: Vec<_> = list
                    .sessions
                    .iter()
                    .map(|s| {
                        let code = s.join_code.clone().unwrap_or_default();
                        vec![cell(&s.id), cell(&s.title), standing(s), cell(s.labs.join(", ")), cell(code)]
                    })
                    .collect();
                out.table(&["SESSION", "TITLE", "STATE", "LABS", "JOIN CODE"], &rows)
            })
        }
        SessionCommand::Board { session } => {
            let board = cx.engine.session_board(&cx.caller, WatchBoard { session, seen: None }).await?;
            cx.out.answer(&board, board_words)
        }
        SessionCommand::Say { session, text, learner } => {
            let said = cx.engine.say_session(&cx.caller, SayToSession { session, text, learner }).await?;
            cx.out.answer(&said, |out, m| out.line(format!("Sent to {}.", m.learner.as_deref().unwrap_or("everybody"))))
        }
        SessionCommand::Freeze { session } => freeze(cx, session, true).await,
        SessionCommand::Unfreeze { session } => freeze(cx, session, false).await,
        SessionCommand::Export { session, csv, report } => {
            let kind = if csv.is_some() { SessionExport::Csv } else { SessionExport::Report };
            let path = csv.or(report).map(absolute).transpose()?;
            let done = cx.engine.export_session(&cx.caller, ExportSession { session, kind, path }).await?;
            cx.out.answer(&done, |out, d| out.line(&d.path))
        }
    }
}

fn absolute(path: PathBuf) -> Result<String> {
    Ok(std::path::absolute(path)?.display().to_string())
}

async fn freeze(cx: &Cx, session: String, frozen: bool) -> Result<()> {
    let session = cx.engine.freeze_session(&cx.caller, FreezeSession { session, frozen }).await?;
    cx.out.answer(&session, head)
}

fn standing(s: &SessionInfo) -> Cell {
    if s.frozen {
        ("frozen".into(), Ink::Warn)
    } else if s.remaining_ms <= 0 {
        ("over".into(), Ink::Dim)
    } else {
        (format!("{} min left", (s.remaining_ms + 59_999) / 60_000), Ink::Good)
    }
}

fn board_words(out: &Out, board: &LiveBoard) -> Result<()> {
    head(out, &board.session)?;
    let rows: Vec<_> = board
        .rows
        .iter()
        .map(|r| {
            let labs = r.labs.iter().map(|c| format!("{} {}/{}", word(&c.state), points(c.score), points(c.max)));
            let quiet = if r.quiet { "quiet" } else { "" };
            vec![
                cell(plain(&r.name)),
                cell(points(r.points)),
                cell(points(r.verified)),
                cell(labs.collect::<Vec<_>>().join(", ")),
                (quiet.into(), Ink::Warn),
            ]
        })
        .collect();
    if rows.is_empty() {
        out.line("Nobody has joined yet.")?;
    } else {
        out.table(&["LEARNER", "POINTS", "VERIFIED", "LABS", ""], &rows)?;
    }
    for red in &board.red {
        out.line(format!("Red for {} of {}: {} ({})", red.learners, red.of, plain(&red.title), plain(&red.lab)))?;
    }
    board.questions.iter().try_for_each(|q| out.line(format!("? {}", plain(q))))
}

/// Others chose these words (learners their names, a scoreboard its class): no word of theirs moves the terminal's cursor.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn points(milli: u64) -> String {
    (milli as f64 / 1000.0).to_string()
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
