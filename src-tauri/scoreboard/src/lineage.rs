//! Which keys have signed receipts here. A laptop believes the key that it pinned when it was enrolled, and those that this one
//! vouches for: a board whose key is gone, or is another one than was left here, must not quietly go on with a key that nobody believes.

use crate::store::{Tx, meta, people};
use forge_core::error::{Code, Error, Result};
use forge_core::keys::{KeyName, Keys};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Where it is written down, in the database: a folder that is lost takes its key with it, not the memory of it.
const KEYS: &str = "board_keys";

/// A key that was in use here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Had {
    pub id: String,
    /// So that what it signed can be read when its file is gone.
    pub pem: String,
    pub since: i64,
    /// The key before did not sign it: that one was lost.
    pub exchanged: bool,
}

/// All there were, oldest first. Empty in a database that an older version wrote.
pub fn list(tx: &mut dyn Tx) -> Result<Vec<Had>> {
    let Some(text) = meta::get(tx, KEYS)? else { return Ok(Vec::new()) };
    serde_json::from_str(&text)
        .map_err(|e| Error::internal(format!("what is written down about the board's keys: {e}")))
}

/// Writes down the key in use, if it is another one than was last.
pub fn remember(tx: &mut dyn Tx, keys: &Keys, now: i64) -> Result<()> {
    let mut had = list(tx)?;
    let key = keys.public(KeyName::Board)?;
    let id = key.id();
    let exchanged = match had.last() {
        Some(last) if last.id == id => return Ok(()),
        Some(last) => !keys.vouched(KeyName::Board, &last.id, &id),
        None => false,
    };
    had.push(Had { pem: key.pem(), id, since: now, exchanged });
    meta::set(tx, KEYS, &serde_json::to_string(&had)?)
}

/// `KeyUnavailable` where laptops believe in a key that does not lie in the folder. Makes nothing.
pub fn check(tx: &mut dyn Tx, data: &Path) -> Result<()> {
    let last = list(tx)?.pop();
    // As long as nobody is enrolled, nobody has pinned anything.
    if people::counts(tx)?.0 == 0 {
        return Ok(());
    }
    if !Keys::board_is_there(data)? {
        return Err(gone(data, last.as_ref().map(|l| l.id.as_str())));
    }
    let keys = Keys::open_board(data, &mut rand::rng()).map_err(|e| advised(e, data))?;
    let id = keys.id(KeyName::Board)?;
    match last {
        Some(last) if last.id != id && !keys.vouched(KeyName::Board, &last.id, &id) => Err(other(data, &last.id, &id)),
        _ => Ok(()),
    }
}

pub fn gone(data: &Path, id: Option<&str>) -> Error {
    let named = id.map_or_else(String::new, |id| format!(", {id},"));
    let message = format!(
        "The key that signs receipts here{named} is gone: there is no board.pem in {}. The laptops that are enrolled here believe no other.",
        data.join("keys").display()
    );
    advised(
        Error::new(Code::KeyUnavailable, message).details(serde_json::json!({"kind": "board_key_gone", "key": id})),
        data,
    )
}

pub fn other(data: &Path, had: &str, found: &str) -> Error {
    let message = format!(
        "The key in {} is {found}, and receipts here were signed with {had}, which did not sign this one. The laptops that are \
         enrolled here do not believe it.",
        data.join("keys").display()
    );
    let details = serde_json::json!({"kind": "board_key_other", "key": had, "found": found});
    advised(Error::new(Code::KeyUnavailable, message).details(details), data)
}

fn advised(mut e: Error, data: &Path) -> Error {
    let shown = data.display();
    e.hints.clear();
    e.hint(format!("Check that --data names the folder that belongs to this database; now it is {shown}."))
        .hint(format!("Put the key back from a backup, as it stands there: cp -a BACKUP/keys {shown}/"))
        .hint(format!(
            "If it is lost for good: forge-scoreboard keys new --data {shown}. Every laptop then has to be enrolled again with a code; \
             until then it believes no receipt and joins no session of this server."
        ))
}
