//! What happened in class sessions and NATS has not been told yet, kept in `meta` like the rest of the export's notes. Each event
//! is written in the transaction that makes it true, and leaves when it is acknowledged; none is written where nothing is exported.

use super::{Tx, export, meta, session};
use crate::params;
use forge_core::board::{Message, Session};
use forge_core::error::Result;
use serde_json::{Value, json};

const COUNT: &str = "export/session_count";
const WAITING: &str = "export/session/";
/// Sessions that will close, by the time; each told once.
const OPEN: &str = "export/open/";
/// Sessions that are closed at once.
const CLOSING: i64 = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Created,
    Joined,
    Frozen,
    Unfrozen,
    Message,
    Closed,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Joined => "joined",
            Self::Frozen => "frozen",
            Self::Unfrozen => "unfrozen",
            Self::Message => "message",
            Self::Closed => "closed",
        }
    }
}

/// One event, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    name: String,
    pub id: String,
    pub kind: String,
    pub body: String,
}

/// What comes next, and how many wait in all.
#[derive(Debug, Default)]
pub struct Next {
    pub events: Vec<Happened>,
    pub waiting: i64,
}

pub fn created(tx: &mut dyn Tx, session: &Session) -> Result<()> {
    let closes_at = session.deadline + i64::from(session.grace_minutes) * 60_000;
    let data = json!({
        "labs": session.labs, "seeds": session.seeds, "deadline": session.deadline, "closes_at": closes_at, "attempts": session.attempts,
        "hints": session.hints,
    });
    if note(tx, session, Kind::Created, session.created_at, data)? {
        meta::set(tx, &format!("{OPEN}{closes_at:015}/{}", session.id), &closes_at.to_string())?;
    }
    Ok(())
}

pub fn joined(tx: &mut dyn Tx, session: &Session, learner: &str, now: i64) -> Result<()> {
    note(tx, session, Kind::Joined, now, json!({"learner": learner})).map(drop)
}

pub fn frozen(tx: &mut dyn Tx, session: &Session, now: i64) -> Result<()> {
    let kind = if session.frozen { Kind::Frozen } else { Kind::Unfrozen };
    note(tx, session, kind, now, json!({})).map(drop)
}

/// Without its text, in which people are named.
pub fn said(tx: &mut dyn Tx, session: &Session, message: &Message) -> Result<()> {
    note(tx, session, Kind::Message, message.at, json!({"message": message.seq, "learner": message.learner})).map(drop)
}

/// Whether [`close`] has something to do.
pub fn closes(tx: &mut dyn Tx, now: i64) -> Result<bool> {
    Ok(!due(tx, now)?.is_empty())
}

/// From now on nothing more counts in these.
pub fn close(tx: &mut dyn Tx, now: i64) -> Result<()> {
    for (name, closed_at) in due(tx, now)? {
        let removed = tx.execute("DELETE FROM meta WHERE name = $1", params![name.as_str()])?;
        let id = name.rsplit('/').next().unwrap_or_default();
        if removed > 0
            && let Some(kept) = session::get(tx, id)?
        {
            note(tx, &kept.session, Kind::Closed, closed_at, json!({}))?;
        }
    }
    Ok(())
}

fn due(tx: &mut dyn Tx, now: i64) -> Result<Vec<(String, i64)>> {
    let like = format!("{OPEN}%");
    let rows =
        tx.query("SELECT name, value FROM meta WHERE name LIKE $1 ORDER BY name LIMIT $2", params![like, CLOSING])?;
    let mut due = Vec::new();
    for row in rows {
        // Exactly at that time a verdict is still taken.
        match row.text(1)?.parse::<i64>() {
            Ok(at) if at < now => due.push((row.text(0)?, at)),
            _ => {}
        }
    }
    Ok(due)
}

/// In the order in which they happened.
pub fn next(tx: &mut dyn Tx, limit: i64) -> Result<Next> {
    let like = format!("{WAITING}%");
    let waiting = tx.one("SELECT COUNT(*) FROM meta WHERE name LIKE $1", params![like.as_str()])?;
    let waiting = waiting.map_or(Ok(0), |r| r.int(0))?;
    let rows =
        tx.query("SELECT name, value FROM meta WHERE name LIKE $1 ORDER BY name LIMIT $2", params![like, limit])?;
    let mut events = Vec::with_capacity(rows.len());
    for row in rows {
        let (name, body) = (row.text(0)?, row.text(1)?);
        let read: Value = serde_json::from_str(&body)?;
        let word = |member: &str| read.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
        events.push(Happened { name, id: word("id"), kind: word("kind"), body });
    }
    Ok(Next { events, waiting })
}

pub fn acknowledged(tx: &mut dyn Tx, events: &[Happened]) -> Result<()> {
    for event in events {
        tx.execute("DELETE FROM meta WHERE name = $1", params![event.name.as_str()])?;
    }
    Ok(())
}

/// False where nothing is exported.
fn note(tx: &mut dyn Tx, session: &Session, kind: Kind, at: i64, data: Value) -> Result<bool> {
    if !export::begun(tx)? {
        return Ok(false);
    }
    let seq = meta::number(tx, COUNT)?.unwrap_or(0) + 1;
    meta::set(tx, COUNT, &seq.to_string())?;
    let mut body = json!({
        "id": uuid::Uuid::now_v7().to_string(), "seq": seq, "kind": kind.word(), "session": session.id, "class": session.class, "at": at,
    });
    if let (Value::Object(body), Value::Object(data)) = (&mut body, data) {
        body.extend(data);
    }
    meta::set(tx, &format!("{WAITING}{seq:020}"), &serde_json::to_string(&body)?)?;
    Ok(true)
}
