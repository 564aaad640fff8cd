//! What must outlive a crash, in SQLite or PostgreSQL: one SQL text for both, one file of code per table.
//!
//! [`lanes`] runs jobs: one writer that commits many jobs at once (group commit), a few readers · [`sqlite`], [`pg`] the two
//! databases, and the only files that name their crates · [`many`] rows for one statement · [`schema`] what version the tables are of · the others own a table each. The functions of the tables take a
//! [`Tx`] and are plain: what belongs into one transaction is the caller's decision. Times are handed in.

pub mod dump;
pub mod export;
pub mod jobs;
mod lanes;
mod many;
pub mod meta;
pub mod people;
mod pg;
pub mod reexecution;
mod schema;
pub mod session;
pub mod session_events;
pub mod session_log;
mod sqlite;
pub mod standing;
pub mod verdicts;

pub use lanes::{Figures, Store};
pub use schema::{SCHEMA_VERSION, migrate};

use bytes::Bytes;
use forge_core::error::{Code, Error, Result};
use std::path::{Path, PathBuf};

/// The three kinds of column there are: BIGINT, TEXT, BYTEA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Int(i64),
    Text(String),
    Bytes(Bytes),
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}
impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Self::Text(s.to_owned())
    }
}
impl From<String> for Value {
    fn from(s: String) -> Self {
        Self::Text(s)
    }
}
impl From<Bytes> for Value {
    fn from(b: Bytes) -> Self {
        Self::Bytes(b)
    }
}
impl From<Vec<u8>> for Value {
    fn from(b: Vec<u8>) -> Self {
        Self::Bytes(b.into())
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(o: Option<T>) -> Self {
        o.map_or(Self::Null, Into::into)
    }
}

/// `params![a, b]`: the values of `$1`, `$2`, …
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::store::Value::from($value)),*] };
}

/// One row of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(pub Vec<Value>);

impl Row {
    fn at(&self, i: usize) -> Result<&Value> {
        self.0.get(i).ok_or_else(|| Error::internal(format!("a row has no column {i}")))
    }

    pub fn int(&self, i: usize) -> Result<i64> {
        self.maybe_int(i)?.ok_or_else(|| wrong(i, "a number"))
    }

    pub fn maybe_int(&self, i: usize) -> Result<Option<i64>> {
        match self.at(i)? {
            Value::Int(n) => Ok(Some(*n)),
            Value::Null => Ok(None),
            _ => Err(wrong(i, "a number")),
        }
    }

    pub fn text(&self, i: usize) -> Result<String> {
        self.maybe_text(i)?.ok_or_else(|| wrong(i, "text"))
    }

    pub fn maybe_text(&self, i: usize) -> Result<Option<String>> {
        match self.at(i)? {
            Value::Text(s) => Ok(Some(s.clone())),
            Value::Null => Ok(None),
            _ => Err(wrong(i, "text")),
        }
    }

    pub fn bytes(&self, i: usize) -> Result<Bytes> {
        self.maybe_bytes(i)?.ok_or_else(|| wrong(i, "bytes"))
    }

    pub fn maybe_bytes(&self, i: usize) -> Result<Option<Bytes>> {
        match self.at(i)? {
            Value::Bytes(b) => Ok(Some(b.clone())),
            Value::Null => Ok(None),
            _ => Err(wrong(i, "bytes")),
        }
    }
}

fn wrong(column: usize, what: &str) -> Error {
    Error::new(
        Code::StoreFailed,
        format!("Column {column} of a row is not {what}: the database was changed by others."),
    )
}

/// An open transaction. `sql` numbers its parameters `$1`, `$2`, … and keeps to what both databases understand.
pub trait Tx {
    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>>;
    /// Rows changed.
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64>;
    /// Runs `sql` for all of these rows, in their order; `{rows}` in it stands for them. All have equally many values. What comes
    /// of it is what comes of running it for each: see [`many`].
    fn query_rows(&mut self, sql: &str, rows: Vec<Vec<Value>>) -> Result<Vec<Row>>;
    fn execute_rows(&mut self, sql: &str, rows: Vec<Vec<Value>>) -> Result<u64>;

    fn one(&mut self, sql: &str, params: &[Value]) -> Result<Option<Row>> {
        Ok(self.query(sql, params)?.into_iter().next())
    }
}

/// A connection, which is one transaction at a time.
pub trait Connection: Tx + Send {
    fn begin(&mut self, write: bool) -> Result<()>;
    /// Durable when it returns.
    fn commit(&mut self) -> Result<()>;
    fn rollback(&mut self) -> Result<()>;
    /// Whether it must be opened anew.
    fn broken(&self) -> bool;
    fn batch(&mut self, sql: &str) -> Result<()>;
    /// Work that another connection than the writer's may take off it. Nothing is lost if it is never done.
    fn tidy(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Which database.
#[derive(Clone, PartialEq, Eq)]
pub enum Target {
    Sqlite(PathBuf),
    /// Its address, which may hold a password.
    Postgres(String),
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(_) => f.write_str("Postgres(…)"),
        }
    }
}

impl Target {
    /// `InvalidInput` for a URL of another kind.
    pub fn of(data: &Path, url: Option<&str>) -> Result<Self> {
        match url {
            None => Ok(Self::Sqlite(data.join("scoreboard.db"))),
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Ok(Self::Postgres(url.to_owned()))
            }
            Some(_) => Err(Error::new(Code::InvalidInput, "The database is no postgres:// URL.")
                .hint("Write --database postgres://user@host/name, or leave it out to use SQLite.")),
        }
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// Whether there is anything to [`tidy`](Connection::tidy).
    fn tidies(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// Makes the database's file where there is none.
    pub fn connect(&self) -> Result<Box<dyn Connection>> {
        match self {
            Self::Sqlite(path) => sqlite::make(path),
            Self::Postgres(url) => pg::open(url),
        }
    }

    /// One more connection to a database that is in use: a file that has gone meanwhile is not made anew.
    pub fn again(&self) -> Result<Box<dyn Connection>> {
        match self {
            Self::Sqlite(path) => sqlite::open(path),
            Self::Postgres(url) => pg::open(url),
        }
    }
}

/// A table: its name, the columns that make a row unique, all columns.
pub type Table = (&'static str, &'static str, &'static str);

/// Every table, in an order in which they can be filled.
pub const TABLES: &[Table] = &[
    ("meta", "name", "name, value"),
    ("classes", "name", "name, created_at"),
    ("learners", "id", "id, class, name, role, created_at"),
    ("keys", "key_id", "key_id, learner, pem, enrolled_at, revoked_at, reason"),
    ("rotations", "new_key", "new_key, record, at"),
    ("tokens", "hash", "hash, learner, created_at"),
    ("token_keys", "hash", "hash, key_id"),
    ("invites", "hash", "hash, class, role, created_at, expires_at, used_at, used_by"),
    ("verdicts", "seq", verdicts::COLUMNS),
    ("best", "learner, lab, floor", "learner, lab, floor, points, max, verdict"),
    ("standing", "learner, track, floor", "learner, track, floor, class, name, points, max, labs, at"),
    ("counters", "track, tier", "track, tier, verdicts"),
    ("reexecutions", "id", reexecution::COLUMNS),
    ("jobs", "verdict", jobs::COLUMNS),
    ("sessions", "id", "id, class, join_code, secret, body, created_at"),
    ("joined", "session, learner", "session, learner, at"),
    ("challenges", "nonce", "nonce, session, learner, key_id, lab, seed, attempt, issued_at, verdict"),
    ("progress", "session, learner", "session, learner, body, at"),
    ("lab_progress", "session, learner, lab", "session, learner, lab, body, at"),
    ("messages", "session, seq", "session, seq, at, body, learner"),
];
