//! Coming back to a scoreboard that this laptop has a token of: it is known by its key, whatever its address is now.

use super::enrol::{believed, changes_since, current, introduce, refused, successors};
use super::session::answer;
use super::{jobs, trouble};
use crate::board::RefusalCode;
use crate::error::{Code, Error, Result};
use crate::http::Server;
use crate::keys::{Domain, KeyName, Keys, PublicKey};
use crate::store::sync::Board;

/// Where a scoreboard is now, and what it gave to be signed.
pub(super) struct There<'a> {
    pub server: &'a Server,
    pub challenge: &'a str,
    pub place: &'a Board,
}

/// Nothing but the token is needed.
pub(super) async fn without_code(there: &There<'_>, keys: &Keys, known: &[Board]) -> Result<Board> {
    let url = &there.place.url;
    match known_here(there, keys, known).await {
        Ok(Some(board)) => Ok(board),
        Ok(None) => Err(Error::new(
            Code::InvalidInput,
            "This laptop is not enrolled at this scoreboard with the key that it has now, so a code is needed.",
        )
        .hint(format!("Ask your instructor for one, then: forge enrol {url} CODE"))),
        Err(e) if jobs::refusal(&e).is_some() => Err(e.hint(format!(
            "If it does not know this laptop any more, ask your instructor for a code, then: forge enrol {url} CODE"
        ))),
        Err(e) => Err(e),
    }
}

/// The enrolment that is kept of this scoreboard, whose token it still knows.
///
/// # Errors
/// `ScoreboardFailed`, with the scoreboard's own code where it knows the token or the key no more.
pub(super) async fn known_here(there: &There<'_>, keys: &Keys, known: &[Board]) -> Result<Option<Board>> {
    let Some(board) = found(there, keys, known).await? else { return Ok(None) };
    // What only an instructor is given is refused to a learner whom it knows: that it knows them is all that is asked.
    let said = answer(&board, "GET", "v1/sessions", &()).await?;
    if said.status == 200 {
        return Ok(Some(board));
    }
    let no = refused(&said);
    if jobs::refusal(&no) == Some(RefusalCode::Forbidden.as_str()) { Ok(Some(board)) } else { Err(no) }
}

/// The enrolment that is kept of this scoreboard, at `place` now. It is told of the keys that came after the one it knows, so that
/// whoever comes back is the same learner. None: there is none, or nothing leads from that key to the one of now.
async fn found(there: &There<'_>, keys: &Keys, known: &[Board]) -> Result<Option<Board>> {
    let There { server, place, .. } = *there;
    let known: Vec<&Board> = known.iter().filter(|b| !b.token.is_empty()).collect();
    if known.is_empty() {
        return Ok(None);
    }
    let key = believed(&current(server).await?)?;
    let Some(kept) = same(there, &key, &known).await? else { return Ok(None) };
    let Some(changes) = changes_since(keys, &kept.key_id)? else { return Ok(None) };
    let Board { url, ca, clear_text, ahead_ms, enrolled_at, .. } = place.clone();
    let mut board = Board { url, ca, clear_text, ahead_ms, enrolled_at, ..kept.clone() };
    introduce(&board, &changes).await?;
    board.key_id = keys.id(KeyName::Learner)?;
    Ok(Some(board))
}

/// Of those that are known, the one that has this key now.
///
/// # Errors
/// `ScoreboardFailed` with the code `lie` when what answers there shows that key and does not hold it: anybody can show it.
pub(super) async fn same<'a>(there: &There<'_>, key: &PublicKey, known: &[&'a Board]) -> Result<Option<&'a Board>> {
    let mut same = known.iter().copied().find(|b| b.keys.contains(&key.pem()));
    for b in known.iter().copied() {
        if same.is_none() && vouched(there.server, b, key).await? {
            same = Some(b);
        }
    }
    if same.is_some() && !made_by(key, there.challenge) {
        return Err(trouble(
            "lie",
            "What answers at this address shows the key of a scoreboard that this laptop knows, and does not hold it.",
        ));
    }
    Ok(same)
}

/// Whether the scoreboard that was pinned then has changed its key to this one.
async fn vouched(server: &Server, before: &Board, key: &PublicKey) -> Result<bool> {
    let pinned = before.keys.iter().map(|pem| PublicKey::from_pem(pem)).collect::<Result<Vec<_>>>();
    let pinned =
        pinned.map_err(|_| trouble("unreadable", "A scoreboard’s key that is kept here cannot be read any more."))?;
    Ok(successors(server, &pinned).await?.contains(key))
}

/// `<expiry>.<random>.<signature>`.
fn made_by(key: &PublicKey, challenge: &str) -> bool {
    let Some((text, signature)) = challenge.rsplit_once('.') else { return false };
    hex::decode(signature).is_ok_and(|signature| key.verify(Domain::Enrolment, text.as_bytes(), &signature))
}
