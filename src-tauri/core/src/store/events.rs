//! The event log: numbered without a gap by SQLite itself (a rolled-back insert gives its number back), so that a
//! reader with a number can replay and then follow, whichever process wrote.

use super::{Conn, Tx, decode, encode, from_word, word};
use crate::api::{Event, Level};
use crate::error::Result;
use rusqlite::{Row, params};

pub(super) const V1: &str = "
CREATE TABLE events (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    at           INTEGER NOT NULL,
    correlation  TEXT NOT NULL,
    run          TEXT,
    kind         TEXT NOT NULL,
    level        TEXT NOT NULL,
    text         TEXT NOT NULL,
    data         TEXT NOT NULL
) STRICT;
CREATE INDEX events_run ON events (run, seq);";

const COLUMNS: &str = "seq, at, correlation, run, kind, level, text, data";

/// An event before it has its number.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    pub at: i64,
    pub correlation: String,
    pub run: Option<String>,
    pub kind: String,
    pub level: Level,
    pub text: String,
    pub data: serde_json::Value,
}

pub fn append(tx: &Tx, event: NewEvent) -> Result<Event> {
    let NewEvent { at, correlation, run, kind, level, text, data } = event;
    tx.prepare_cached(
        "INSERT INTO events (at, correlation, run, kind, level, text, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![at, correlation, run, kind, word(&level)?, text, encode(&data)?])?;
    Ok(Event { seq: tx.last_insert_rowid(), at, correlation, run, kind, level, text, data })
}

/// The first `limit` events after `seq`, in order: what a stream replays. All runs when `run` is None.
pub fn since(conn: &Conn, run: Option<&str>, seq: i64, limit: u32) -> Result<Vec<Event>> {
    match run {
        Some(run) => {
            let sql = format!("SELECT {COLUMNS} FROM events WHERE run = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3");
            conn.prepare_cached(&sql)?.query_and_then(params![run, seq, limit], read)?.collect()
        }
        None => {
            let sql = format!("SELECT {COLUMNS} FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2");
            conn.prepare_cached(&sql)?.query_and_then(params![seq, limit], read)?.collect()
        }
    }
}

/// The last `limit` events after `seq`, in order: what a log view opens with.
pub fn latest(conn: &Conn, run: Option<&str>, seq: i64, limit: u32) -> Result<Vec<Event>> {
    let mut found: Vec<Event> = match run {
        Some(run) => {
            let sql = format!("SELECT {COLUMNS} FROM events WHERE run = ?1 AND seq > ?2 ORDER BY seq DESC LIMIT ?3");
            conn.prepare_cached(&sql)?.query_and_then(params![run, seq, limit], read)?.collect::<Result<_>>()?
        }
        None => {
            let sql = format!("SELECT {COLUMNS} FROM events WHERE seq > ?1 ORDER BY seq DESC LIMIT ?2");
            conn.prepare_cached(&sql)?.query_and_then(params![seq, limit], read)?.collect::<Result<_>>()?
        }
    };
    found.reverse();
    Ok(found)
}

/// All events of one kind that a run has, in order.
pub fn of_kind(conn: &Conn, run: &str, kind: &str) -> Result<Vec<Event>> {
    let sql = format!("SELECT {COLUMNS} FROM events WHERE run = ?1 AND kind = ?2 ORDER BY seq");
    conn.prepare_cached(&sql)?.query_and_then([run, kind], read)?.collect()
}

/// The number of the newest event ever, pruned or not; 0 before the first.
pub fn newest(conn: &Conn) -> Result<i64> {
    Ok(conn
        .prepare_cached("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)")?
        .query_row([], |r| r.get(0))?)
}

/// Drops events older than `before`, and the oldest beyond the newest `keep`, but none of runs that are alive.
/// Returns how many went.
pub fn prune(tx: &Tx, before: i64, keep: u32) -> Result<usize> {
    Ok(tx.execute(
        "DELETE FROM events
         WHERE (at < ?1 OR seq <= (SELECT coalesce(max(seq), 0) FROM events) - ?2)
           AND (run IS NULL OR run NOT IN (SELECT run FROM runs WHERE state NOT IN ('stopped', 'failed')))",
        params![before, keep],
    )?)
}

fn read(r: &Row) -> Result<Event> {
    Ok(Event {
        seq: r.get(0)?,
        at: r.get(1)?,
        correlation: r.get(2)?,
        run: r.get(3)?,
        kind: r.get(4)?,
        level: from_word("event level", r.get(5)?)?,
        text: r.get(6)?,
        data: decode("event", &r.get::<_, String>(7)?)?,
    })
}
