//! Classes, who is in them, with which keys, and the one-time codes by which they came.

use super::{Row, Tx, Value};
use crate::params;
use forge_core::board::Role;
use forge_core::error::{Error, Result};

pub const SQL: &str = "
CREATE TABLE classes (name TEXT PRIMARY KEY, created_at BIGINT NOT NULL);
CREATE TABLE learners (id TEXT PRIMARY KEY, class TEXT NOT NULL REFERENCES classes (name), name TEXT NOT NULL, role TEXT NOT NULL,
  created_at BIGINT NOT NULL);
CREATE INDEX learners_class ON learners (class);
CREATE TABLE keys (key_id TEXT PRIMARY KEY, learner TEXT NOT NULL REFERENCES learners (id), pem TEXT NOT NULL,
  enrolled_at BIGINT NOT NULL, revoked_at BIGINT, reason TEXT);
CREATE INDEX keys_learner ON keys (learner);
CREATE TABLE rotations (new_key TEXT PRIMARY KEY, record TEXT NOT NULL, at BIGINT NOT NULL);
CREATE TABLE tokens (hash TEXT PRIMARY KEY, learner TEXT NOT NULL REFERENCES learners (id), created_at BIGINT NOT NULL);
CREATE TABLE invites (hash TEXT PRIMARY KEY, class TEXT NOT NULL REFERENCES classes (name), role TEXT NOT NULL, created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL, used_at BIGINT, used_by TEXT);
";

/// Which key a token was issued for. Also run on a database that was made before, or restored from an older backup: a token of
/// that time is bound to the newest key of its owner that was not revoked, so that nobody loses a token by it.
pub const BOUND: &str = "
CREATE TABLE IF NOT EXISTS token_keys (hash TEXT PRIMARY KEY REFERENCES tokens (hash) ON DELETE CASCADE,
  key_id TEXT NOT NULL REFERENCES keys (key_id));
INSERT INTO token_keys (hash, key_id) SELECT t.hash, k.key_id FROM tokens t JOIN keys k ON k.key_id =
  (SELECT n.key_id FROM keys n WHERE n.learner = t.learner
   ORDER BY CASE WHEN n.revoked_at IS NULL THEN 0 ELSE 1 END, n.enrolled_at DESC, n.key_id LIMIT 1)
  WHERE NOT EXISTS (SELECT 1 FROM token_keys b WHERE b.hash = t.hash);
";

/// A person of a class. Instructors are learners with another role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub id: String,
    pub class: String,
    pub name: String,
    pub role: Role,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub key_id: String,
    pub pem: String,
    pub revoked_at: Option<i64>,
    pub owner: Person,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    pub class: String,
    pub role: Role,
    pub expires_at: i64,
    pub used_at: Option<i64>,
    /// The person who came by it.
    pub used_by: Option<String>,
}

pub fn role_word(role: Role) -> &'static str {
    match role {
        Role::Learner => "learner",
        Role::Instructor => "instructor",
        Role::Worker => "worker",
    }
}

fn role(word: &str) -> Result<Role> {
    match word {
        "learner" => Ok(Role::Learner),
        "instructor" => Ok(Role::Instructor),
        "worker" => Ok(Role::Worker),
        other => Err(Error::internal(format!("a role named {other:?} is stored"))),
    }
}

/// From columns `i..i+4`: id, class, name, role.
fn person(row: &Row, i: usize) -> Result<Person> {
    Ok(Person { id: row.text(i)?, class: row.text(i + 1)?, name: row.text(i + 2)?, role: role(&row.text(i + 3)?)? })
}

pub fn invite(tx: &mut dyn Tx, hash: &str, invite: &Invite, now: i64) -> Result<()> {
    tx.execute(
        "INSERT INTO classes (name, created_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
        params![invite.class.as_str(), now],
    )?;
    tx.execute(
        "INSERT INTO invites (hash, class, role, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
        params![hash, invite.class.as_str(), role_word(invite.role), now, invite.expires_at],
    )?;
    Ok(())
}

pub fn invite_of(tx: &mut dyn Tx, hash: &str) -> Result<Option<Invite>> {
    let row = tx.one("SELECT class, role, expires_at, used_at, used_by FROM invites WHERE hash = $1", params![hash])?;
    row.map(|r| {
        Ok(Invite {
            class: r.text(0)?,
            role: role(&r.text(1)?)?,
            expires_at: r.int(2)?,
            used_at: r.maybe_int(3)?,
            used_by: r.maybe_text(4)?,
        })
    })
    .transpose()
}

pub fn use_invite(tx: &mut dyn Tx, hash: &str, by: &str, now: i64) -> Result<()> {
    tx.execute("UPDATE invites SET used_at = $2, used_by = $3 WHERE hash = $1", params![hash, now, by])?;
    Ok(())
}

pub fn add(tx: &mut dyn Tx, person: &Person, now: i64) -> Result<()> {
    tx.execute(
        "INSERT INTO learners (id, class, name, role, created_at) VALUES ($1, $2, $3, $4, $5)",
        params![person.id.as_str(), person.class.as_str(), person.name.as_str(), role_word(person.role), now],
    )?;
    Ok(())
}

/// For the laptop that holds this key. The seven newest of a person work: two laptops may share a key, and an answer may be lost.
pub fn new_token(tx: &mut dyn Tx, learner: &str, key_id: &str, token_hash: &str, now: i64) -> Result<()> {
    tx.execute(
        "DELETE FROM tokens WHERE learner = $1 AND hash NOT IN
           (SELECT hash FROM tokens WHERE learner = $1 ORDER BY created_at DESC, hash LIMIT 6)",
        params![learner],
    )?;
    tx.execute(
        "INSERT INTO tokens (hash, learner, created_at) VALUES ($1, $2, $3)",
        params![token_hash, learner, now],
    )?;
    tx.execute("INSERT INTO token_keys (hash, key_id) VALUES ($1, $2)", params![token_hash, key_id])?;
    Ok(())
}

/// A token goes with its laptop to the key that follows.
pub fn follow(tx: &mut dyn Tx, token_hash: &str, old: &str, new: &str) -> Result<()> {
    tx.execute("UPDATE token_keys SET key_id = $3 WHERE hash = $1 AND key_id = $2", params![token_hash, old, new])?;
    Ok(())
}

pub fn add_key(tx: &mut dyn Tx, learner: &str, key_id: &str, pem: &str, now: i64) -> Result<()> {
    tx.execute(
        "INSERT INTO keys (key_id, learner, pem, enrolled_at) VALUES ($1, $2, $3, $4)",
        params![key_id, learner, pem, now],
    )?;
    Ok(())
}

pub fn key(tx: &mut dyn Tx, key_id: &str) -> Result<Option<Key>> {
    Ok(keys(tx, &[key_id])?.pop())
}

/// Those of the keys that were ever enrolled, with their owners.
pub fn keys(tx: &mut dyn Tx, key_ids: &[&str]) -> Result<Vec<Key>> {
    let sql = "SELECT k.key_id, k.pem, k.revoked_at, l.id, l.class, l.name, l.role FROM keys k JOIN learners l ON l.id = k.learner
             WHERE k.key_id IN ({rows})";
    let rows = tx.query_rows(sql, key_ids.iter().map(|id| vec![Value::from(*id)]).collect())?;
    let key =
        |r: &Row| Ok(Key { key_id: r.text(0)?, pem: r.text(1)?, revoked_at: r.maybe_int(2)?, owner: person(r, 3)? });
    rows.iter().map(key).collect()
}

pub fn revoke(tx: &mut dyn Tx, key_id: &str, reason: &str, now: i64) -> Result<()> {
    tx.execute(
        "UPDATE keys SET revoked_at = $2, reason = $3 WHERE key_id = $1 AND revoked_at IS NULL",
        params![key_id, now, reason],
    )?;
    Ok(())
}

pub fn rotated(tx: &mut dyn Tx, new_key: &str, record: &str, now: i64) -> Result<()> {
    tx.execute("INSERT INTO rotations (new_key, record, at) VALUES ($1, $2, $3)", params![new_key, record, now])?;
    Ok(())
}

/// Whose it is, and whether the key that it was issued for still counts: a laptop that is lost is lost together with its token.
pub fn by_token(tx: &mut dyn Tx, hash: &str) -> Result<Option<(Person, bool)>> {
    let row = tx.one(
        "SELECT l.id, l.class, l.name, l.role, k.revoked_at FROM tokens t JOIN learners l ON l.id = t.learner
         JOIN token_keys b ON b.hash = t.hash JOIN keys k ON k.key_id = b.key_id WHERE t.hash = $1",
        params![hash],
    )?;
    row.map(|r| Ok((person(&r, 0)?, r.maybe_int(4)?.is_none()))).transpose()
}

/// The key that a token was issued for, or that its laptop has gone on to.
pub fn key_of_token(tx: &mut dyn Tx, hash: &str) -> Result<Option<String>> {
    tx.one("SELECT key_id FROM token_keys WHERE hash = $1", params![hash])?.map(|r| r.text(0)).transpose()
}

/// Keys of one person, revoked ones among them.
pub fn key_count(tx: &mut dyn Tx, learner: &str) -> Result<i64> {
    tx.one("SELECT COUNT(*) FROM keys WHERE learner = $1", params![learner])?.map_or(Ok(0), |r| r.int(0))
}

pub fn get(tx: &mut dyn Tx, id: &str) -> Result<Option<Person>> {
    let row = tx.one("SELECT id, class, name, role FROM learners WHERE id = $1", params![id])?;
    row.map(|r| person(&r, 0)).transpose()
}

/// People of a class (of all classes when `None`) with their keys, by name; up to so many keys.
pub fn list(tx: &mut dyn Tx, class: Option<&str>, most: i64) -> Result<Vec<(Person, Vec<Key>)>> {
    let rows = tx.query(
        "SELECT l.id, l.class, l.name, l.role, k.key_id, k.pem, k.revoked_at FROM learners l LEFT JOIN keys k ON k.learner = l.id
         WHERE $1 = '' OR l.class = $1 ORDER BY l.class, l.name, l.id, k.enrolled_at LIMIT $2",
        params![class.unwrap_or(""), most],
    )?;
    let mut out: Vec<(Person, Vec<Key>)> = Vec::new();
    for row in rows {
        let owner = person(&row, 0)?;
        if out.last().is_none_or(|(last, _)| last.id != owner.id) {
            out.push((owner.clone(), Vec::new()));
        }
        if let (Some(key_id), Some((_, keys))) = (row.maybe_text(4)?, out.last_mut()) {
            keys.push(Key { key_id, pem: row.text(5)?, revoked_at: row.maybe_int(6)?, owner });
        }
    }
    Ok(out)
}

pub fn counts(tx: &mut dyn Tx) -> Result<(i64, i64)> {
    let count = |tx: &mut dyn Tx, sql: &str| tx.one(sql, &[])?.map_or(Ok(0), |r| r.int(0));
    Ok((count(tx, "SELECT COUNT(*) FROM learners")?, count(tx, "SELECT COUNT(*) FROM classes")?))
}
