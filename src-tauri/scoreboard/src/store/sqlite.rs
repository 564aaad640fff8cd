//! SQLite in WAL mode, synced at each commit. Several processes may have the file open (`invite` beside `serve`).

use super::many::one_by_one;
use super::{Connection, Row, Tx, Value};
use forge_core::error::{Code, Error, Result};
use rusqlite::OpenFlags;
use rusqlite::types::{ToSqlOutput, ValueRef};
use std::path::{Path, PathBuf};
use std::time::Duration;

struct Sqlite {
    connection: rusqlite::Connection,
    path: PathBuf,
    /// Which file the path led to when it was opened.
    file: (u64, u64),
}

pub fn make(path: &Path) -> Result<Box<dyn Connection>> {
    private(path).map_err(|e| opening(path, e))?;
    open(path)
}

fn opening(path: &Path, e: Error) -> Error {
    e.context(format!("Opening the database {}", path.display()))
}

pub fn open(path: &Path) -> Result<Box<dyn Connection>> {
    let connection = || -> Result<rusqlite::Connection> {
        let c = rusqlite::Connection::open_with_flags(path, OpenFlags::default() & !OpenFlags::SQLITE_OPEN_CREATE)?;
        c.busy_timeout(Duration::from_secs(10))?;
        // The size of a page is a new file's only. A verdict takes up more than half of 4 KiB; with three to a page, fewer go through
        // the log. It is copied into the file by `tidy` before it has this many pages; should that not keep up, then by the writer.
        c.execute_batch(
            "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;
             PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 16000; PRAGMA trusted_schema = OFF;",
        )?;
        c.set_prepared_statement_cache_capacity(128);
        Ok(c)
    };
    let connection = connection().map_err(|e| opening(path, e))?;
    let file = identity(path).ok_or_else(|| moved(path))?;
    Ok(Box::new(Sqlite { connection, path: path.to_owned(), file }))
}

/// Device and inode, where there are such.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::metadata(path).ok()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Some((found.dev(), found.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = found;
        Some((0, 0))
    }
}

fn moved(path: &Path) -> Error {
    Error::new(
        Code::StoreFailed,
        format!(
            "The database {} is not the file any more that was opened: it was moved, replaced or removed.",
            path.display()
        ),
    )
    .hint("Put it back where it was, or restart the server.")
}

/// Verdicts and names are nobody's business but the server's.
fn private(path: &Path) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)?;
    Ok(())
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(n) => ValueRef::Integer(*n),
            Self::Text(s) => ValueRef::Text(s.as_bytes()),
            Self::Bytes(b) => ValueRef::Blob(b),
        }))
    }
}

/// `$1` is a name to SQLite; `?1` is the number that is meant. No text of ours has another dollar sign.
fn numbered(sql: &str) -> String {
    sql.replace('$', "?")
}

fn all(statement: &mut rusqlite::Statement<'_>, params: &[Value], out: &mut Vec<Row>) -> Result<()> {
    let columns = statement.column_count();
    let mut rows = statement.query(rusqlite::params_from_iter(params))?;
    while let Some(row) = rows.next()? {
        let mut values = Vec::with_capacity(columns);
        for i in 0..columns {
            values.push(match row.get_ref(i)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(n) => Value::Int(n),
                ValueRef::Text(t) => Value::Text(String::from_utf8_lossy(t).into_owned()),
                ValueRef::Blob(b) => b.to_vec().into(),
                ValueRef::Real(_) => return Err(super::wrong(i, "of a type that we store")),
            });
        }
        out.push(Row(values));
    }
    Ok(())
}

impl Tx for Sqlite {
    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        let mut out = Vec::new();
        let mut statement = self.connection.prepare_cached(&numbered(sql))?;
        all(&mut statement, params, &mut out)?;
        Ok(out)
    }

    fn query_rows(&mut self, sql: &str, rows: Vec<Vec<Value>>) -> Result<Vec<Row>> {
        let mut out = Vec::new();
        let Some(width) = rows.first().map(Vec::len) else { return Ok(out) };
        let mut statement = self.connection.prepare_cached(&numbered(&one_by_one(sql, width)))?;
        rows.iter().try_for_each(|row| all(&mut statement, row, &mut out))?;
        Ok(out)
    }

    fn execute_rows(&mut self, sql: &str, rows: Vec<Vec<Value>>) -> Result<u64> {
        let Some(width) = rows.first().map(Vec::len) else { return Ok(0) };
        let mut statement = self.connection.prepare_cached(&numbered(&one_by_one(sql, width)))?;
        let mut changed = 0;
        for row in &rows {
            changed += statement.execute(rusqlite::params_from_iter(row))? as u64;
        }
        Ok(changed)
    }

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64> {
        let changed = self.connection.prepare_cached(&numbered(sql))?.execute(rusqlite::params_from_iter(params))?;
        Ok(changed as u64)
    }
}

impl Connection for Sqlite {
    fn begin(&mut self, write: bool) -> Result<()> {
        // SQLite would go on with the file that nobody finds any more, and what was acknowledged would be lost with it.
        if identity(&self.path) != Some(self.file) {
            return Err(moved(&self.path));
        }
        Ok(self.connection.execute_batch(if write { "BEGIN IMMEDIATE" } else { "BEGIN" })?)
    }
    fn commit(&mut self) -> Result<()> {
        Ok(self.connection.execute_batch("COMMIT")?)
    }
    fn rollback(&mut self) -> Result<()> {
        // After some errors SQLite has rolled back by itself.
        if self.connection.is_autocommit() { Ok(()) } else { Ok(self.connection.execute_batch("ROLLBACK")?) }
    }
    fn broken(&self) -> bool {
        false
    }
    fn batch(&mut self, sql: &str) -> Result<()> {
        // Only under this name is it the row's own number; another type would be a second tree beside the table.
        Ok(self.connection.execute_batch(&sql.replace("BIGINT PRIMARY KEY", "INTEGER PRIMARY KEY"))?)
    }
    /// Copies the log into the file, as far as nobody reads the old pages. The writer goes on meanwhile.
    fn tidy(&mut self) -> Result<()> {
        Ok(self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?)
    }
}
