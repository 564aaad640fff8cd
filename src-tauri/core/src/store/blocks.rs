//! Subjects and whole organisations that may not start labs. Read in the transaction that admits a run, so that a block that was written is in
//! force for everything admitted after it.

use super::{Conn, Tx};
use crate::error::Result;
use rusqlite::{OptionalExtension, Row, params};

pub(super) const V1: &str = "
CREATE TABLE blocks (
    subject  TEXT PRIMARY KEY,
    reason   TEXT NOT NULL,
    at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;";

/// How an organisation is named among those that are blocked.
pub const TENANT: &str = "tenant:";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub subject: String,
    pub reason: String,
    pub at: i64,
}

/// Blocks a subject, or gives an existing block another reason.
pub fn set(tx: &Tx, block: &Block) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO blocks (subject, reason, at) VALUES (?1, ?2, ?3)
         ON CONFLICT (subject) DO UPDATE SET reason = excluded.reason, at = excluded.at",
    )?
    .execute(params![block.subject, block.reason, block.at])?;
    Ok(())
}

/// False when the subject was not blocked.
pub fn lift(tx: &Tx, subject: &str) -> Result<bool> {
    Ok(tx.prepare_cached("DELETE FROM blocks WHERE subject = ?1")?.execute([subject])? > 0)
}

pub fn of(conn: &Conn, subject: &str) -> Result<Option<Block>> {
    Ok(conn
        .prepare_cached("SELECT subject, reason, at FROM blocks WHERE subject = ?1")?
        .query_row([subject], read)
        .optional()?)
}

/// By subject.
pub fn list(conn: &Conn) -> Result<Vec<Block>> {
    let mut q = conn.prepare_cached("SELECT subject, reason, at FROM blocks ORDER BY subject")?;
    q.query_and_then([], |r| Ok(read(r)?))?.collect()
}

/// Runs that are alive although somebody is kept out whose they are, each with the block: a subject's own before its organisation's.
pub fn alive_runs(conn: &Conn) -> Result<Vec<(String, Block)>> {
    let mut q = conn.prepare_cached(
        "SELECT r.run, b.subject, b.reason, b.at FROM runs r JOIN blocks b
             ON b.subject = r.subject OR (r.tenant <> '' AND b.subject = ?1 || r.tenant)
         WHERE r.state IN ('starting', 'ready', 'paused') ORDER BY r.run, b.subject <> r.subject",
    )?;
    let mut found: Vec<(String, Block)> = q
        .query_and_then([TENANT], |r| Ok((r.get(0)?, Block { subject: r.get(1)?, reason: r.get(2)?, at: r.get(3)? })))?
        .collect::<Result<_>>()?;
    found.dedup_by(|next, first| next.0 == first.0);
    Ok(found)
}

fn read(r: &Row) -> rusqlite::Result<Block> {
    Ok(Block { subject: r.get(0)?, reason: r.get(1)?, at: r.get(2)? })
}
