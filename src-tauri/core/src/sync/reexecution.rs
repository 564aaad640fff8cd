//! Fetching a verdict that is to be executed again, and telling the scoreboard what came of it.

use super::enrol::{read, unreachable};
use super::{pace, server, trouble};
use crate::board::{EVIDENCE_MAX, Raised, Reexecution, RefusalCode, Signed};
use crate::error::{Code, Error, Result};
use crate::http::Question;
use crate::store::sync::Board;
use crate::verdict::bundle::PACKED_MAX;
use crate::verdict::seal::FILES;
use std::path::Path;
use std::time::Duration;

const ANSWER_IN: Duration = Duration::from_secs(15);
const FILE_IN: Duration = Duration::from_secs(120);
/// How often a statement is told again: a quarter of a minute, while a lease lasts a whole one.
const RETRIES: u32 = 3;

/// The id in `/v1/verdicts/{id}` of this scoreboard, or an id as it is; None for anything else.
pub fn id_of<'a>(board: &Board, text: &'a str) -> Option<&'a str> {
    let page = text.strip_prefix(board.url.as_str()).and_then(|rest| rest.strip_prefix("/v1/verdicts/"));
    let id = page.unwrap_or(text);
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (id.len() == 64 && id.bytes().all(hex)).then_some(id)
}

/// Writes the verdict's files into `dir`, which must exist and be empty. Nothing about them is believed here.
pub async fn fetch(board: &Board, id: &str, dir: &Path) -> Result<()> {
    let server = server(board)?;
    let bearer = format!("Bearer {}", board.token);
    let headers = [("authorization", bearer.as_str())];
    // Without a token the evidence will be refused, in the scoreboard's words.
    let headers = if board.token.is_empty() { &headers[..0] } else { &headers[..] };
    let most = PACKED_MAX.min(usize::try_from(EVIDENCE_MAX).unwrap_or(usize::MAX));
    for name in FILES {
        let path = format!("v1/verdicts/{id}/{name}");
        let question = Question { method: "GET", path: &path, headers, body: Vec::new(), limit: FILE_IN, most };
        let answer = server.ask(question).await.map_err(|s| unreachable(&s))?;
        if answer.status != 200 {
            let said = read::<serde_json::Value>(&answer, 200).err();
            let why = said.unwrap_or_else(|| trouble("unreadable", "The scoreboard did not send it."));
            return Err(why.context(format!("Fetching {name} of the verdict")));
        }
        std::fs::write(dir.join(name), answer.body)?;
    }
    Ok(())
}

/// The same statement again changes nothing and is answered alike, so one whose answer was lost is told again.
pub async fn report(board: &Board, signed: &Signed<Reexecution>) -> Result<Raised> {
    let mut failures = 0;
    loop {
        match told(board, signed).await {
            Err(e) if failures < RETRIES && passing(&e) => {
                failures += 1;
                tracing::warn!(verdict = signed.body.verdict, failures, "the statement is told again: {e}");
                let wait = pace::wait(failures, None, rand::random());
                tokio::time::sleep(Duration::from_millis(wait.unsigned_abs())).await;
            }
            other => return other,
        }
    }
}

/// Whether nothing was decided, as far as is known here.
fn passing(e: &Error) -> bool {
    let word = super::jobs::refusal(e).and_then(|c| RefusalCode::ALL.iter().find(|r| r.as_str() == c));
    e.code == Code::ScoreboardFailed && word.is_none_or(|code| code.retry())
}

async fn told(board: &Board, signed: &Signed<Reexecution>) -> Result<Raised> {
    let path = format!("v1/verdicts/{}/reexecutions", signed.body.verdict);
    let headers = [("content-type", "application/json")];
    let body = serde_json::to_vec(signed)?;
    let most = crate::http::ANSWER_BYTES;
    let question = Question { method: "POST", path: &path, headers: &headers, body, limit: ANSWER_IN, most };
    let answer = server(board)?.ask(question).await.map_err(|s| unreachable(&s))?;
    let raised: Raised = read(&answer, 200)?;
    if raised.verdict != signed.body.verdict || raised.agrees != signed.body.agrees() {
        return Err(Error::new(Code::ScoreboardFailed, "The scoreboard answered about something else."));
    }
    Ok(raised)
}
