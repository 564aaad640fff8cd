//! Class sessions this laptop takes part in: each as the scoreboard told it last, and what the instructor said.

use super::{Conn, Tx, unsigned};
use crate::api::SessionMessage;
use crate::error::Result;
use rusqlite::{OptionalExtension, params};

pub(super) const V1: &str = "
CREATE TABLE sessions (
    session  TEXT PRIMARY KEY,
    root     TEXT NOT NULL,
    told     TEXT NOT NULL,
    trouble  TEXT NOT NULL DEFAULT '',
    joined   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE session_messages (
    session  TEXT NOT NULL,
    seq      INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    text     TEXT NOT NULL,
    learner  TEXT,
    PRIMARY KEY (session, seq)
) STRICT, WITHOUT ROWID;";

/// Messages of one session that are kept; older ones go.
const KEPT: i64 = 200;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// JSON, as it came; its type belongs to a room above.
    pub told: String,
    /// Why it could not be asked about last; empty when it could.
    pub trouble: String,
}

/// Keeps a session as it is told now, of the scoreboard with this key. True when that is news.
pub fn keep(tx: &Tx, session: &str, root: &str, told: &str, now: i64) -> Result<bool> {
    let changed = tx
        .prepare_cached(
            "INSERT INTO sessions (session, root, told, joined) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (session) DO UPDATE SET root = excluded.root, told = excluded.told, trouble = ''
             WHERE told <> excluded.told OR trouble <> '' OR root <> excluded.root",
        )?
        .execute(params![session, root, told, now])?;
    Ok(changed > 0)
}

/// True when that is news.
pub fn troubled(tx: &Tx, session: &str, why: &str) -> Result<bool> {
    let sql = "UPDATE sessions SET trouble = ?2 WHERE session = ?1 AND trouble <> ?2";
    Ok(tx.prepare_cached(sql)?.execute([session, why])? > 0)
}

/// Newest first.
pub fn list(conn: &Conn, root: &str, most: u32) -> Result<Vec<Kept>> {
    conn.prepare_cached("SELECT told, trouble FROM sessions WHERE root = ?1 ORDER BY joined DESC, session LIMIT ?2")?
        .query_and_then(params![root, most], |r| Ok(Kept { told: r.get(0)?, trouble: r.get(1)? }))?
        .collect()
}

pub fn get(conn: &Conn, session: &str) -> Result<Option<Kept>> {
    Ok(conn
        .prepare_cached("SELECT told, trouble FROM sessions WHERE session = ?1")?
        .query_row([session], |r| Ok(Kept { told: r.get(0)?, trouble: r.get(1)? }))
        .optional()?)
}

/// Keeps a message; false when it was kept before.
pub fn hear(tx: &Tx, session: &str, m: &SessionMessage) -> Result<bool> {
    let fresh = tx
        .prepare_cached(
            "INSERT INTO session_messages (session, seq, at, text, learner) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (session, seq) DO NOTHING",
        )?
        .execute(params![session, m.seq, m.at, m.text, m.learner])?;
    tx.prepare_cached("DELETE FROM session_messages WHERE session = ?1 AND seq <= ?2")?
        .execute(params![session, m.seq.saturating_sub(KEPT)])?;
    Ok(fresh > 0)
}

/// Oldest first.
pub fn messages(conn: &Conn, session: &str) -> Result<Vec<SessionMessage>> {
    conn.prepare_cached("SELECT seq, at, text, learner FROM session_messages WHERE session = ?1 ORDER BY seq")?
        .query_and_then([session], |r| {
            Ok(SessionMessage { seq: r.get(0)?, at: r.get(1)?, text: r.get(2)?, learner: r.get(3)? })
        })?
        .collect()
}

/// The number of the newest message that is kept; 0 without one.
pub fn heard(conn: &Conn, session: &str) -> Result<i64> {
    let sql = "SELECT COALESCE(MAX(seq), 0) FROM session_messages WHERE session = ?1";
    Ok(conn.prepare_cached(sql)?.query_row([session], |r| r.get(0))?)
}

/// A run that is bound to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    pub run: String,
    /// The challenge as it came.
    pub signed: String,
    /// The scoreboard that the session was joined at; None: it was not joined from here.
    pub root: Option<String>,
}

/// Those that are alive, or ended at `since` or later, oldest first.
pub fn bound(conn: &Conn, since: i64) -> Result<Vec<Bound>> {
    conn.prepare_cached(
        "SELECT r.run, c.signed, s.root FROM runs r JOIN challenges c ON c.request_id = r.request_id
         LEFT JOIN sessions s ON s.session = json_extract(c.signed, '$.body.session')
         WHERE r.state NOT IN ('stopped', 'failed') OR r.ended >= ?1 ORDER BY r.created, r.run LIMIT 64",
    )?
    .query_and_then([since], |r| Ok(Bound { run: r.get(0)?, signed: r.get(1)?, root: r.get(2)? }))?
    .collect()
}

/// The scoreboard that a session was joined at.
pub fn root_of(conn: &Conn, session: &str) -> Result<Option<String>> {
    let sql = "SELECT root FROM sessions WHERE session = ?1";
    Ok(conn.prepare_cached(sql)?.query_row([session], |r| r.get(0)).optional()?)
}

/// A challenge that was taken here, with the run and the verdict under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub lab: String,
    /// The run under it, while it is alive.
    pub alive: Option<String>,
    pub verdict: Option<Sealed>,
}

/// The verdict of a run; points in milli-points, `at` by this machine's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub id: String,
    pub score: u64,
    pub max: u64,
    pub at: i64,
}

/// All challenges of a session that were taken here, newest run last. A run's first verdict is the one that counts.
pub fn taken(conn: &Conn, session: &str) -> Result<Vec<Taken>> {
    conn.prepare_cached(
        "SELECT json_extract(c.signed, '$.body.lab'), CASE WHEN r.state NOT IN ('stopped', 'failed') THEN r.run END, v.id, v.score, v.max, v.at
         FROM challenges c LEFT JOIN runs r ON r.request_id = c.request_id LEFT JOIN results v ON v.id = (SELECT id FROM results WHERE run = r.run ORDER BY at, id LIMIT 1)
         WHERE json_extract(c.signed, '$.body.session') = ?1 ORDER BY r.created, c.nonce LIMIT 1000",
    )?
    .query_and_then([session], |r| {
        let verdict = match r.get::<_, Option<String>>(2)? {
            Some(id) => Some(Sealed { id, score: unsigned(r.get(3)?)?, max: unsigned(r.get(4)?)?, at: r.get(5)? }),
            None => None,
        };
        Ok(Taken { lab: r.get(0)?, alive: r.get(1)?, verdict })
    })?
    .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store::Store;

    fn message(seq: i64) -> SessionMessage {
        SessionMessage { seq, at: seq, text: format!("m{seq}"), learner: None }
    }

    #[tokio::test]
    async fn news_is_told_once_and_messages_are_kept_within_bounds() {
        let store = Store::memory().unwrap();
        let told = store
            .write(|tx| {
                let news = [
                    keep(tx, "s", "root", "{}", 1)?,
                    keep(tx, "s", "root", "{}", 2)?,
                    troubled(tx, "s", "away")?,
                    troubled(tx, "s", "away")?,
                    keep(tx, "s", "root", "{}", 3)?,
                ];
                for seq in 1..=KEPT + 5 {
                    assert!(hear(tx, "s", &message(seq))?);
                }
                assert!(!hear(tx, "s", &message(KEPT + 5))?);
                Ok(news)
            })
            .await
            .unwrap();
        assert_eq!(told, [true, false, true, false, true]);
        let (kept, last, other) =
            store.read(|c| Ok((messages(c, "s")?, heard(c, "s")?, list(c, "another scoreboard", 9)?))).await.unwrap();
        assert_eq!((kept.len() as i64, last, other.len()), (KEPT, KEPT + 5, 0));
    }

    #[tokio::test]
    async fn a_challenge_is_told_with_its_run_while_it_lives_and_with_its_first_verdict() {
        let store = Store::memory().unwrap();
        let taken = store
            .write(|tx| {
                for (n, session) in [(1, "s"), (2, "s"), (3, "t")] {
                    let signed = format!(r#"{{"body":{{"session":"{session}","lab":"l{n}"}}}}"#);
                    tx.execute("INSERT INTO challenges VALUES (?1, ?1, ?2)", params![n.to_string(), signed])?;
                }
                taken(tx, "s")
            })
            .await
            .unwrap();
        let told: Vec<_> = taken.iter().map(|t| (t.lab.as_str(), t.alive.is_some(), t.verdict.is_some())).collect();
        assert_eq!(told, [("l1", false, false), ("l2", false, false)]);
    }
}
