//! A key that was removed or replaced by hand is said so: where it is noticed, in the log, in the audit log, to whoever watches, and by
//! the doctor for as long as something is to be done about it.

use super::{Forge, engine_caller, now};
use crate::api::Level;
use crate::audit::lineage::{self, Exchanged};
use crate::error::Result;
use crate::keys::{KeyName, Keys};
use crate::store::{Store, sync};

/// The doctor goes on warning for so long; after that, only while the scoreboard does not know the key.
const FRESH_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// An exchange as the doctor tells it.
pub struct Told {
    pub text: String,
    pub warn: bool,
    /// What the owner can run now.
    pub command: Option<String>,
}

/// Looks whether the keys are those that were here last, and writes down what is new.
pub(super) async fn look(store: &Store, keys: &Keys) -> Result<Vec<Exchanged>> {
    let mine = keys.clone();
    if store.read(move |conn| lineage::is_known(conn, &mine)).await? {
        return Ok(Vec::new());
    }
    let mine = keys.clone();
    store.write(move |tx| lineage::remember(tx, &mine, now())).await
}

impl Forge {
    pub(super) async fn tell_exchanged(&self, exchanged: &[Exchanged]) {
        for e in exchanged {
            tracing::warn!(name = ?e.name, old = e.old, new = e.new, "a private key was removed or replaced by hand");
            let data = serde_json::json!({"name": e.name, "old": e.old, "new": e.new});
            self.emit(&engine_caller("keys"), None, "keys.exchanged", Level::Warn, words(e), data).await;
        }
    }

    /// The latest exchange of each key.
    pub(super) async fn exchanged_keys(&self) -> Result<Vec<Told>> {
        let mut all = self.store.read(lineage::exchanged).await?;
        let board = self.store.read(sync::board).await?;
        let mut seen = Vec::new();
        all.reverse();
        all.retain(|e| {
            !seen.contains(&e.name) && {
                seen.push(e.name);
                true
            }
        });
        Ok(all
            .iter()
            .map(|e| {
                let current = self.keys.id(e.name).unwrap_or_default();
                let unknown = board
                    .as_ref()
                    .filter(|b| e.name == KeyName::Learner && !self.keys.vouched(e.name, &b.key_id, &current));
                Told {
                    text: format!("On {} {}", day(e.at), uncapitalised(&words(e))),
                    warn: unknown.is_some() || now() - e.at < FRESH_MS,
                    command: unknown.map(|b| format!("forge enrol {} CODE", b.url)),
                }
            })
            .collect())
    }
}

/// What happened, what it means, what to do.
fn words(e: &Exchanged) -> String {
    let what = match e.name {
        KeyName::Learner => "key that signs your verdicts",
        KeyName::Spawn => "key that signs launch tokens",
        KeyName::Catalogue => "key that signs your labs and egress profiles",
        KeyName::Board => "scoreboard’s key",
    };
    let means = match e.name {
        KeyName::Learner => {
            "Verdicts that the old key signed still verify. A scoreboard does not know the new key: ask your instructor for a code \
             and enrol again. If you have the old file, put it back before you submit anything."
        }
        KeyName::Spawn => "Nothing is to be done: launch tokens are short-lived.",
        KeyName::Catalogue => {
            "Put the old file back if you have it. If not: labs do not start until the lists it signed (catalogue.lock in the data \
             folder and in its labs folder) are moved away and written anew; pin your own labs (`forge labs pin`) and approve your \
             egress profiles (`forge egress approve`) again."
        }
        KeyName::Board => "Laptops pinned the old key and will refuse the new one.",
    };
    format!(
        "The {what} was removed or replaced by hand: {} is gone without having signed {}, which is used now. {means}",
        e.old, e.new
    )
}

fn uncapitalised(text: &str) -> String {
    text.strip_prefix("The ").map_or_else(|| text.to_owned(), |rest| format!("the {rest}"))
}

fn day(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |t| t.strftime("%F").to_string())
}
