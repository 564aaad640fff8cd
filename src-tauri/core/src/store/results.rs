//! Verdicts that were sealed, and the outbox of those a scoreboard has not acknowledged yet. Both rows are written
//! in one transaction: an acknowledged submission cannot be lost.

use super::{Conn, Tx, decode, encode, from_word, signed, unsigned, word};
use crate::api::ResultSummary;
use crate::error::{Code, Error, Result};
use rusqlite::{OptionalExtension, Row, params};

pub(super) const V1: &str = "
CREATE TABLE results (
    id           TEXT PRIMARY KEY,
    run          TEXT NOT NULL,
    lab          TEXT NOT NULL,
    lab_title    TEXT NOT NULL,
    track        TEXT NOT NULL,
    version      TEXT NOT NULL,
    at           INTEGER NOT NULL,
    score        INTEGER NOT NULL,
    max          INTEGER NOT NULL,
    duration_ms  INTEGER NOT NULL,
    tier         TEXT NOT NULL,
    key_id       TEXT NOT NULL,
    dir          TEXT NOT NULL,
    detail       TEXT NOT NULL
) STRICT;
CREATE INDEX results_lab ON results (lab, at);
CREATE INDEX results_run ON results (run);
CREATE TABLE outbox (
    result      TEXT PRIMARY KEY REFERENCES results (id) ON DELETE CASCADE,
    queued      INTEGER NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    next_at     INTEGER NOT NULL,
    last_error  TEXT NOT NULL DEFAULT ''
) STRICT;";

const COLUMNS: &str = "id, run, lab, lab_title, track, version, at, score, max, duration_ms, tier, key_id, dir,
    (SELECT c.tier FROM receipts c WHERE c.result = results.id
     ORDER BY c.root IN (SELECT root FROM boards WHERE current = 1) DESC, c.at DESC LIMIT 1)";

/// One verdict waiting to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    pub result: String,
    pub dir: String,
    pub attempts: u32,
    pub last_error: String,
}

/// Records a sealed verdict with its full detail (any JSON) and queues it for the scoreboard. Recording the same
/// verdict again changes nothing: a repeated submit after a crash ends here.
pub fn record(tx: &Tx, result: &ResultSummary, detail: &serde_json::Value) -> Result<()> {
    let s = result;
    let new = tx
        .prepare_cached(
            "INSERT INTO results (id, run, lab, lab_title, track, version, at, score, max, duration_ms, tier, key_id, dir, detail)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            s.id, s.run, s.lab, s.lab_title, s.track, s.version, s.at, signed(s.score)?, signed(s.max)?,
            signed(s.duration_ms)?, word(&s.tier)?, s.key_id, s.dir, encode(detail)?
        ])?;
    if new > 0 {
        tx.prepare_cached("INSERT INTO outbox (result, queued, next_at) VALUES (?1, ?2, ?2)")?
            .execute(params![s.id, s.at])?;
    }
    Ok(())
}

/// Newest first.
pub fn list(conn: &Conn) -> Result<Vec<ResultSummary>> {
    let sql = format!("SELECT {COLUMNS} FROM results ORDER BY at DESC, id");
    conn.prepare_cached(&sql)?.query_and_then([], read)?.collect()
}

/// Of one lab, newest first.
pub fn of_lab(conn: &Conn, lab: &str) -> Result<Vec<ResultSummary>> {
    let sql = format!("SELECT {COLUMNS} FROM results WHERE lab = ?1 ORDER BY at DESC, id");
    conn.prepare_cached(&sql)?.query_and_then([lab], read)?.collect()
}

/// Of one run, oldest first.
pub fn of_run(conn: &Conn, run: &str) -> Result<Vec<ResultSummary>> {
    let sql = format!("SELECT {COLUMNS} FROM results WHERE run = ?1 ORDER BY at, id");
    conn.prepare_cached(&sql)?.query_and_then([run], read)?.collect()
}

/// The result and its detail; an unambiguous beginning of the id of at least 8 characters is enough. `NotFound`.
pub fn get(conn: &Conn, id: &str) -> Result<(ResultSummary, serde_json::Value)> {
    let unknown = || Error::new(Code::NotFound, format!("There is no result “{id}”.")).hint("See the list of results.");
    if id.len() < 8 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(unknown());
    }
    let sql = format!("SELECT {COLUMNS}, detail FROM results WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2");
    let mut found: Vec<(ResultSummary, serde_json::Value)> = conn
        .prepare_cached(&sql)?
        .query_and_then([id.to_ascii_lowercase()], |r| Ok((read(r)?, decode("result", &r.get::<_, String>(14)?)?)))?
        .collect::<Result<_>>()?;
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        _ => Err(unknown()),
    }
}

/// The best score in proportion to what could be reached, per lab; the later wins a tie.
pub fn best(conn: &Conn, lab: &str) -> Result<Option<ResultSummary>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM results WHERE lab = ?1 AND max > 0 ORDER BY CAST(score AS REAL) / max DESC, at DESC LIMIT 1"
    );
    conn.prepare_cached(&sql)?.query_and_then([lab], read)?.next().transpose()
}

/// Verdicts due to be sent at `now`, oldest first.
pub fn due(conn: &Conn, now: i64, limit: u32) -> Result<Vec<Queued>> {
    let mut q = conn.prepare_cached(
        "SELECT o.result, r.dir, o.attempts, o.last_error FROM outbox o JOIN results r ON r.id = o.result
         WHERE o.next_at <= ?1 ORDER BY o.queued, o.result LIMIT ?2",
    )?;
    q.query_and_then(params![now, limit], |r| {
        Ok(Queued { result: r.get(0)?, dir: r.get(1)?, attempts: r.get(2)?, last_error: r.get(3)? })
    })?
    .collect()
}

/// The scoreboard has it.
pub fn acknowledged(tx: &Tx, result: &str) -> Result<()> {
    tx.prepare_cached("DELETE FROM outbox WHERE result = ?1")?.execute([result])?;
    Ok(())
}

/// Sending failed; to be tried again at `next_at`.
pub fn postponed(tx: &Tx, result: &str, next_at: i64, error: &str) -> Result<()> {
    tx.prepare_cached("UPDATE outbox SET attempts = attempts + 1, next_at = ?2, last_error = ?3 WHERE result = ?1")?
        .execute(params![result, next_at, error])?;
    Ok(())
}

/// The same for a try that does not count; it is tried again when it was to be.
pub fn still_waits(tx: &Tx, result: &str, error: &str) -> Result<()> {
    tx.prepare_cached("UPDATE outbox SET last_error = ?2 WHERE result = ?1")?.execute(params![result, error])?;
    Ok(())
}

/// How many verdicts wait.
pub fn queued(conn: &Conn) -> Result<u32> {
    Ok(conn.prepare_cached("SELECT count(*) FROM outbox")?.query_row([], |r| r.get(0))?)
}

/// Whether the result exists at all (by its full id).
pub fn exists(conn: &Conn, id: &str) -> Result<bool> {
    let found: Option<i64> =
        conn.prepare_cached("SELECT 1 FROM results WHERE id = ?1")?.query_row([id], |r| r.get(0)).optional()?;
    Ok(found.is_some())
}

fn read(r: &Row) -> Result<ResultSummary> {
    Ok(ResultSummary {
        id: r.get(0)?,
        run: r.get(1)?,
        lab: r.get(2)?,
        lab_title: r.get(3)?,
        track: r.get(4)?,
        version: r.get(5)?,
        at: r.get(6)?,
        score: unsigned(r.get(7)?)?,
        max: unsigned(r.get(8)?)?,
        duration_ms: unsigned(r.get(9)?)?,
        tier: from_word("trust tier", r.get(10)?)?,
        key_id: r.get(11)?,
        dir: r.get(12)?,
        established: r.get::<_, Option<String>>(13)?.map(|word| from_word("trust tier", word)).transpose()?,
    })
}
