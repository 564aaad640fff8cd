//! What a subject has used, for the quota gate; read in the transaction that admits the next run, so that two
//! requests at once cannot both take the last place.

use super::{Conn, unsigned};
use crate::error::Result;
use rusqlite::params;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Runs that began within the last 24 hours.
    pub today: u32,
    /// Runs that began within the last 60 seconds.
    pub last_minute: u32,
    /// Runs that hold containers now.
    pub concurrent: u32,
    /// CPUs in thousandths and memory in MiB that those runs were promised.
    pub cpu_milli: u64,
    pub memory_mb: u64,
    pub pids: u64,
    pub disk_mb: u64,
}

const HELD: &str = "state IN ('starting', 'ready', 'paused', 'stopping')";

/// Usage of one subject at `now`. A run dated in the future (the clock was set back) counts as one of today's.
pub fn of(conn: &Conn, subject: &str, now: i64) -> Result<Usage> {
    count(conn, Some(subject), now)
}

/// Usage of this machine, whoever asked.
pub fn of_machine(conn: &Conn, now: i64) -> Result<Usage> {
    count(conn, None, now)
}

fn count(conn: &Conn, subject: Option<&str>, now: i64) -> Result<Usage> {
    let sql = format!(
        "SELECT coalesce(sum(created > ?2), 0), coalesce(sum(created > ?3), 0), coalesce(sum({HELD}), 0),
                coalesce(sum(iif({HELD}, cpu_milli, 0)), 0), coalesce(sum(iif({HELD}, memory_mb, 0)), 0),
                coalesce(sum(iif({HELD}, pids, 0)), 0), coalesce(sum(iif({HELD}, disk_mb, 0)), 0)
         FROM runs WHERE (?1 IS NULL OR subject = ?1) AND (created > ?2 OR {HELD})"
    );
    let mut q = conn.prepare_cached(&sql)?;
    q.query_and_then(params![subject, now.saturating_sub(24 * 3_600_000), now.saturating_sub(60_000)], |r| {
        Ok(Usage {
            today: r.get(0)?,
            last_minute: r.get(1)?,
            concurrent: r.get(2)?,
            cpu_milli: unsigned(r.get(3)?)?,
            memory_mb: unsigned(r.get(4)?)?,
            pids: unsigned(r.get(5)?)?,
            disk_mb: unsigned(r.get(6)?)?,
        })
    })?
    .next()
    .unwrap_or_else(|| Ok(Usage::default()))
}

/// Who holds how much memory (MiB) now, the largest first.
pub fn holders(conn: &Conn) -> Result<Vec<(String, u64)>> {
    let sql = format!(
        "SELECT subject, sum(memory_mb) AS held FROM runs WHERE {HELD} GROUP BY subject ORDER BY held DESC, subject"
    );
    conn.prepare_cached(&sql)?.query_and_then([], |r| Ok((r.get(0)?, unsigned(r.get(1)?)?)))?.collect()
}
