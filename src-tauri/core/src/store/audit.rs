//! Rows of the audit log and its checkpoints. The chain itself (what is hashed, signed and verified) is
//! [`crate::audit`]'s; these functions only keep bytes. Nothing here updates or deletes an entry.

use super::{Conn, Tx};
use crate::error::Result;
use rusqlite::{OptionalExtension, Row, params};

pub(super) const V1: &str = "
CREATE TABLE audit (
    seq    INTEGER PRIMARY KEY,
    run    TEXT,
    kind   TEXT NOT NULL,
    entry  TEXT NOT NULL,
    hash   BLOB NOT NULL
) STRICT;
CREATE INDEX audit_run ON audit (run, seq);
CREATE TABLE audit_head (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    size   INTEGER NOT NULL,
    hash   BLOB NOT NULL,
    peaks  BLOB NOT NULL
) STRICT;
CREATE TABLE audit_checkpoints (
    size  INTEGER PRIMARY KEY,
    at    INTEGER NOT NULL,
    note  TEXT NOT NULL
) STRICT;
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'audit entries are final'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT raise(ABORT, 'audit entries are final'); END;";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Position in the log, from 0.
    pub seq: i64,
    pub run: Option<String>,
    pub kind: String,
    /// RFC 8785 canonical JSON; exactly these bytes were hashed.
    pub entry: String,
    pub hash: Vec<u8>,
}

/// Where the log ends: number of entries, hash of the last one, and the roots of the complete subtrees (32 bytes
/// each, largest first) from which the tree head follows without reading the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub size: i64,
    pub hash: Vec<u8>,
    pub peaks: Vec<u8>,
}

pub fn insert(tx: &Tx, row: &Entry) -> Result<()> {
    tx.prepare_cached("INSERT INTO audit (seq, run, kind, entry, hash) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![row.seq, row.run, row.kind, row.entry, row.hash])?;
    Ok(())
}

pub fn head(conn: &Conn) -> Result<Option<Head>> {
    Ok(conn
        .prepare_cached("SELECT size, hash, peaks FROM audit_head WHERE id = 1")?
        .query_row([], |r| Ok(Head { size: r.get(0)?, hash: r.get(1)?, peaks: r.get(2)? }))
        .optional()?)
}

pub fn set_head(tx: &Tx, head: &Head) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO audit_head (id, size, hash, peaks) VALUES (1, ?1, ?2, ?3)
         ON CONFLICT (id) DO UPDATE SET size = excluded.size, hash = excluded.hash, peaks = excluded.peaks",
    )?
    .execute(params![head.size, head.hash, head.peaks])?;
    Ok(())
}

/// Entries from `from` on, in order, at most `limit`: verification reads the log in pages.
pub fn page(conn: &Conn, from: i64, limit: u32) -> Result<Vec<Entry>> {
    let mut q =
        conn.prepare_cached("SELECT seq, run, kind, entry, hash FROM audit WHERE seq >= ?1 ORDER BY seq LIMIT ?2")?;
    q.query_and_then(params![from, limit], read)?.collect()
}

/// Entries of one run, in order.
pub fn of_run(conn: &Conn, run: &str) -> Result<Vec<Entry>> {
    let mut q = conn.prepare_cached("SELECT seq, run, kind, entry, hash FROM audit WHERE run = ?1 ORDER BY seq")?;
    q.query_and_then([run], read)?.collect()
}

/// What to look for; every part that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// What the kind begins with.
    pub kind: Option<String>,
    pub run: Option<String>,
    /// Of gate decisions: the answer.
    pub allow: Option<bool>,
    /// Of gate decisions: asked on the same occasion.
    pub correlation: Option<String>,
    /// Only entries before this one.
    pub before: Option<i64>,
}

/// The newest entries that match, newest first. An entry that was made unreadable matches no answer and no occasion.
pub fn search(conn: &Conn, what: &Search, limit: u32) -> Result<Vec<Entry>> {
    let mut q = conn.prepare_cached(
        "SELECT seq, run, kind, entry, hash FROM audit
         WHERE seq < ?1 AND (?2 IS NULL OR substr(kind, 1, length(?2)) = ?2) AND (?3 IS NULL OR run = ?3)
           AND (?4 IS NULL OR CASE WHEN json_valid(entry) THEN json_extract(entry, '$.data.allow') END = ?4)
           AND (?5 IS NULL OR CASE WHEN json_valid(entry) THEN json_extract(entry, '$.data.correlation') END = ?5)
         ORDER BY seq DESC LIMIT ?6",
    )?;
    let before = what.before.unwrap_or(i64::MAX);
    q.query_and_then(params![before, what.kind, what.run, what.allow, what.correlation, limit], read)?.collect()
}

/// One entry, if there is one of this number.
pub fn get(conn: &Conn, seq: i64) -> Result<Option<Entry>> {
    let mut q = conn.prepare_cached("SELECT seq, run, kind, entry, hash FROM audit WHERE seq = ?1")?;
    q.query_and_then([seq], read)?.next().transpose()
}

/// Keeps a signed checkpoint; one per size, the first stays.
pub fn keep_checkpoint(tx: &Tx, size: i64, at: i64, note: &str) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO audit_checkpoints (size, at, note) VALUES (?1, ?2, ?3) ON CONFLICT (size) DO NOTHING",
    )?
    .execute(params![size, at, note])?;
    Ok(())
}

/// The checkpoint that was signed over the first `size` entries.
pub fn checkpoint_at(conn: &Conn, size: i64) -> Result<Option<String>> {
    let mut q = conn.prepare_cached("SELECT note FROM audit_checkpoints WHERE size = ?1")?;
    Ok(q.query_row([size], |r| r.get(0)).optional()?)
}

/// All checkpoints kept, `(size, note)`, smallest first.
pub fn checkpoints(conn: &Conn) -> Result<Vec<(i64, String)>> {
    let mut q = conn.prepare_cached("SELECT size, note FROM audit_checkpoints ORDER BY size")?;
    q.query_and_then([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect()
}

fn read(r: &Row) -> Result<Entry> {
    Ok(Entry { seq: r.get(0)?, run: r.get(1)?, kind: r.get(2)?, entry: r.get(3)?, hash: r.get(4)? })
}
