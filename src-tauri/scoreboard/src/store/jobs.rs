//! Verdicts that are to be executed again, and which worker has them for how long. One row for a verdict, for ever.

use super::{Row, Tx};
use crate::params;
use forge_core::board::{Job, JobState, TRIES};
use forge_core::error::{Error, Result};

/// Also run on a database that was made before, or restored from an older backup.
pub const SQL: &str = "
CREATE TABLE IF NOT EXISTS jobs (verdict TEXT PRIMARY KEY, class TEXT NOT NULL, lab TEXT NOT NULL, learner TEXT NOT NULL,
  asked_by TEXT NOT NULL, asked_at BIGINT NOT NULL, state TEXT NOT NULL, tries BIGINT NOT NULL, next_at BIGINT NOT NULL, worker TEXT,
  lease TEXT, lease_until BIGINT, ended_at BIGINT, agrees BIGINT, why TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS jobs_queue ON jobs (state, class, asked_at, verdict);
CREATE INDEX IF NOT EXISTS jobs_class ON jobs (class, asked_at, verdict);
";

pub const COLUMNS: &str = "verdict, class, lab, learner, asked_by, asked_at, state, tries, next_at, worker, lease, lease_until, \
     ended_at, agrees, why";
/// Jobs of a class that are not over.
pub const MOST: i64 = 1_000;
/// Milliseconds before another try, for each that was made.
const PAUSE: i64 = 30_000;
pub const SILENT: &str = "The worker was not heard of any more.";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub job: Job,
    /// Whose verdict it is, who never gets the job.
    pub learner: String,
    /// A person's id, or `admin`.
    pub asked_by: String,
    /// Not before this time.
    pub next_at: i64,
    /// The person who has it, or had it last.
    pub worker: Option<String>,
    pub lease: Option<String>,
    pub lease_until: Option<i64>,
}

impl Kept {
    pub fn new(job: Job, learner: &str, asked_by: &str) -> Self {
        let (learner, asked_by, next_at) = (learner.to_owned(), asked_by.to_owned(), job.asked_at);
        Self { job, learner, asked_by, next_at, worker: None, lease: None, lease_until: None }
    }

    /// Whether this person has it now.
    pub fn held_by(&self, person: &str, now: i64) -> bool {
        self.job.state == JobState::Running
            && self.worker.as_deref() == Some(person)
            && self.lease_until.is_some_and(|until| until >= now)
    }
}

fn state(word: &str) -> Result<JobState> {
    let found = JobState::ALL.into_iter().find(|s| s.word() == word);
    found.ok_or_else(|| Error::internal(format!("a job in a state {word:?} is stored")))
}

fn read(row: &Row) -> Result<Kept> {
    Ok(Kept {
        job: Job {
            verdict: row.text(0)?,
            class: row.text(1)?,
            lab: row.text(2)?,
            asked_at: row.int(5)?,
            state: state(&row.text(6)?)?,
            tries: row.int(7)?,
            ended_at: row.maybe_int(12)?,
            agrees: row.maybe_int(13)?.map(|n| n != 0),
            why: row.text(14)?,
        },
        learner: row.text(3)?,
        asked_by: row.text(4)?,
        next_at: row.int(8)?,
        worker: row.maybe_text(9)?,
        lease: row.maybe_text(10)?,
        lease_until: row.maybe_int(11)?,
    })
}

pub fn get(tx: &mut dyn Tx, verdict: &str) -> Result<Option<Kept>> {
    tx.one(&format!("SELECT {COLUMNS} FROM jobs WHERE verdict = $1"), params![verdict])?.as_ref().map(read).transpose()
}

/// With the session that its verdict belongs to.
pub fn in_session(tx: &mut dyn Tx, verdict: &str) -> Result<Option<(Kept, String)>> {
    let Some(kept) = get(tx, verdict)? else { return Ok(None) };
    let row = tx.one("SELECT session FROM verdicts WHERE id = $1 AND session IS NOT NULL", params![verdict])?;
    row.map(|r| Ok((kept, r.text(0)?))).transpose()
}

/// The newest 200 of a class, or of all.
pub fn list(tx: &mut dyn Tx, class: Option<&str>) -> Result<Vec<Kept>> {
    let sql =
        format!("SELECT {COLUMNS} FROM jobs WHERE $1 = '' OR class = $1 ORDER BY asked_at DESC, verdict LIMIT 200");
    tx.query(&sql, params![class.unwrap_or("")])?.iter().map(read).collect()
}

/// Those of a session's verdicts.
pub fn of_session(tx: &mut dyn Tx, session: &str) -> Result<Vec<Kept>> {
    let columns: Vec<String> = COLUMNS.split(',').map(|c| format!("j.{}", c.trim())).collect();
    let sql = format!(
        "SELECT {} FROM verdicts v JOIN jobs j ON j.verdict = v.id WHERE v.session = $1 ORDER BY j.verdict LIMIT 20000",
        columns.join(", ")
    );
    tx.query(&sql, params![session])?.iter().map(read).collect()
}

/// Of a class, not over.
pub fn open(tx: &mut dyn Tx, class: &str) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM jobs WHERE state IN ('queued', 'running') AND class = $1";
    tx.one(sql, params![class])?.map_or(Ok(0), |r| r.int(0))
}

/// (state, how many), of all classes.
pub fn tallies(tx: &mut dyn Tx) -> Result<Vec<(JobState, i64)>> {
    let rows = tx.query("SELECT state, COUNT(*) FROM jobs GROUP BY state", &[])?;
    rows.iter().map(|r| Ok((state(&r.text(0)?)?, r.int(1)?))).collect()
}

/// Writes a job down, or what has become of it.
pub fn put(tx: &mut dyn Tx, kept: &Kept) -> Result<()> {
    let j = &kept.job;
    let sql = format!(
        "INSERT INTO jobs ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
         ON CONFLICT (verdict) DO UPDATE SET asked_by = excluded.asked_by, asked_at = excluded.asked_at, state = excluded.state,
           tries = excluded.tries, next_at = excluded.next_at, worker = excluded.worker, lease = excluded.lease,
           lease_until = excluded.lease_until, ended_at = excluded.ended_at, agrees = excluded.agrees, why = excluded.why"
    );
    tx.execute(
        &sql,
        params![
            j.verdict.as_str(),
            j.class.as_str(),
            j.lab.as_str(),
            kept.learner.as_str(),
            kept.asked_by.as_str(),
            j.asked_at,
            j.state.word(),
            j.tries,
            kept.next_at,
            kept.worker.clone(),
            kept.lease.clone(),
            kept.lease_until,
            j.ended_at,
            j.agrees.map(i64::from),
            j.why.as_str(),
        ],
    )?;
    Ok(())
}

/// The oldest that waits in this class and is not this person's own verdict.
pub fn next(tx: &mut dyn Tx, class: &str, person: &str, now: i64) -> Result<Option<Kept>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM jobs WHERE state = 'queued' AND class = $1 AND next_at <= $2 AND learner <> $3
         ORDER BY asked_at, verdict LIMIT 1"
    );
    tx.one(&sql, params![class, now, person])?.as_ref().map(read).transpose()
}

/// Running ones whose worker fell silent.
pub fn silent(tx: &mut dyn Tx, now: i64) -> Result<Vec<Kept>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM jobs WHERE state = 'running' AND lease_until < $1 ORDER BY lease_until, verdict LIMIT 256"
    );
    tx.query(&sql, params![now])?.iter().map(read).collect()
}

/// What has become of it, its lease being over.
pub fn end(kept: &mut Kept, state: JobState, why: &str, now: i64) {
    (kept.lease, kept.lease_until) = (None, None);
    kept.job.state = state;
    kept.job.why = why.to_owned();
    kept.job.ended_at = (state != JobState::Queued).then_some(now);
}

/// Back into the queue, after a pause, unless it was there often enough.
pub fn once_more(kept: &mut Kept, why: &str, now: i64) {
    let state = if kept.job.tries < TRIES { JobState::Queued } else { JobState::Failed };
    end(kept, state, why, now);
    kept.next_at = now + PAUSE * kept.job.tries;
}
