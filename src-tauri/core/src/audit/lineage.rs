//! Which keys this installation has had: made, rotated with the old key's signature, or exchanged without it, because a file was
//! removed or replaced by hand. An exchange stands in the audit log. A key that went without a word is never trusted again.

use super::{Fact, append};
use crate::error::Result;
use crate::keys::{KeyName, Keys, PublicKey};
use crate::store::{Conn, Tx, lineage as rows};
use rows::Had;

/// Another key stands where one was, and the one before did not sign it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchanged {
    pub at: i64,
    pub name: KeyName,
    /// Fingerprints, and the public half of the old one.
    pub old: String,
    pub old_pem: String,
    pub new: String,
}

/// What is new about these keys.
fn news(conn: &Conn, keys: &Keys, at: i64) -> Result<Vec<Had>> {
    let had = rows::list(conn)?;
    let mut news = Vec::new();
    for name in keys.names() {
        let key = keys.public(name)?;
        let (id, pem) = (key.id(), key.pem());
        let exchanged = match had.iter().rfind(|h| h.name == name.word()) {
            Some(last) if last.id == id => continue,
            Some(last) => !keys.vouched(name, &last.id, &id),
            None => false,
        };
        news.push(Had { name: name.word().into(), id, pem, at, exchanged });
    }
    Ok(news)
}

/// Whether these are the keys that were here last; if not, [`remember`] tells what became of them.
pub fn is_known(conn: &Conn, keys: &Keys) -> Result<bool> {
    Ok(news(conn, keys, 0)?.is_empty())
}

/// Writes down what is new about these keys, an exchange into the audit log as well, and returns the exchanges. In one transaction,
/// so that of two processes one tells them.
pub fn remember(tx: &Tx, keys: &Keys, at: i64) -> Result<Vec<Exchanged>> {
    let before = exchanged(tx)?.len();
    for new in news(tx, keys, at)? {
        rows::add(tx, &new)?;
    }
    let new = exchanged(tx)?.split_off(before);
    for e in &new {
        let data = serde_json::json!({"name": e.name, "old": e.old, "new": e.new});
        append(tx, Fact { at, run: None, kind: "keys.exchanged".into(), data })?;
    }
    Ok(new)
}

/// All exchanges, oldest first.
pub fn exchanged(conn: &Conn) -> Result<Vec<Exchanged>> {
    let had = rows::list(conn)?;
    let before = |at: usize, new: &Had| had.get(..at)?.iter().rfind(|h| h.name == new.name);
    let exchanges = had.iter().enumerate().filter(|(_, new)| new.exchanged).filter_map(|(at, new)| {
        let (old, name) = (before(at, new)?, KeyName::named(&new.name)?);
        Some(Exchanged { at: new.at, name, old: old.id.clone(), old_pem: old.pem.clone(), new: new.id.clone() })
    });
    Ok(exchanges.collect())
}

/// The learner's keys that went without a word: what they signed can still be read, though nobody vouches for it any more.
pub(super) fn gone(conn: &Conn) -> Result<Vec<PublicKey>> {
    let keys = exchanged(conn)?.into_iter().filter(|e| e.name == KeyName::Learner);
    Ok(keys.filter_map(|e| PublicKey::from_pem(&e.old_pem).ok().filter(|key| key.id() == e.old)).collect())
}
