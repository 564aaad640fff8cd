//! Enrolment: this laptop shows that it holds its key, the scoreboard shows its own, and both keep what they saw.

use super::{judge, silence, trouble};
use crate::board::{BoardKey, EnrolChallenge, Enrolled, Possession, RefusalCode, Role, Signed};
use crate::error::{Code, Error, Result};
use crate::http::{ANSWER_BYTES, Answer, Question, Server, Trust};
use crate::keys::{Domain, KeyName, Keys, PublicKey, Rotation};
use crate::store::sync::Board;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

const ANSWER_IN: Duration = Duration::from_secs(15);
const CA_MAX: usize = 256 << 10;

#[derive(Clone, Debug)]
pub struct Wanted {
    pub url: String,
    pub code: String,
    /// Drawn from the key when empty: no name of a person leaves unless it is given.
    pub name: String,
    pub trust: Trust,
}

/// `before`: the enrolment that this one takes the place of.
///
/// # Errors
/// `InvalidInput` for an unusable address, name or certificate; `ScoreboardFailed` with the scoreboard's own code.
pub async fn enrol(wanted: &Wanted, keys: &Keys, before: Option<&Board>, now: impl Fn() -> i64) -> Result<Board> {
    if wanted.trust.ca.as_ref().is_some_and(|pem| pem.len() > CA_MAX) {
        return Err(Error::new(Code::TooLarge, "The CA file is larger than any certificate."));
    }
    let server = Server::trusting(wanted.url.trim(), &wanted.trust).map_err(|e| {
        if wanted.url.trim().starts_with("http://") && e.code == Code::InvalidInput {
            e.hint("For a classroom's own network: --clear-text. Verdicts cannot be forged on the way, but the token can be read.")
        } else {
            e
        }
    })?;
    let key_id = keys.id(KeyName::Learner)?;
    let name = match wanted.name.trim() {
        "" => format!("Learner {}", key_id.chars().take(6).collect::<String>()),
        given => given.to_owned(),
    };
    if name.chars().count() > 40 || name.chars().any(char::is_control) {
        return Err(Error::new(Code::InvalidInput, "A name for the board is one line of 1 to 40 characters."));
    }
    let challenge: EnrolChallenge = read(&get(&server, "v1/enrol").await?, 200)?;
    let ahead_ms = now() - challenge.now;
    let possession = Possession {
        challenge: challenge.challenge,
        code: wanted.code.trim().to_owned(),
        name: name.clone(),
        public_key: keys.public_pem(KeyName::Learner)?,
    };
    let signed = Signed::seal(possession, keys, KeyName::Learner, Domain::Enrolment)?;
    let body = serde_json::to_vec(&signed)?;
    let headers = [("content-type", "application/json")];
    let question =
        Question { method: "POST", path: "v1/enrol", headers: &headers, body, limit: ANSWER_IN, most: ANSWER_BYTES };
    let answer = server.ask(question).await.map_err(|s| unreachable(&s))?;
    let enrolled = match read::<Enrolled>(&answer, 201) {
        Ok(enrolled) => enrolled,
        // From another laptop with this key, or from this one whose answer was lost: verdicts can be sent, they are signed.
        Err(e) if e.details.get("code") == Some(&RefusalCode::KeyEnrolled.as_str().into()) => Enrolled {
            learner: String::new(),
            name: String::new(),
            class: String::new(),
            role: Role::Learner,
            key_id: key_id.clone(),
            token: String::new(),
            board: read(&get(&server, "v1/keys/current").await?, 200)?,
        },
        Err(e) => return Err(e),
    };
    if enrolled.key_id != key_id {
        return Err(trouble("lie", "The scoreboard enrolled another key than the one it was shown."));
    }
    let key = PublicKey::from_pem(&enrolled.board.pem).map_err(|_| {
        trouble("lie", "The scoreboard’s own key cannot be read, so its receipts could not be checked.")
    })?;
    if key.id() != enrolled.board.id {
        return Err(trouble("lie", "The scoreboard’s key is not the one that it names."));
    }
    let (url, ca) = (server.address().trim_end_matches('/').to_owned(), wanted.trust.ca.clone());
    let clear_text = wanted.trust.clear_text;
    // The same scoreboard, perhaps under another address or certificate, which knows this key: what was begun with it goes on.
    let goes_on = |b: &&Board| b.key_id == key_id && (enrolled.token.is_empty() || enrolled.learner == b.learner);
    if let Some(b) = before.filter(goes_on).filter(|b| !(enrolled.token.is_empty() && b.token.is_empty()))
        && (b.keys.contains(&key.pem()) || vouched(&server, b, &key).await)
    {
        // One of its own that it did not give anew still counts.
        let token = if enrolled.token.is_empty() { b.token.clone() } else { enrolled.token };
        return Ok(Board { url, ca, clear_text, ahead_ms, token, enrolled_at: now(), ..b.clone() });
    }
    Ok(Board {
        url,
        ca,
        clear_text,
        learner: enrolled.learner,
        name: enrolled.name,
        class: enrolled.class,
        instructor: enrolled.role == Role::Instructor,
        key_id,
        token: enrolled.token,
        root: key.id(),
        keys: vec![key.pem()],
        enrolled_at: now(),
        ahead_ms,
        failures: 0,
        retry_at: 0,
        last_at: None,
        last_error: String::new(),
    })
}

async fn vouched(server: &Server, before: &Board, key: &PublicKey) -> bool {
    let pinned = before.keys.iter().map(|pem| PublicKey::from_pem(pem)).collect::<Result<Vec<_>>>();
    match pinned {
        Ok(pinned) => successors(server, &pinned).await.is_ok_and(|now| now.contains(key)),
        Err(_) => false,
    }
}

/// How far this machine's clock is ahead of the scoreboard's by now, in milliseconds: people set clocks.
pub async fn ahead(board: &Board, now: impl Fn() -> i64) -> Result<i64> {
    let challenge: EnrolChallenge = read(&get(&super::server(board)?, "v1/enrol").await?, 200)?;
    Ok(now() - challenge.now)
}

/// Tells the scoreboard of changes of the learner's key, oldest first; those that it knows already are no error to it. The token
/// goes along, so that it belongs to the newest key: revoking an old one takes nothing from this laptop.
pub async fn introduce(board: &Board, changes: &[Rotation]) -> Result<()> {
    let (server, bearer) = (super::server(board)?, format!("Bearer {}", board.token));
    for change in changes {
        let body = serde_json::to_vec(change)?;
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let (limit, most) = (ANSWER_IN, ANSWER_BYTES);
        let path = "v1/keys/rotations";
        let question = Question { method: "POST", path, headers: &headers, body, limit, most };
        let answer = server.ask(question).await.map_err(|s| unreachable(&s))?;
        if answer.status != 204 {
            return Err(refused(&answer));
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct KeyList {
    keys: Vec<BoardKey>,
    rotations: Vec<Rotation>,
}

/// The keys that the pinned one vouches for, newest first, the pinned ones among them. A key that nobody pinned signed
/// for is left out.
pub(super) async fn successors(server: &Server, pinned: &[PublicKey]) -> Result<Vec<PublicKey>> {
    let list: KeyList = read(&get(server, "v1/keys").await?, 200)?;
    let mut trusted = pinned.to_vec();
    // Each rotation can be told before the one it follows; as many passes as rotations find them all.
    for _ in 0..list.rotations.len().min(64) {
        for rotation in list.rotations.iter().filter(|r| r.name == KeyName::Board) {
            let Ok((old, new)) = rotation.checked() else { continue };
            if trusted.contains(&old) && !trusted.contains(&new) {
                trusted.insert(0, new);
            }
        }
    }
    tracing::info!(listed = list.keys.len(), trusted = trusted.len(), "the scoreboard's keys were looked at");
    Ok(trusted)
}

async fn get(server: &Server, path: &str) -> Result<Answer> {
    let question =
        Question { method: "GET", path, headers: &[], body: Vec::new(), limit: ANSWER_IN, most: ANSWER_BYTES };
    server.ask(question).await.map_err(|s| unreachable(&s))
}

pub(super) fn unreachable(s: &crate::http::Silence) -> Error {
    let (code, message) = silence(s);
    trouble(code, message).hint(
        super::remedy(s)
            .unwrap_or("Check the address and the network, then try again; the code is still good if it was not used."),
    )
}

pub(super) fn read<T: DeserializeOwned>(answer: &Answer, status: u16) -> Result<T> {
    if answer.status != status {
        return Err(refused(answer));
    }
    serde_json::from_slice(&answer.body).map_err(|_| {
        trouble("unreadable", "The answer is not what a scoreboard says.").hint("Is this the scoreboard’s address?")
    })
}

/// What an answer that is not the expected one says.
pub(super) fn refused(answer: &Answer) -> Error {
    match judge::said(answer) {
        Some(refusal) => {
            let mut e = trouble(refusal.code.as_str(), refusal.message);
            e.hints = refusal.hints;
            e
        }
        None => trouble("unreadable", super::foreign(answer)).hint(match answer.status {
            300..400 => "If that is where your instructor’s scoreboard is, enrol there.",
            429 | 502..=504 => "Try again in a minute.",
            _ => "Is this the scoreboard’s address, as your instructor gave it?",
        }),
    }
}
