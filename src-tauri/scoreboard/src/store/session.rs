//! Challenge sessions and the nonces issued in them.

use super::{Row, Tx};
use crate::params;
use forge_core::board::Session;
use forge_core::error::Result;

pub const SQL: &str = "
CREATE TABLE sessions (id TEXT PRIMARY KEY, class TEXT NOT NULL REFERENCES classes (name), join_code TEXT NOT NULL UNIQUE, secret TEXT NOT NULL,
  body TEXT NOT NULL, created_at BIGINT NOT NULL);
CREATE INDEX sessions_class ON sessions (class, created_at);
CREATE TABLE joined (session TEXT NOT NULL REFERENCES sessions (id), learner TEXT NOT NULL REFERENCES learners (id), at BIGINT NOT NULL,
  PRIMARY KEY (session, learner));
CREATE TABLE challenges (nonce TEXT PRIMARY KEY, session TEXT NOT NULL REFERENCES sessions (id), learner TEXT NOT NULL, key_id TEXT NOT NULL,
  lab TEXT NOT NULL, seed TEXT NOT NULL, attempt BIGINT NOT NULL, issued_at BIGINT NOT NULL, verdict TEXT);
CREATE UNIQUE INDEX challenges_attempt ON challenges (session, learner, lab, attempt);
";

/// A session with what nobody is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub session: Session,
    /// Per-learner seeds are drawn from it.
    pub secret: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    pub nonce: String,
    pub session: String,
    pub learner: String,
    pub key_id: String,
    pub lab: String,
    pub seed: String,
    pub attempt: i64,
    pub issued_at: i64,
    pub verdict: Option<String>,
}

pub fn insert(tx: &mut dyn Tx, kept: &Kept, join_code: &str) -> Result<()> {
    let s = &kept.session;
    tx.execute(
        "INSERT INTO sessions (id, class, join_code, secret, body, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        params![
            s.id.as_str(),
            s.class.as_str(),
            join_code,
            kept.secret.as_str(),
            serde_json::to_string(s)?,
            s.created_at
        ],
    )?;
    Ok(())
}

pub fn update(tx: &mut dyn Tx, session: &Session) -> Result<()> {
    let mut body = session.clone();
    body.join_code = None;
    tx.execute(
        "UPDATE sessions SET body = $2 WHERE id = $1",
        params![session.id.as_str(), serde_json::to_string(&body)?],
    )?;
    Ok(())
}

/// The join code comes from its own column.
fn read(row: &Row) -> Result<Kept> {
    let mut session: Session = serde_json::from_str(&row.text(0)?)?;
    session.join_code = Some(row.text(2)?);
    Ok(Kept { session, secret: row.text(1)? })
}

pub fn get(tx: &mut dyn Tx, id: &str) -> Result<Option<Kept>> {
    let row = tx.one("SELECT body, secret, join_code FROM sessions WHERE id = $1", params![id])?;
    row.as_ref().map(read).transpose()
}

pub fn by_code(tx: &mut dyn Tx, code: &str) -> Result<Option<Kept>> {
    let row = tx.one("SELECT body, secret, join_code FROM sessions WHERE join_code = $1", params![code])?;
    row.as_ref().map(read).transpose()
}

/// The newest 200 of a class, or of all.
pub fn list(tx: &mut dyn Tx, class: Option<&str>) -> Result<Vec<Kept>> {
    let rows = tx.query(
        "SELECT body, secret, join_code FROM sessions WHERE $1 = '' OR class = $1 ORDER BY created_at DESC LIMIT 200",
        params![class.unwrap_or("")],
    )?;
    rows.iter().map(read).collect()
}

pub fn count(tx: &mut dyn Tx) -> Result<i64> {
    tx.one("SELECT COUNT(*) FROM sessions", &[])?.map_or(Ok(0), |r| r.int(0))
}

/// True when the learner had not joined before.
pub fn join(tx: &mut dyn Tx, session: &str, learner: &str, now: i64) -> Result<bool> {
    let changed = tx.execute(
        "INSERT INTO joined (session, learner, at) VALUES ($1, $2, $3) ON CONFLICT (session, learner) DO NOTHING",
        params![session, learner, now],
    )?;
    Ok(changed > 0)
}

pub fn has_joined(tx: &mut dyn Tx, session: &str, learner: &str) -> Result<bool> {
    let row = tx.one("SELECT at FROM joined WHERE session = $1 AND learner = $2", params![session, learner])?;
    Ok(row.is_some())
}

/// (id, name, when), by name.
pub fn members(tx: &mut dyn Tx, session: &str) -> Result<Vec<(String, String, i64)>> {
    let rows = tx.query(
        "SELECT l.id, l.name, j.at FROM joined j JOIN learners l ON l.id = j.learner WHERE j.session = $1 ORDER BY l.name, l.id LIMIT 2000",
        params![session],
    )?;
    rows.iter().map(|r| Ok((r.text(0)?, r.text(1)?, r.int(2)?))).collect()
}

fn issued(row: &Row) -> Result<Issued> {
    Ok(Issued {
        nonce: row.text(0)?,
        session: row.text(1)?,
        learner: row.text(2)?,
        key_id: row.text(3)?,
        lab: row.text(4)?,
        seed: row.text(5)?,
        attempt: row.int(6)?,
        issued_at: row.int(7)?,
        verdict: row.maybe_text(8)?,
    })
}

const ISSUED: &str = "nonce, session, learner, key_id, lab, seed, attempt, issued_at, verdict";

pub fn by_nonce(tx: &mut dyn Tx, nonce: &str) -> Result<Option<Issued>> {
    let row = tx.one(&format!("SELECT {ISSUED} FROM challenges WHERE nonce = $1"), params![nonce])?;
    row.as_ref().map(issued).transpose()
}

/// The last one issued to this learner for this lab.
pub fn latest(tx: &mut dyn Tx, session: &str, learner: &str, lab: &str) -> Result<Option<Issued>> {
    let sql = format!(
        "SELECT {ISSUED} FROM challenges WHERE session = $1 AND learner = $2 AND lab = $3 ORDER BY attempt DESC LIMIT 1"
    );
    tx.one(&sql, params![session, learner, lab])?.as_ref().map(issued).transpose()
}

pub fn issue(tx: &mut dyn Tx, c: &Issued) -> Result<()> {
    tx.execute(
        "INSERT INTO challenges (nonce, session, learner, key_id, lab, seed, attempt, issued_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![
            c.nonce.as_str(),
            c.session.as_str(),
            c.learner.as_str(),
            c.key_id.as_str(),
            c.lab.as_str(),
            c.seed.as_str(),
            c.attempt,
            c.issued_at,
        ],
    )?;
    Ok(())
}

/// To the key of the laptop that asks now.
pub fn readdress(tx: &mut dyn Tx, nonce: &str, key_id: &str) -> Result<()> {
    tx.execute("UPDATE challenges SET key_id = $2 WHERE nonce = $1", params![nonce, key_id])?;
    Ok(())
}

pub fn answer(tx: &mut dyn Tx, nonce: &str, verdict: &str) -> Result<()> {
    tx.execute("UPDATE challenges SET verdict = $2 WHERE nonce = $1", params![nonce, verdict])?;
    Ok(())
}
