//! The scoreboard's queue of verdicts that are to be executed again: asking for it, and what a worker says.

use super::enrol::{read, refused};
use super::session::answer;
use crate::board::{GiveUp, Job, Lease, LeaseRequest, RefusalCode, Renewal};
use crate::error::{Code, Error, Result};
use crate::store::sync::Board;

/// The same job however often it is asked for.
pub async fn ask(board: &Board, verdict: &str) -> Result<Job> {
    let said = answer(board, "PUT", &format!("v1/verdicts/{verdict}/job"), &()).await?;
    read(&said, if said.status == 201 { 201 } else { 200 })
}

/// Of an instructor's class, newest first.
pub async fn list(board: &Board) -> Result<Vec<Job>> {
    read(&answer(board, "GET", "v1/jobs", &()).await?, 200)
}

/// `None` when nothing waits.
pub async fn lease(board: &Board, seconds: u32) -> Result<Option<Lease>> {
    let said = answer(board, "POST", "v1/jobs/lease", &LeaseRequest { seconds }).await?;
    if said.status == 204 { Ok(None) } else { read(&said, 200).map(Some) }
}

pub async fn renew(board: &Board, lease: &Lease) -> Result<()> {
    let renewal = Renewal { lease: lease.lease.clone(), seconds: lease.seconds };
    about(board, &lease.verdict, "renew", &renewal).await
}

pub async fn give_up(board: &Board, verdict: &str, said: &GiveUp) -> Result<()> {
    about(board, verdict, "give-up", said).await
}

async fn about(board: &Board, verdict: &str, what: &str, body: &impl serde::Serialize) -> Result<()> {
    let said = answer(board, "POST", &format!("v1/verdicts/{verdict}/job/{what}"), body).await?;
    if said.status == 200 { Ok(()) } else { Err(refused(&said)) }
}

/// Whether the scoreboard said that the job is over, or somebody else's by now.
pub fn lost(e: &Error) -> bool {
    refusal(e) == Some(RefusalCode::LeaseLost.as_str())
}

/// A scoreboard's own word for its no; `None` for trouble of any other kind.
pub fn refusal(e: &Error) -> Option<&str> {
    let code = e.details.get("code").and_then(serde_json::Value::as_str);
    code.filter(|c| e.code == Code::ScoreboardFailed && RefusalCode::ALL.iter().any(|r| r.as_str() == *c))
}
