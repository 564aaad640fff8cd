//! What happens during a session: where each learner is, and how far they are with each lab; what the instructor said.

use super::Tx;
use crate::params;
use forge_core::board::{Message, Progress};
use forge_core::error::Result;

pub const SQL: &str = "
CREATE TABLE progress (session TEXT NOT NULL REFERENCES sessions (id), learner TEXT NOT NULL, body TEXT NOT NULL, at BIGINT NOT NULL,
  PRIMARY KEY (session, learner));
CREATE TABLE messages (session TEXT NOT NULL REFERENCES sessions (id), seq BIGINT NOT NULL, at BIGINT NOT NULL, body TEXT NOT NULL, learner TEXT,
  PRIMARY KEY (session, seq));
";

/// Since version 6: the newest of each lab, so that who goes on to the next one has still begun the last one.
pub const EACH: &str = "
CREATE TABLE IF NOT EXISTS lab_progress (session TEXT NOT NULL REFERENCES sessions (id), learner TEXT NOT NULL, lab TEXT NOT NULL,
  body TEXT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (session, learner, lab));
";

pub fn progress(tx: &mut dyn Tx, session: &str, learner: &str, body: &Progress, now: i64) -> Result<()> {
    let text = serde_json::to_string(body)?;
    tx.execute(
        "INSERT INTO progress (session, learner, body, at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (session, learner) DO UPDATE SET body = excluded.body, at = excluded.at",
        params![session, learner, text.as_str(), now],
    )?;
    tx.execute(
        "INSERT INTO lab_progress (session, learner, lab, body, at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (session, learner, lab) DO UPDATE SET body = excluded.body, at = excluded.at",
        params![session, learner, body.lab.as_str(), text, now],
    )?;
    Ok(())
}

/// (learner, progress) of every lab that was told of.
pub fn each_progress(tx: &mut dyn Tx, session: &str) -> Result<Vec<(String, Progress)>> {
    let sql = "SELECT learner, body FROM lab_progress WHERE session = $1 ORDER BY learner, lab LIMIT 20000";
    let rows = tx.query(sql, params![session])?;
    rows.iter().map(|r| Ok((r.text(0)?, serde_json::from_str(&r.text(1)?)?))).collect()
}

/// (learner, progress, when)
pub fn all_progress(tx: &mut dyn Tx, session: &str) -> Result<Vec<(String, Progress, i64)>> {
    let rows = tx.query("SELECT learner, body, at FROM progress WHERE session = $1 LIMIT 2000", params![session])?;
    rows.iter().map(|r| Ok((r.text(0)?, serde_json::from_str(&r.text(1)?)?, r.int(2)?))).collect()
}

pub fn say(tx: &mut dyn Tx, session: &str, text: &str, learner: Option<&str>, now: i64) -> Result<Message> {
    let next = tx.one("SELECT COALESCE(MAX(seq), 0) + 1 FROM messages WHERE session = $1", params![session])?;
    let seq = next.map_or(Ok(1), |r| r.int(0))?;
    tx.execute(
        "INSERT INTO messages (session, seq, at, body, learner) VALUES ($1, $2, $3, $4, $5)",
        params![session, seq, now, text, learner],
    )?;
    Ok(Message { seq, at: now, text: text.to_owned(), learner: learner.map(str::to_owned) })
}

/// For everybody and, with `learner`, for them; without, all.
pub fn messages(tx: &mut dyn Tx, session: &str, learner: Option<&str>, after: i64) -> Result<Vec<Message>> {
    let rows = tx.query(
        "SELECT seq, at, body, learner FROM messages WHERE session = $1 AND seq > $2 AND ($3 = '' OR learner IS NULL OR learner = $3)
         ORDER BY seq LIMIT 500",
        params![session, after, learner.unwrap_or("")],
    )?;
    rows.iter()
        .map(|r| Ok(Message { seq: r.int(0)?, at: r.int(1)?, text: r.text(2)?, learner: r.maybe_text(3)? }))
        .collect()
}
