//! What is about to be done to the world outside the database. Written before, removed after: what is left here at
//! start-up is what a crash interrupted.

use super::{Conn, Tx, decode, encode};
use crate::error::{Code, Error, Result};
use rusqlite::{Row, params};

pub(super) const V1: &str = "
CREATE TABLE intents (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    run   TEXT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    kind  TEXT NOT NULL,
    at    INTEGER NOT NULL,
    data  TEXT NOT NULL
) STRICT;
CREATE INDEX intents_run ON intents (run);";

#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    pub id: i64,
    pub run: String,
    /// `launch`, `stop`, `submit`, …: the vocabulary belongs to who acts.
    pub kind: String,
    pub at: i64,
    /// What a repair needs to know; `null` when nothing.
    pub data: serde_json::Value,
}

/// Records what is about to be done and returns the id to close it with.
pub fn begin(tx: &Tx, run: &str, kind: &str, at: i64, data: &serde_json::Value) -> Result<i64> {
    tx.prepare_cached("INSERT INTO intents (run, kind, at, data) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        run,
        kind,
        at,
        encode(data)?
    ])?;
    Ok(tx.last_insert_rowid())
}

/// The intended thing was done or undone. `NotFound` when another process has closed it before.
pub fn done(tx: &Tx, id: i64) -> Result<()> {
    if tx.prepare_cached("DELETE FROM intents WHERE id = ?1")?.execute([id])? == 0 {
        return Err(Error::new(Code::NotFound, format!("Intent {id} is not open (any more).")));
    }
    Ok(())
}

/// The same, when it does not matter whether somebody has closed it before.
pub fn close(tx: &Tx, id: i64) -> Result<()> {
    tx.prepare_cached("DELETE FROM intents WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// Adds to what a repair needs to know.
pub fn amend(tx: &Tx, id: i64, data: &serde_json::Value) -> Result<()> {
    tx.prepare_cached("UPDATE intents SET data = ?2 WHERE id = ?1")?.execute(params![id, encode(data)?])?;
    Ok(())
}

/// Closes all intents of a run but those of one kind.
pub fn clear_but(tx: &Tx, run: &str, kind: &str) -> Result<()> {
    tx.prepare_cached("DELETE FROM intents WHERE run = ?1 AND kind <> ?2")?.execute(params![run, kind])?;
    Ok(())
}

/// Closes what was intended with runs that are over: there is nothing left to do it to. Submissions have their own end.
pub fn clear_over(tx: &Tx) -> Result<()> {
    tx.prepare_cached(
        "DELETE FROM intents WHERE kind <> 'submit' AND run IN (SELECT run FROM runs WHERE state IN ('stopped', 'failed'))",
    )?
    .execute([])?;
    Ok(())
}

/// Closes all intents of a kind (all kinds: None) of a run; returns how many there were.
pub fn clear(tx: &Tx, run: &str, kind: Option<&str>) -> Result<usize> {
    Ok(tx
        .prepare_cached("DELETE FROM intents WHERE run = ?1 AND (?2 IS NULL OR kind = ?2)")?
        .execute(params![run, kind])?)
}

/// All open intents, oldest first.
pub fn open(conn: &Conn) -> Result<Vec<Intent>> {
    let mut q = conn.prepare_cached("SELECT id, run, kind, at, data FROM intents ORDER BY id")?;
    q.query_and_then([], read)?.collect()
}

/// Open intents of one run, oldest first.
pub fn of_run(conn: &Conn, run: &str) -> Result<Vec<Intent>> {
    let mut q = conn.prepare_cached("SELECT id, run, kind, at, data FROM intents WHERE run = ?1 ORDER BY id")?;
    q.query_and_then([run], read)?.collect()
}

fn read(r: &Row) -> Result<Intent> {
    Ok(Intent {
        id: r.get(0)?,
        run: r.get(1)?,
        kind: r.get(2)?,
        at: r.get(3)?,
        data: decode("intent", &r.get::<_, String>(4)?)?,
    })
}
