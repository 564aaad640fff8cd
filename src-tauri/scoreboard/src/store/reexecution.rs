//! Who has executed a verdict again, and what came of it: the signed statements as they came, also those that disagree.

use super::Tx;
use crate::params;
use forge_core::error::Result;

/// Also run on a database that was restored from an older backup.
pub const SQL: &str = "
CREATE TABLE IF NOT EXISTS reexecutions (id TEXT PRIMARY KEY, verdict TEXT NOT NULL, key_id TEXT NOT NULL, agrees BIGINT NOT NULL,
  at BIGINT NOT NULL, statement TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS reexecutions_verdict ON reexecutions (verdict, at, id);
";

pub const COLUMNS: &str = "id, verdict, key_id, agrees, at, statement";
/// Statements about one verdict.
pub const MOST: i64 = 50;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// SHA-256 of the signed bytes.
    pub id: String,
    pub verdict: String,
    pub key_id: String,
    pub agrees: bool,
    /// By the server's clock.
    pub at: i64,
    /// `Signed<Reexecution>` as JSON.
    pub statement: String,
}

pub fn add(tx: &mut dyn Tx, kept: &Kept) -> Result<()> {
    tx.execute(
        "INSERT INTO reexecutions (id, verdict, key_id, agrees, at, statement) VALUES ($1, $2, $3, $4, $5, $6)",
        params![
            kept.id.as_str(),
            kept.verdict.as_str(),
            kept.key_id.as_str(),
            i64::from(kept.agrees),
            kept.at,
            kept.statement.as_str(),
        ],
    )?;
    Ok(())
}

pub fn of_verdict(tx: &mut dyn Tx, verdict: &str) -> Result<Vec<Kept>> {
    let sql = format!("SELECT {COLUMNS} FROM reexecutions WHERE verdict = $1 ORDER BY at, id LIMIT $2");
    let read = |r: &super::Row| {
        Ok(Kept {
            id: r.text(0)?,
            verdict: r.text(1)?,
            key_id: r.text(2)?,
            agrees: r.int(3)? != 0,
            at: r.int(4)?,
            statement: r.text(5)?,
        })
    };
    tx.query(&sql, params![verdict, MOST])?.iter().map(read).collect()
}
