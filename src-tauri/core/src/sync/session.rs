//! Challenge sessions from a laptop: an instructor makes one and looks at it, a learner joins and takes challenges. A
//! challenge counts only under the scoreboard's pinned key.

use super::enrol::{read, refused, successors};
use super::{server, silence, trouble};
use crate::board::{
    Challenge, ChallengeRequest, Joined, Message, MessageRequest, NewSession, Progress, RefusalCode, Session,
    SessionBoard, Signed,
};
use crate::error::{Code, Error, Result};
use crate::http::{ANSWER_BYTES, Answer, Feed, Question, Server, Silence};
use crate::keys::{Domain, PublicKey};
use crate::store::sync::Board;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

const ANSWER_IN: Duration = Duration::from_secs(15);
/// A stream whose first bytes take longer is held back by something in between.
const OPENS_IN: Duration = Duration::from_secs(10);
/// A class of a thousand fits.
const BOARD_BYTES: usize = 4 << 20;

pub async fn create(board: &Board, wanted: &NewSession) -> Result<Session> {
    ask(board, "POST", "v1/sessions", wanted, 201).await
}

pub async fn join(board: &Board, code: &str) -> Result<Joined> {
    ask(board, "POST", "v1/sessions/join", &serde_json::json!({"code": code.trim()}), 200).await
}

pub async fn get(board: &Board, id: &str) -> Result<Session> {
    ask(board, "GET", &format!("v1/sessions/{}", word(id)?), &(), 200).await
}

/// Those of an instructor's class.
pub async fn list(board: &Board) -> Result<Vec<Session>> {
    ask(board, "GET", "v1/sessions", &(), 200).await
}

/// Who is where, for instructors; as the scoreboard says it.
pub async fn live(board: &Board, id: &str) -> Result<SessionBoard> {
    ask(board, "GET", &format!("v1/sessions/{}/board", word(id)?), &(), 200).await
}

/// What was said to everybody and to this learner; to anybody, for instructors. Oldest first.
pub async fn messages(board: &Board, id: &str, after: i64) -> Result<Vec<Message>> {
    ask(board, "GET", &format!("v1/sessions/{}/messages?after={after}", word(id)?), &(), 200).await
}

pub async fn say(board: &Board, id: &str, message: &MessageRequest) -> Result<Message> {
    ask(board, "POST", &format!("v1/sessions/{}/messages", word(id)?), message, 201).await
}

pub async fn freeze(board: &Board, id: &str, frozen: bool) -> Result<Session> {
    let body = serde_json::json!({"frozen": frozen});
    ask(board, "POST", &format!("v1/sessions/{}/freeze", word(id)?), &body, 200).await
}

/// What happens in a session, from the event after `last` on.
pub(super) async fn listen(board: &Board, id: &str, last: Option<&str>) -> Result<Feed> {
    let (server, bearer) = token(board)?;
    let path = format!("v1/sessions/{}/live", word(id)?);
    let mut headers = vec![("authorization", bearer.as_str()), ("accept", "text/event-stream")];
    headers.extend(last.map(|id| ("last-event-id", id)));
    let question = Question {
        method: "GET",
        path: &path,
        headers: &headers,
        body: Vec::new(),
        limit: OPENS_IN,
        most: ANSWER_BYTES,
    };
    server.listen(question).await.map_err(|s| away(&s))?.map_err(|answer| refused(&answer))
}

/// The scoreboard said no, and will say so again: nothing to come back for soon.
pub fn final_word(e: &Error) -> bool {
    let code = e.details.get("code").cloned().unwrap_or_default();
    serde_json::from_value::<RefusalCode>(code).is_ok_and(|c| !c.retry())
}

/// As the scoreboard writes it: RFC 4180, no cell that a spreadsheet would run.
pub async fn csv(board: &Board, id: &str) -> Result<Vec<u8>> {
    let answer = answer(board, "GET", &format!("v1/sessions/{}/export.csv", word(id)?), &()).await?;
    match answer.status {
        200 => Ok(answer.body),
        _ => Err(refused(&answer)),
    }
}

/// Where this learner is, for their instructor.
pub async fn progress(board: &Board, id: &str, progress: &Progress) -> Result<()> {
    let answer = answer(board, "POST", &format!("v1/sessions/{}/progress", word(id)?), progress).await?;
    match answer.status {
        204 => Ok(()),
        _ => Err(refused(&answer)),
    }
}

/// What binds the next run of this lab to the session.
///
/// # Errors
/// `ScoreboardFailed` with the code `bad_challenge` when it is not signed by the pinned key, or is for something else.
pub async fn challenge(board: &Board, session: &str, lab: &str) -> Result<Signed<Challenge>> {
    let request = ChallengeRequest { lab: lab.to_owned() };
    let path = format!("v1/sessions/{}/challenges", word(session)?);
    let signed: Signed<Challenge> = ask(board, "POST", &path, &request, 200).await?;
    let mut keys = board.keys.iter().map(|pem| PublicKey::from_pem(pem)).collect::<Result<Vec<_>>>()?;
    if !keys.iter().any(|k| k.id() == signed.key_id) {
        keys = successors(&server(board)?, &keys).await?;
    }
    genuine(&signed, &keys, (session, lab, &board.key_id)).map(|()| signed)
}

fn genuine(signed: &Signed<Challenge>, keys: &[PublicKey], (session, lab, key_id): (&str, &str, &str)) -> Result<()> {
    let bad = |why: &str| {
        trouble("bad_challenge", format!("The scoreboard’s challenge is not genuine: {why}. No run was started."))
            .hint("Tell your instructor; a run under it would not count.")
    };
    let key = keys.iter().find(|k| k.id() == signed.key_id);
    let key = key.ok_or_else(|| bad("it is signed with a key that the pinned one does not vouch for"))?;
    signed.holds(key, Domain::Challenge).map_err(|_| bad("its signature does not hold"))?;
    let c = &signed.body;
    let same = [
        (c.version == 1, "it is of a version that is unknown here"),
        (c.session == session && c.lab == lab, "it is for another session or lab"),
        (c.key_id == key_id, "it was issued to another key"),
    ];
    match same.iter().find(|(ok, _)| !ok) {
        Some((_, why)) => Err(bad(why)),
        None => Ok(()),
    }
}

/// An id that stays within its place in a path.
fn word(id: &str) -> Result<&str> {
    if (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Ok(id);
    }
    Err(Error::new(Code::InvalidInput, format!("“{id}” is not the id of a session."))
        .hint("Joining or making a session says its id."))
}

async fn ask<T: DeserializeOwned>(
    board: &Board,
    method: &'static str,
    path: &str,
    body: &impl Serialize,
    status: u16,
) -> Result<T> {
    read(&answer(board, method, path, body).await?, status)
}

pub(super) async fn answer(board: &Board, method: &'static str, path: &str, body: &impl Serialize) -> Result<Answer> {
    let (server, bearer) = token(board)?;
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = if method == "GET" { Vec::new() } else { serde_json::to_vec(body)? };
    let question = Question { method, path, headers: &headers, body, limit: ANSWER_IN, most: BOARD_BYTES };
    server.ask(question).await.map_err(|s| away(&s))
}

/// The server, and what names this laptop to it.
fn token(board: &Board) -> Result<(Server, String)> {
    if board.token.is_empty() {
        return Err(Error::new(
            Code::WrongState,
            "This laptop has no token of the scoreboard, so it cannot take part in sessions.",
        )
        .hint("Ask your instructor for a code, and enrol again: forge enrol URL CODE"));
    }
    Ok((server(board)?, format!("Bearer {}", board.token)))
}

pub(super) fn away(s: &Silence) -> Error {
    let (code, message) = silence(s);
    let remedy = super::remedy(s);
    trouble(code, message).hint(remedy.unwrap_or("Check the network, and whether the scoreboard runs; then try again."))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::keys::{KeyName, Keys};

    #[test]
    fn a_challenge_is_for_this_key_session_and_lab() {
        let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let keys = Keys::open_board(home.path(), &mut rand::rng()).unwrap();
        let imposter = Keys::open_board(other.path(), &mut rand::rng()).unwrap();
        let pinned = [keys.public(KeyName::Board).unwrap()];
        let body = Challenge {
            version: 1,
            session: "s".into(),
            class: "c".into(),
            lab: "l".into(),
            key_id: "k".into(),
            nonce: "n".into(),
            seed: "1".into(),
            hints: true,
            attempt: 1,
            issued_at: 1,
            deadline: 2,
        };
        let seal = |body: Challenge, keys: &Keys, domain| Signed::seal(body, keys, KeyName::Board, domain).unwrap();
        let want = ("s", "l", "k");
        let good = seal(body.clone(), &keys, Domain::Challenge);
        assert!(genuine(&good, &pinned, want).is_ok());
        let bad = [
            seal(body.clone(), &imposter, Domain::Challenge),
            seal(body.clone(), &keys, Domain::Acceptance),
            seal(Challenge { lab: "m".into(), ..body.clone() }, &keys, Domain::Challenge),
            seal(Challenge { session: "t".into(), ..body.clone() }, &keys, Domain::Challenge),
            seal(Challenge { key_id: "j".into(), ..body.clone() }, &keys, Domain::Challenge),
            seal(Challenge { version: 2, ..body.clone() }, &keys, Domain::Challenge),
            Signed { body: Challenge { seed: "2".into(), ..body }, ..good },
        ];
        for challenge in bad {
            let e = genuine(&challenge, &pinned, want).unwrap_err();
            assert_eq!(e.details["code"], "bad_challenge", "{challenge:?}");
        }
    }

    #[test]
    fn an_id_is_no_path() {
        assert!(word("0198c2a4-aaaa-7000-8000-0123456789ab").is_ok());
        for bad in ["", "../verdicts", "a/b", "a?b", "a%2f"] {
            assert!(word(bad).is_err(), "{bad}");
        }
    }
}
