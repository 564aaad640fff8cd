//! Points that have been used in a run by each role, as the action gate counts them. What comes back with time, and what
//! anything costs, is a matter of the room above.

use super::{Conn, Tx, signed, unsigned};
use crate::error::Result;
use rusqlite::{OptionalExtension, params};

pub(super) const V1: &str = "
CREATE TABLE action_points (
    run     TEXT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    role    TEXT NOT NULL,
    points  INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (run, role)
) STRICT, WITHOUT ROWID;";

/// What a role had used, and when that was written down, by the run's own clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    pub points: u64,
    pub at: i64,
}

pub fn of(conn: &Conn, run: &str, role: &str) -> Result<Used> {
    conn.prepare_cached("SELECT points, at FROM action_points WHERE run = ?1 AND role = ?2")?
        .query_row([run, role], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()?
        .map_or_else(|| Ok(Used::default()), |(points, at)| Ok(Used { points: unsigned(points)?, at }))
}

pub fn set(tx: &Tx, run: &str, role: &str, used: Used) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO action_points (run, role, points, at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (run, role) DO UPDATE SET points = excluded.points, at = excluded.at",
    )?
    .execute(params![run, role, signed(used.points)?, used.at])?;
    Ok(())
}
