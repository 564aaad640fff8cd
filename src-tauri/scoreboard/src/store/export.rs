//! What NATS has been told, kept in `meta`: the last acknowledged sequence, and what was established about verdicts since they
//! were told. There is no other queue: a verdict above the sequence waits, by being stored.

use super::{Row, Tx, meta};
use crate::metrics::tier_word;
use crate::params;
use crate::store::verdicts::tier_of;
use forge_core::error::{Error, Result};
use serde_json::json;
use std::collections::HashMap;

const SEQ: &str = "export/seq";
const RAISED: &str = "export/raised/";
/// Rises that are looked through at once.
const RISES: i64 = 1_000;

/// One event, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub seq: i64,
    pub id: String,
    /// How many facts are established: it only grows, so that id and revision name an event for ever.
    pub revision: usize,
    /// Told before, and now more is established.
    pub raised: bool,
    pub body: String,
}

/// What comes next, and how many events wait in all.
#[derive(Debug, Default)]
pub struct Next {
    pub events: Vec<Told>,
    pub waiting: i64,
}

/// From now on rises are written down. A board that never exported begins with its first verdict.
pub fn begin(tx: &mut dyn Tx) -> Result<()> {
    if meta::number(tx, SEQ)?.is_none() {
        meta::set(tx, SEQ, "0")?;
    }
    Ok(())
}

/// Whether anything was ever exported, or is about to be.
pub fn begun(tx: &mut dyn Tx) -> Result<bool> {
    Ok(meta::number(tx, SEQ)?.is_some())
}

/// Belongs into the transaction that adds facts to a verdict. Nothing is written where nothing was ever exported.
pub fn raised(tx: &mut dyn Tx, id: &str, revision: usize) -> Result<()> {
    tx.execute(
        "INSERT INTO meta (name, value) SELECT CAST($1 AS TEXT), CAST($2 AS TEXT) WHERE EXISTS (SELECT 1 FROM meta WHERE name = $3)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![format!("{RAISED}{id}"), revision.to_string(), SEQ],
    )?;
    Ok(())
}

/// Verdicts first, in the order of their acceptance; then what has risen since.
pub fn next(tx: &mut dyn Tx, limit: i64) -> Result<Next> {
    let seq = meta::number(tx, SEQ)?.unwrap_or(0);
    let last = tx.one("SELECT COALESCE(MAX(seq), 0) FROM verdicts", &[])?.map_or(Ok(0), |r| r.int(0))?;
    let like = format!("{RAISED}%");
    let rises = tx.one("SELECT COUNT(*) FROM meta WHERE name LIKE $1", params![like.as_str()])?;
    let waiting = (last - seq).max(0) + rises.map_or(Ok(0), |r| r.int(0))?;
    if last > seq {
        let sql = format!("{EVENT} WHERE seq > $1 ORDER BY seq LIMIT $2");
        let rows = tx.query(&sql, params![seq, limit])?;
        let events = rows.iter().map(|r| read(r, false)).collect::<Result<_>>()?;
        return Ok(Next { events, waiting });
    }
    let sql = format!(
        "{EVENT} WHERE id IN (SELECT SUBSTR(name, {}) FROM meta WHERE name LIKE $1) ORDER BY seq LIMIT $2",
        RAISED.len() + 1
    );
    let rows = tx.query(&sql, params![like.as_str(), limit])?;
    let events = rows.iter().map(|r| read(r, true)).collect::<Result<_>>()?;
    Ok(Next { events, waiting })
}

/// They are acknowledged: what has risen further in the meantime stays written down.
pub fn acknowledged(tx: &mut dyn Tx, events: &[Told]) -> Result<()> {
    if let Some(last) = events.iter().filter(|e| !e.raised).map(|e| e.seq).max() {
        meta::set(tx, SEQ, &last.to_string())?;
    }
    let rows = tx.query(
        "SELECT name, value FROM meta WHERE name LIKE $1 LIMIT $2",
        params![format!("{RAISED}%"), RISES.max(events.len() as i64)],
    )?;
    let rises: HashMap<String, String> = rows.iter().map(|r| Ok((r.text(0)?, r.text(1)?))).collect::<Result<_>>()?;
    for event in events {
        let name = format!("{RAISED}{}", event.id);
        // A rise is told whole even if it was not among the rows above.
        if event.raised || rises.contains_key(&name) {
            tx.execute("DELETE FROM meta WHERE name = $1 AND value = $2", params![name, event.revision.to_string()])?;
        }
    }
    Ok(())
}

/// Without envelope and score: a batch must be small in memory. Without names: a class's people are not the stream's business.
const EVENT: &str = "SELECT seq, id, run, track, lab, version, class, learner, score, max, tier, facts, session, received_at FROM verdicts";

fn read(row: &Row, raised: bool) -> Result<Told> {
    let (seq, id) = (row.int(0)?, row.text(1)?);
    let established: Vec<serde_json::Value> = serde_json::from_str(&row.text(11)?)?;
    let revision = established.len();
    let body = json!({
        "id": id, "seq": seq, "revision": revision, "run": row.text(2)?, "track": row.text(3)?, "lab": row.text(4)?,
        "version": row.text(5)?, "class": row.text(6)?, "learner": row.text(7)?, "score": row.int(8)?, "max": row.int(9)?,
        "tier": tier_word(tier_of(row.int(10)?)?), "established": established, "session": row.maybe_text(12)?,
        "received_at": row.int(13)?,
    });
    let body = serde_json::to_string(&body).map_err(Error::from)?;
    Ok(Told { seq, id, revision, raised, body })
}
