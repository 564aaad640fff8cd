//! Runs: one row per started lab, and the hints revealed in it.
//!
//! ```text
//! Starting ─→ Ready ⇄ Paused        any of these three ─→ Stopping ─→ Stopped
//!     └─────────┴───────┴─→ Failed
//! ```
//! Stopped and failed are final: clearing up what a failure left takes nothing from why it failed.
//!
//! A transition names the state it expects and is refused with `WrongState` when the run is in another: of two
//! processes that want to act on the same run, one does.

mod row;

pub use row::{NewRun, Owner, Run, Started, alive, legal};

use self::row::read;
use super::{Conn, Tx, decode, encode, from_word, signed, unsigned, word};
use crate::api::{CheckReport, Isolation, RunState, Step};
use crate::error::{Code, Error, Result};
use rusqlite::{OptionalExtension, params};

pub(super) const V1: &str = "
CREATE TABLE runs (
    run           TEXT PRIMARY KEY,
    request_id    TEXT NOT NULL UNIQUE,
    subject       TEXT NOT NULL,
    lab           TEXT NOT NULL,
    lab_title     TEXT NOT NULL,
    track         TEXT NOT NULL,
    version       TEXT NOT NULL,
    digest        TEXT NOT NULL,
    seed          TEXT NOT NULL,
    scenario      TEXT NOT NULL,
    nodes         INTEGER NOT NULL,
    cpu_milli     INTEGER NOT NULL,
    memory_mb     INTEGER NOT NULL,
    state         TEXT NOT NULL,
    reason        TEXT NOT NULL DEFAULT '',
    created       INTEGER NOT NULL,
    started       TEXT,
    ready_ms      INTEGER,
    deadline      INTEGER,
    remaining_ms  INTEGER,
    ended         INTEGER,
    steps         TEXT NOT NULL DEFAULT '[]',
    last_check    TEXT,
    isolation     TEXT,
    owner         TEXT
) STRICT;
CREATE INDEX runs_state ON runs (state);
CREATE INDEX runs_created ON runs (created);
CREATE TABLE revealed_hints (
    run   TEXT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    hint  TEXT NOT NULL,
    at    INTEGER NOT NULL,
    PRIMARY KEY (run, hint)
) STRICT, WITHOUT ROWID;";

/// Shares of the machine that came later: processes, room on the disk, and room that a run over its share was lent to clean up.
pub(super) const V2: &str = "
ALTER TABLE runs ADD COLUMN pids INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN disk_mb INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN disk_lent_mb INTEGER NOT NULL DEFAULT 0;";

/// Whose organisation's it is; empty for runs of before.
pub(super) const V3: &str = "ALTER TABLE runs ADD COLUMN tenant TEXT NOT NULL DEFAULT '';";

const COLUMNS: &str = "run, request_id, subject, tenant, lab, lab_title, track, version, digest, seed, nodes, state, reason, \
     created, started, ready_ms, deadline, remaining_ms, ended, last_check, isolation, owner, cpu_milli, memory_mb, \
     pids, disk_mb, disk_lent_mb";

/// A new run in `Starting`. `RequestReused` when the request id is taken, `StoreFailed` when the run id is.
pub fn insert(tx: &Tx, new: &NewRun) -> Result<Run> {
    if let Some(other) = by_request(tx, &new.request_id)? {
        return Err(Error::new(
            Code::RequestReused,
            format!("The request id “{}” belongs to run {} of lab {}.", new.request_id, other.run, other.lab),
        )
        .details(serde_json::json!({"run": other.run, "lab": other.lab, "seed": other.seed})));
    }
    tx.prepare_cached(
        "INSERT INTO runs (run, request_id, subject, lab, lab_title, track, version, digest, seed, scenario, nodes,
                           cpu_milli, memory_mb, state, created, owner, pids, disk_mb, tenant)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
    )?
    .execute(params![
        new.run,
        new.request_id,
        new.subject,
        new.lab,
        new.lab_title,
        new.track,
        new.version,
        new.digest,
        new.seed,
        new.scenario,
        new.nodes,
        signed(new.cpu_milli)?,
        signed(new.memory_mb)?,
        word(&RunState::Starting)?,
        new.created,
        encode(&new.owner)?,
        signed(new.pids)?,
        signed(new.disk_mb)?,
        new.tenant,
    ])?;
    get(tx, &new.run)
}

/// `UnknownRun` when there is none of this id.
pub fn get(conn: &Conn, run: &str) -> Result<Run> {
    let sql = format!("SELECT {COLUMNS} FROM runs WHERE run = ?1");
    conn.prepare_cached(&sql)?.query_and_then([run], read)?.next().unwrap_or_else(|| Err(unknown(run)))
}

pub fn by_request(conn: &Conn, request_id: &str) -> Result<Option<Run>> {
    let sql = format!("SELECT {COLUMNS} FROM runs WHERE request_id = ?1");
    conn.prepare_cached(&sql)?.query_and_then([request_id], read)?.next().transpose()
}

/// Newest first; only those that are alive unless `all`.
pub fn list(conn: &Conn, all: bool) -> Result<Vec<Run>> {
    let sql =
        format!("SELECT {COLUMNS} FROM runs WHERE ?1 OR state NOT IN ('stopped', 'failed') ORDER BY created DESC, run");
    conn.prepare_cached(&sql)?.query_and_then([all], read)?.collect()
}

/// The newest run of a lab that is alive.
pub fn active_of_lab(conn: &Conn, lab: &str) -> Result<Option<Run>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM runs WHERE lab = ?1 AND state NOT IN ('stopped', 'failed') ORDER BY created DESC LIMIT 1"
    );
    conn.prepare_cached(&sql)?.query_and_then([lab], read)?.next().transpose()
}

/// When the lab was last started.
pub fn last_of_lab(conn: &Conn, lab: &str) -> Result<Option<i64>> {
    Ok(conn.prepare_cached("SELECT max(created) FROM runs WHERE lab = ?1")?.query_row([lab], |r| r.get(0))?)
}

/// How long the last starts of a lab took, newest first, in milliseconds.
pub fn ready_times(conn: &Conn, lab: &str, limit: u32) -> Result<Vec<u64>> {
    let mut q = conn.prepare_cached(
        "SELECT ready_ms FROM runs WHERE lab = ?1 AND ready_ms IS NOT NULL ORDER BY created DESC LIMIT ?2",
    )?;
    q.query_and_then(params![lab, limit], |r| unsigned(r.get(0)?))?.collect()
}

/// The scenario as it was stored, JSON.
pub fn scenario(conn: &Conn, run: &str) -> Result<String> {
    conn.prepare_cached("SELECT scenario FROM runs WHERE run = ?1")?
        .query_row([run], |r| r.get(0))
        .optional()?
        .ok_or_else(|| unknown(run))
}

pub fn steps(conn: &Conn, run: &str) -> Result<Vec<Step>> {
    let text: String = conn
        .prepare_cached("SELECT steps FROM runs WHERE run = ?1")?
        .query_row([run], |r| r.get(0))
        .optional()?
        .ok_or_else(|| unknown(run))?;
    decode("list of steps", &text)
}

pub fn set_steps(tx: &Tx, run: &str, steps: &[Step]) -> Result<()> {
    set(tx, run, "UPDATE runs SET steps = ?2 WHERE run = ?1", &encode(&steps)?)
}

pub fn set_last_check(tx: &Tx, run: &str, report: &CheckReport) -> Result<()> {
    set(tx, run, "UPDATE runs SET last_check = ?2 WHERE run = ?1", &encode(report)?)
}

pub fn set_isolation(tx: &Tx, run: &str, isolation: &Isolation) -> Result<()> {
    set(tx, run, "UPDATE runs SET isolation = ?2 WHERE run = ?1", &encode(isolation)?)
}

/// `Starting` → `Ready`.
pub fn ready(tx: &Tx, run: &str, ready_ms: u64, started: &Started, deadline: i64) -> Result<Run> {
    advance(tx, run, RunState::Starting, RunState::Ready, "")?;
    tx.prepare_cached("UPDATE runs SET ready_ms = ?2, started = ?3, deadline = ?4 WHERE run = ?1")?
        .execute(params![run, signed(ready_ms)?, encode(started)?, deadline])?;
    get(tx, run)
}

/// From this moment on the run counts by the clock of another boot.
pub fn counts_from(tx: &Tx, run: &str, moment: &Started) -> Result<()> {
    let Some(mut started) = get(tx, run)?.started else { return Ok(()) };
    started.later = Some(Box::new(moment.clone()));
    set(tx, run, "UPDATE runs SET started = ?2 WHERE run = ?1", &encode(&started)?)
}

/// `Ready` → `Paused`; the time left at `now` is frozen.
pub fn pause(tx: &Tx, run: &str, now: i64) -> Result<Run> {
    pause_because(tx, run, "", now)
}

/// The same when nobody asked for it: `reason` says why, until the run is resumed.
pub fn pause_because(tx: &Tx, run: &str, reason: &str, now: i64) -> Result<Run> {
    advance(tx, run, RunState::Ready, RunState::Paused, reason)?;
    tx.prepare_cached("UPDATE runs SET remaining_ms = max(deadline - ?2, 0), deadline = NULL WHERE run = ?1")?
        .execute(params![run, now])?;
    get(tx, run)
}

/// `Paused` → `Ready`; the time left runs again from `now`.
pub fn resume(tx: &Tx, run: &str, now: i64) -> Result<Run> {
    advance(tx, run, RunState::Paused, RunState::Ready, "")?;
    tx.prepare_cached("UPDATE runs SET deadline = ?2 + remaining_ms, remaining_ms = NULL, reason = '' WHERE run = ?1")?
        .execute(params![run, now])?;
    get(tx, run)
}

/// Room beyond its share that a run may use until it is below the share again (0: none).
pub fn lend_disk(tx: &Tx, run: &str, mb: u64) -> Result<()> {
    if tx.prepare_cached("UPDATE runs SET disk_lent_mb = ?2 WHERE run = ?1")?.execute(params![run, signed(mb)?])? == 0 {
        return Err(unknown(run));
    }
    Ok(())
}

/// More time for a run that is ready or paused; `WrongState` otherwise.
pub fn extend(tx: &Tx, run: &str, by_ms: i64) -> Result<Run> {
    let changed = tx
        .prepare_cached(
            "UPDATE runs SET deadline = deadline + ?2, remaining_ms = remaining_ms + ?2
             WHERE run = ?1 AND state IN ('ready', 'paused')",
        )?
        .execute(params![run, by_ms])?;
    let now_is = get(tx, run)?;
    if changed == 0 {
        return Err(wrong(run, now_is.state, "be given more time"));
    }
    Ok(now_is)
}

/// Any state that is not final → `Stopping`. `reason` replaces the old one unless it is empty.
pub fn stopping(tx: &Tx, run: &str, reason: &str) -> Result<Run> {
    let from = get(tx, run)?.state;
    advance(tx, run, from, RunState::Stopping, reason)
}

/// `Stopping` → `Stopped`.
pub fn stopped(tx: &Tx, run: &str, now: i64) -> Result<Run> {
    advance(tx, run, RunState::Stopping, RunState::Stopped, "")?;
    end(tx, run, now)
}

/// Any state that is not final → `Failed`, with the reason in words.
pub fn failed(tx: &Tx, run: &str, reason: &str, now: i64) -> Result<Run> {
    let from = get(tx, run)?.state;
    advance(tx, run, from, RunState::Failed, reason)?;
    end(tx, run, now)
}

fn end(tx: &Tx, run: &str, now: i64) -> Result<Run> {
    tx.prepare_cached("UPDATE runs SET ended = ?2, owner = NULL, deadline = NULL, remaining_ms = NULL WHERE run = ?1")?
        .execute(params![run, now])?;
    get(tx, run)
}

/// The one way a state changes: only from the expected one, only along [`legal`]. `WrongState`, `UnknownRun`.
/// A `reason` that is empty leaves the one there is.
pub fn advance(tx: &Tx, run: &str, expected: RunState, to: RunState, reason: &str) -> Result<Run> {
    let changed = if legal(expected, to) {
        tx.prepare_cached(
            "UPDATE runs SET state = ?3, reason = iif(?4 = '', reason, ?4) WHERE run = ?1 AND state = ?2",
        )?
        .execute(params![run, word(&expected)?, word(&to)?, reason])?
    } else {
        0
    };
    let now_is = get(tx, run)?;
    if changed == 0 {
        return Err(wrong(run, now_is.state, &format!("become {}", word(&to)?)));
    }
    Ok(now_is)
}

/// Takes charge of a run if it is still in the hands of `expected` (None: nobody's); `WrongState` when another
/// process was quicker.
pub fn claim(tx: &Tx, run: &str, expected: Option<&Owner>, new: &Owner) -> Result<()> {
    let changed = tx.prepare_cached("UPDATE runs SET owner = ?3 WHERE run = ?1 AND owner IS ?2")?.execute(params![
        run,
        expected.map(encode).transpose()?,
        encode(new)?
    ])?;
    if changed == 0 {
        let holder = get(tx, run)?.owner;
        return Err(Error::new(Code::WrongState, format!("Another process is at work on run {run}."))
            .hint("Wait a moment, then try again.")
            .details(serde_json::json!({"owner": holder})));
    }
    Ok(())
}

/// Lets go of a run; nothing happens when it is in other hands by now.
pub fn release(tx: &Tx, run: &str, owner: &Owner) -> Result<()> {
    tx.prepare_cached("UPDATE runs SET owner = NULL WHERE run = ?1 AND owner = ?2")?
        .execute(params![run, encode(owner)?])?;
    Ok(())
}

/// Remembers that a hint was revealed; false when it had been before.
pub fn reveal_hint(tx: &Tx, run: &str, hint: &str, at: i64) -> Result<bool> {
    get(tx, run)?;
    Ok(tx
        .prepare_cached("INSERT INTO revealed_hints (run, hint, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute(params![run, hint, at])?
        > 0)
}

/// Ids of the hints revealed in a run, in the order they were.
pub fn revealed_hints(conn: &Conn, run: &str) -> Result<Vec<String>> {
    let mut q = conn.prepare_cached("SELECT hint FROM revealed_hints WHERE run = ?1 ORDER BY at, hint")?;
    q.query_and_then([run], |r| Ok(r.get(0)?))?.collect()
}

fn set(tx: &Tx, run: &str, sql: &str, value: &str) -> Result<()> {
    if tx.prepare_cached(sql)?.execute(params![run, value])? == 0 {
        return Err(unknown(run));
    }
    Ok(())
}

fn unknown(run: &str) -> Error {
    Error::new(Code::UnknownRun, format!("There is no run “{run}”.")).hint("`forge ps --all` lists the runs.")
}

fn wrong(run: &str, state: RunState, wish: &str) -> Error {
    let state = match word(&state) {
        Ok(w) => w,
        Err(e) => return e,
    };
    Error::new(Code::WrongState, format!("Run {run} is {state}; it cannot {wish} now."))
        .details(serde_json::json!({"state": state}))
}
