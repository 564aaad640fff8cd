//! Which version the tables are of, and what brings an older one up to date.

use super::{Connection, Value, jobs, meta, people, reexecution, session, session_log, standing, verdicts};
use forge_core::error::{Code, Error, Result};

pub const SCHEMA_VERSION: i64 = 6;

/// Makes what is missing. `StoreFailed` for a database of a newer version.
pub fn migrate(conn: &mut dyn Connection) -> Result<()> {
    conn.begin(true)?;
    match brought(conn) {
        Ok(()) => conn.commit(),
        Err(e) => {
            conn.rollback()?;
            Err(e)
        }
    }
}

fn brought(conn: &mut dyn Connection) -> Result<()> {
    conn.batch("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")?;
    let found = meta::number(&mut *conn, "schema")?;
    match found {
        Some(SCHEMA_VERSION) => return Ok(()),
        None => {
            for sql in [people::SQL, verdicts::SQL, standing::SQL, session::SQL, session_log::SQL] {
                conn.batch(sql)?;
            }
            later(conn)?;
        }
        Some(1..=3) => {
            later(conn)?;
            narrower(conn)?;
        }
        Some(4) => {
            narrower(conn)?;
            conn.batch(session_log::EACH)?;
        }
        Some(5) => conn.batch(session_log::EACH)?,
        Some(other) => {
            return Err(Error::new(
                Code::StoreFailed,
                format!("The database has version {other}, this program knows {SCHEMA_VERSION}."),
            )
            .hint("Use the version of forge-scoreboard that wrote it, or a newer one."));
        }
    }
    meta::set(&mut *conn, "schema", &SCHEMA_VERSION.to_string())
}

/// Tables that came after the first version. Also run once a backup of an older one was read.
pub fn later(conn: &mut dyn Connection) -> Result<()> {
    [reexecution::SQL, jobs::SQL, people::BOUND, session_log::EACH].into_iter().try_for_each(|sql| conn.batch(sql))
}

/// Rows that are read and written at once.
const PAGE: i64 = 500;

/// From 4 to 5: verdicts without what can be made from the rest, digests as bytes, and no index over what is mostly empty.
fn narrower(conn: &mut dyn Connection) -> Result<()> {
    conn.batch("DROP INDEX verdicts_session; ALTER TABLE verdicts RENAME TO verdicts_4")?;
    conn.batch(verdicts::SQL)?;
    let read = format!("SELECT {} FROM verdicts_4 WHERE seq > $1 ORDER BY seq LIMIT $2", verdicts::COLUMNS_4);
    let insert = format!("INSERT INTO verdicts ({}) {{rows}}", verdicts::COLUMNS);
    let mut seq = 0;
    loop {
        let rows = conn.query(&read, &[seq.into(), PAGE.into()])?;
        let count = rows.len() as i64;
        if let Some(last) = rows.last() {
            seq = last.int(0)?;
        }
        let rows = rows.into_iter().map(|row| verdicts::from_4(row.0)).collect::<Result<Vec<Vec<Value>>>>()?;
        conn.execute_rows(&insert, rows)?;
        if count < PAGE {
            return conn.batch("DROP TABLE verdicts_4");
        }
    }
}
