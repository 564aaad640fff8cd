//! What must outlive a crash: one SQLite file in WAL mode, one file of code per table with its migration beside it.
//!
//! The functions of the tables take a [`Tx`] where they write and a [`Conn`] where they only read (a `&Tx` is also a
//! `&Conn`), so that a caller decides what belongs into one transaction. Business rules live above; what this room
//! refuses to hold: policy, Docker, clocks and randomness (times are Unix milliseconds handed in).
//! Several processes may have the same file open; rusqlite is named nowhere else.

pub mod audit;
pub mod blocks;
pub mod charges;
mod disk;
pub mod events;
pub mod intents;
pub mod lineage;
pub mod points;
pub mod results;
pub mod runs;
pub mod session;
pub mod settings;
pub mod sync;
pub mod tokens;
pub mod usage;

pub use disk::free_bytes;

use crate::error::{Code, Error, Result};
use rusqlite::TransactionBehavior;
use rusqlite_migration::{M, Migrations};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One open write transaction; committed when the closure returns `Ok`, rolled back otherwise.
pub type Tx<'a> = rusqlite::Transaction<'a>;
/// A connection that is only read from.
pub type Conn = rusqlite::Connection;

/// How long a writer waits for another process to finish its transaction.
const BUSY: Duration = Duration::from_secs(5);
/// Idle readers kept open; more are opened when needed and closed afterwards.
const READERS: usize = 4;

/// In order of their making, new ones at the end only: the position is the schema version.
fn migrations() -> Migrations<'static> {
    Migrations::new(vec![
        M::up(runs::V1),
        M::up(tokens::V1),
        M::up(intents::V1),
        M::up(events::V1),
        M::up(audit::V1),
        M::up(results::V1),
        M::up(settings::V1),
        M::up(runs::V2),
        M::up(blocks::V1),
        M::up(charges::V1),
        M::up(sync::V1),
        M::up(sync::V2),
        M::up(points::V1),
        M::up(session::V1),
        M::up(runs::V3),
        M::up(sync::V3),
        M::up(lineage::V1),
        M::up(sync::V4),
    ])
}

/// A handle to the file; clones share their connections.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    /// None for a database in memory, whose only connection is the writer.
    path: Option<PathBuf>,
    writer: Mutex<Conn>,
    readers: Mutex<Vec<Conn>>,
    #[cfg(test)]
    faults: std::sync::OnceLock<Faults>,
}

/// A simulated disk: asked before (`read`, `write`) and after (`written`) each piece of work, which is then done in place, so
/// that nothing depends on threads.
#[cfg(test)]
pub(crate) type Faults =
    Arc<dyn Fn(&'static str) -> futures_util::future::BoxFuture<'static, Result<()>> + Send + Sync>;

#[derive(Clone, Copy, PartialEq)]
enum Durability {
    Full,
    Relaxed,
}

impl Store {
    /// Opens or makes the file (mode 0600, folder 0700 when made here) and brings its schema up to date.
    /// Blocking, a few milliseconds. Errors: `StoreFailed` when the file is damaged or was written by a newer
    /// version, `DiskFull`, `Io`.
    pub fn open(path: &Path) -> Result<Self> {
        let doing = || format!("Opening the database {}", path.display());
        if let Some(folder) = path.parent() {
            make_private_folder(folder).map_err(|e| Error::from(e).context(doing()))?;
        }
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        // Two processes that find a fresh file at the same time must not both run the migrations.
        let lock = private_file(Path::new(&lock_path)).map_err(|e| Error::from(e).context(doing()))?;
        lock.lock().map_err(|e| Error::from(e).context(doing()))?;
        private_file(path).map_err(|e| Error::from(e).context(doing()))?;
        let mut writer = connect(path).map_err(|e| e.context(doing()))?;
        migrate(&mut writer).map_err(|e| e.context(doing()))?;
        drop(lock);
        Ok(Self(Arc::new(Inner {
            path: Some(path.to_owned()),
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
            #[cfg(test)]
            faults: std::sync::OnceLock::new(),
        })))
    }

    /// A database of its own that ends with its last clone; for tests.
    pub fn memory() -> Result<Self> {
        let mut writer = Conn::open_in_memory()?;
        configure(&writer)?;
        migrate(&mut writer)?;
        Ok(Self(Arc::new(Inner {
            path: None,
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
            #[cfg(test)]
            faults: std::sync::OnceLock::new(),
        })))
    }

    /// Runs `work` in one IMMEDIATE transaction and commits it to the disk (synchronous=FULL) before returning.
    /// An error of `work` rolls everything back. Once begun it runs to its end, even if the caller goes away.
    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Tx) -> Result<T> + Send + 'static,
    {
        self.transact(Durability::Full, work).await
    }

    /// Like [`write`](Self::write) without waiting for the disk: outlives a crash of the process, but the last
    /// instants may be lost in a power failure. For events and progress, never for intents, audit or verdicts.
    pub async fn write_relaxed<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Tx) -> Result<T> + Send + 'static,
    {
        self.transact(Durability::Relaxed, work).await
    }

    async fn transact<T, F>(&self, durability: Durability, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Tx) -> Result<T> + Send + 'static,
    {
        let inner = self.0.clone();
        let work = move || {
            let mut conn = hold(&inner.writer);
            if durability == Durability::Relaxed {
                conn.execute_batch("PRAGMA synchronous = NORMAL")?;
            }
            let outcome = in_transaction(&mut conn, work);
            if durability == Durability::Relaxed {
                conn.execute_batch("PRAGMA synchronous = FULL")?;
            }
            outcome
        };
        self.done("write", work).await
    }

    async fn done<T: Send + 'static>(
        &self,
        _what: &'static str,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        #[cfg(test)]
        if let Some(faults) = self.0.faults.get() {
            faults(_what).await?;
            let outcome = work();
            if _what == "write" {
                faults("written").await?;
            }
            return outcome;
        }
        blocking(work).await
    }

    #[cfg(test)]
    pub(crate) fn with_faults(self, faults: Faults) -> Self {
        drop(self.0.faults.set(faults));
        self
    }

    /// Runs `work` on one consistent snapshot; never waits for writers.
    pub async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Conn) -> Result<T> + Send + 'static,
    {
        let inner = self.0.clone();
        let work = move || {
            let Some(path) = &inner.path else {
                let conn = hold(&inner.writer);
                return work(&conn);
            };
            let idle = hold(&inner.readers).pop();
            let mut conn = match idle {
                Some(conn) => conn,
                None => {
                    let conn = connect(path)?;
                    conn.execute_batch("PRAGMA query_only = ON")?;
                    conn
                }
            };
            let outcome = {
                let snapshot = conn.transaction_with_behavior(TransactionBehavior::Deferred)?;
                work(&snapshot)
            };
            let mut readers = hold(&inner.readers);
            if readers.len() < READERS {
                readers.push(conn);
            }
            outcome
        };
        self.done("read", work).await
    }
}

fn in_transaction<T>(conn: &mut Conn, work: impl FnOnce(&Tx) -> Result<T>) -> Result<T> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = work(&tx)?;
    tx.commit()?;
    Ok(value)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(e) => Err(Error::internal(format!("a database task ended early: {e}"))),
    }
}

/// A panic while the lock was held rolled its transaction back, so what it guards is still sound.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(path: &Path) -> Result<Conn> {
    let conn = Conn::open(path)?;
    configure(&conn)?;
    Ok(conn)
}

fn configure(conn: &Conn) -> Result<()> {
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(64);
    conn.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA trusted_schema = OFF;",
    )?;
    Ok(())
}

fn migrate(conn: &mut Conn) -> Result<()> {
    migrations().to_latest(conn).map_err(|e| match e {
        rusqlite_migration::Error::MigrationDefinition(
            rusqlite_migration::MigrationDefinitionError::DatabaseTooFarAhead,
        ) => Error::new(
            Code::StoreFailed,
            "The database was written by a newer version of FrostGate Forge, which this version cannot read.",
        )
        .hint("Update FrostGate Forge, or point FORGE_HOME at another folder."),
        rusqlite_migration::Error::RusqliteError { err, .. } => Error::from(err),
        other => Error::new(Code::StoreFailed, format!("The database could not be brought up to date: {other}")),
    })
}

#[cfg(unix)]
fn private_file(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn make_private_folder(path: &Path) -> std::io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path)
}

impl From<rusqlite::Error> for Error {
    fn from(e: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match e.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => {
                Self::new(Code::DiskFull, "The disk is full, so nothing could be written to the database.")
                    .hint("Free some space, then try again; what had been saved before is safe.")
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::new(Code::StoreFailed, "Another process kept the database locked for more than five seconds.")
                    .hint("Try again; if it stays so, look for a stuck `forge` process.")
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::new(Code::StoreFailed, format!("The database file is damaged: {e}"))
                    .hint("Move forge.db out of the data folder; results on disk stay valid without it.")
            }
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::new(Code::StoreFailed, format!("The database file cannot be opened for writing: {e}"))
                    .hint("Check who owns the data folder.")
            }
            _ => Self::new(Code::StoreFailed, format!("The database refused: {e}")),
        }
    }
}

/// JSON columns: what we wrote ourselves must be readable; if it is not, the column is named.
fn decode<T: serde::de::DeserializeOwned>(column: &str, text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|e| Error::new(Code::StoreFailed, format!("The database holds an unreadable {column}: {e}")))
}

fn encode<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(Error::internal)
}

/// SQLite's integers are signed; what we keep as counts never goes beyond.
fn signed(n: u64) -> Result<i64> {
    i64::try_from(n).map_err(Error::internal)
}

fn unsigned(n: i64) -> Result<u64> {
    u64::try_from(n)
        .map_err(|_| Error::new(Code::StoreFailed, format!("The database holds {n} where only a count can be.")))
}

/// The word under which an enum of the contract is stored: the same as on the wire.
fn word<T: serde::Serialize>(value: &T) -> Result<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(s)) => Ok(s),
        other => Err(Error::internal(format!("not a plain word: {other:?}"))),
    }
}

fn from_word<T: serde::de::DeserializeOwned>(column: &str, text: String) -> Result<T> {
    serde_json::from_value(serde_json::Value::String(text))
        .map_err(|e| Error::new(Code::StoreFailed, format!("The database holds an unknown {column}: {e}")))
}

#[cfg(test)]
mod tests;
