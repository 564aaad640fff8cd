//! PostgreSQL. The connection is meant for a private network or a local socket: it is not encrypted by us.

use super::many::all_at_once;
use super::{Connection, Row, Tx, Value};
use bytes::BytesMut;
use forge_core::error::{Code, Error, Result};
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use std::collections::HashMap;
use std::time::Duration;

/// Taken while a transaction writes, so that processes number verdicts one after the other, as SQLite has it by nature.
const WRITER_LOCK: i64 = 0x466f_7267_6553_6362;
const STATEMENTS: usize = 256;

/// A statement that is prepared while a table is small must not walk through all of it once it is large: every row is looked up
/// in its index and a board is read in the order of its own, whatever is believed about sizes. Planning a statement of a thousand
/// parameters anew takes longer than running it. An envelope is hardly smaller when it is compressed, so that must be cheap.
const SETTINGS: &str = "SET synchronous_commit = on; SET statement_timeout = '60s'; SET lock_timeout = '20s'; SET jit = off;
    SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
    SET plan_cache_mode = force_generic_plan;
    SELECT set_config(name, 'lz4', false) FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)";

struct Pg {
    client: postgres::Client,
    prepared: HashMap<String, postgres::Statement>,
}

/// A database whose machine is gone without a word says nothing more: whoever waits for it hears of that within a minute.
fn config(url: &str) -> Result<postgres::Config> {
    // The parser's own words may repeat what it took for something else: a part of the password.
    let mut config: postgres::Config = url.parse().map_err(|_: postgres::Error| {
        Error::new(Code::InvalidInput, "The database URL cannot be read.")
            .hint("It looks like postgres://user:password@host:5432/name.")
            .hint("In a password, write % as %25, @ as %40, : as %3A, / as %2F, ? as %3F and # as %23.")
    })?;
    config.connect_timeout(Duration::from_secs(5)).application_name("forge-scoreboard");
    config.keepalives(true).keepalives_idle(Duration::from_secs(20)).keepalives_interval(Duration::from_secs(5));
    config.keepalives_retries(4).tcp_user_timeout(Duration::from_secs(40));
    Ok(config)
}

pub fn open(url: &str) -> Result<Box<dyn Connection>> {
    let mut client = config(url)?.connect(postgres::NoTls).map_err(|e| failed(&e))?;
    client.batch_execute(SETTINGS).map_err(|e| failed(&e))?;
    Ok(Box::new(Pg { client, prepared: HashMap::new() }))
}

fn failed(e: &postgres::Error) -> Error {
    let why = e.as_db_error().map_or_else(|| e.to_string(), |d| format!("{} ({})", d.message(), d.code().code()));
    let full = e.code() == Some(&postgres::error::SqlState::DISK_FULL);
    Error::new(if full { Code::DiskFull } else { Code::StoreFailed }, format!("PostgreSQL: {why}"))
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(n) => n.to_sql(ty, out),
            Self::Text(s) => s.to_sql(ty, out),
            Self::Bytes(b) => b.as_ref().to_sql(ty, out),
        }
    }
    fn accepts(ty: &Type) -> bool {
        [Type::INT8, Type::TEXT, Type::BYTEA].contains(ty)
    }
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        match *ty {
            Type::INT8 => Ok(Self::Int(i64::from_sql(ty, raw)?)),
            Type::INT4 => Ok(Self::Int(i32::from_sql(ty, raw)?.into())),
            Type::BYTEA => Ok(raw.to_vec().into()),
            _ => Ok(Self::Text(String::from_sql(ty, raw)?)),
        }
    }
    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self::Null)
    }
    fn accepts(ty: &Type) -> bool {
        [Type::INT8, Type::INT4, Type::TEXT, Type::VARCHAR, Type::BYTEA].contains(ty)
    }
}

impl Pg {
    fn prepared(&mut self, sql: &str) -> Result<postgres::Statement> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).map_err(|e| failed(&e))?;
        if self.prepared.len() < STATEMENTS {
            self.prepared.insert(sql.to_owned(), statement.clone());
        }
        Ok(statement)
    }

    /// `params` are values, or a column of many in each.
    fn ask<P: ToSql + Sync>(&mut self, sql: &str, params: &[P]) -> Result<Vec<Row>> {
        let statement = self.prepared(sql)?;
        let rows = self.client.query(&statement, &borrowed(params)).map_err(|e| failed(&e))?;
        rows.iter()
            .map(|row| {
                let values = (0..row.len()).map(|i| row.try_get::<_, Value>(i).map_err(|e| failed(&e)));
                Ok(Row(values.collect::<Result<_>>()?))
            })
            .collect()
    }

    fn run<P: ToSql + Sync>(&mut self, sql: &str, params: &[P]) -> Result<u64> {
        let statement = self.prepared(sql)?;
        self.client.execute(&statement, &borrowed(params)).map_err(|e| failed(&e))
    }
}

fn borrowed<P: ToSql + Sync>(params: &[P]) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|p| p as &(dyn ToSql + Sync)).collect()
}

impl Tx for Pg {
    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        self.ask(sql, params)
    }

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64> {
        self.run(sql, params)
    }

    fn query_rows(&mut self, sql: &str, rows: Vec<Vec<Value>>) -> Result<Vec<Row>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let (sql, columns) = all_at_once(sql, rows);
        self.ask(&sql, &columns)
    }

    fn execute_rows(&mut self, sql: &str, rows: Vec<Vec<Value>>) -> Result<u64> {
        if rows.is_empty() {
            return Ok(0);
        }
        let (sql, columns) = all_at_once(sql, rows);
        self.run(&sql, &columns)
    }
}

impl Connection for Pg {
    fn begin(&mut self, write: bool) -> Result<()> {
        if write {
            // What waited too long for another process leaves a transaction that takes nothing more, not even its beginning.
            let begun = self.batch(&format!("BEGIN; SELECT pg_advisory_xact_lock({WRITER_LOCK})"));
            if begun.is_err() && !self.client.is_closed() {
                self.batch("ROLLBACK")?;
            }
            begun
        } else {
            self.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        }
    }
    fn commit(&mut self) -> Result<()> {
        self.batch("COMMIT")
    }
    fn rollback(&mut self) -> Result<()> {
        self.batch("ROLLBACK")
    }
    fn broken(&self) -> bool {
        self.client.is_closed()
    }
    fn batch(&mut self, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).map_err(|e| failed(&e))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn no_part_of_an_address_that_cannot_be_read_is_repeated() {
        for url in ["postgres://board:p@a?secret=1@host/db", "postgres://board:p@host:secret/db"] {
            let e = config(url).err().unwrap();
            assert!(!format!("{e:?}").contains("secret"), "{e:?}");
            assert!(e.hints.iter().any(|h| h.contains("%40")), "{e:?}");
        }
    }

    #[test]
    fn a_silent_database_is_given_up_within_a_minute() {
        let config = config("postgres://board@host/db").unwrap();
        let probes = config.get_keepalives_interval().unwrap() * config.get_keepalives_retries().unwrap();
        assert!(config.get_keepalives_idle() + probes <= Duration::from_secs(60));
        assert!(config.get_tcp_user_timeout().unwrap() <= &Duration::from_secs(60));
    }
}
