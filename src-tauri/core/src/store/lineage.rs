//! The keys this installation has had, by name and in order, so that one that is exchanged behind its back is noticed.

use super::{Conn, Tx};
use crate::error::Result;
use rusqlite::params;

pub(super) const V1: &str = "
CREATE TABLE key_lineage (
    seq        INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    id         TEXT NOT NULL,
    pem        TEXT NOT NULL,
    at         INTEGER NOT NULL,
    exchanged  INTEGER NOT NULL
) STRICT;";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Had {
    /// Whose key it is: `learner`.
    pub name: String,
    /// Fingerprint and public half.
    pub id: String,
    pub pem: String,
    /// When it was first seen.
    pub at: i64,
    /// The one before it did not sign it.
    pub exchanged: bool,
}

pub fn add(tx: &Tx, had: &Had) -> Result<()> {
    tx.prepare_cached("INSERT INTO key_lineage (name, id, pem, at, exchanged) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![had.name, had.id, had.pem, had.at, had.exchanged])?;
    Ok(())
}

/// Oldest first.
pub fn list(conn: &Conn) -> Result<Vec<Had>> {
    let mut q = conn.prepare_cached("SELECT name, id, pem, at, exchanged FROM key_lineage ORDER BY seq")?;
    q.query_and_then([], |r| {
        Ok(Had { name: r.get(0)?, id: r.get(1)?, pem: r.get(2)?, at: r.get(3)?, exchanged: r.get(4)? })
    })?
    .collect()
}
