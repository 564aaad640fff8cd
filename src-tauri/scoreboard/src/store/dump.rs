//! The whole database as JSON lines, the same from both databases: what a backup holds and a restore reads.

use super::{Connection, Row, SCHEMA_VERSION, TABLES, Table, Value, meta, schema, verdicts};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use forge_core::error::{Code, Error, Result};
use std::io::{BufRead, Read, Write};

/// Rows fetched at once.
const PAGE: i64 = 500;
/// The largest row is a verdict's: envelope and score in base64.
const LINE_MAX: u64 = 4 << 20;

/// A list of columns that is not the table's would lose one without a word.
fn checked(conn: &mut dyn Connection, (table, _, columns): Table) -> Result<usize> {
    let width = columns.split(", ").count();
    let found = conn.query(&format!("SELECT * FROM {table} LIMIT 1"), &[])?;
    match found.first() {
        Some(row) if row.0.len() != width => {
            Err(Error::internal(format!("table {table} has other columns than this program lists")))
        }
        _ => Ok(width),
    }
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Int(n) => (*n).into(),
        Value::Text(s) => s.as_str().into(),
        Value::Bytes(b) => serde_json::json!({"base64": BASE64_STANDARD.encode(b)}),
    }
}

fn value(json: &serde_json::Value) -> Result<Value> {
    let broken = || Error::new(Code::InvalidInput, "A line of the backup holds a value of another kind.");
    Ok(match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Number(n) => Value::Int(n.as_i64().ok_or_else(broken)?),
        serde_json::Value::String(s) => Value::Text(s.clone()),
        serde_json::Value::Object(o) => {
            let text = o.get("base64").and_then(serde_json::Value::as_str).ok_or_else(broken)?;
            BASE64_STANDARD.decode(text).map_err(|_| broken())?.into()
        }
        _ => return Err(broken()),
    })
}

/// Writes every table, from one snapshot. Returns the number of rows.
pub fn write(conn: &mut dyn Connection, out: &mut dyn Write) -> Result<u64> {
    conn.begin(false)?;
    let mut count = 0;
    for described @ (table, key, columns) in TABLES {
        checked(conn, *described)?;
        let sql = format!("SELECT {columns} FROM {table} ORDER BY {key} LIMIT $1 OFFSET $2");
        let by_seq = format!("SELECT {columns} FROM {table} WHERE seq > $2 ORDER BY seq LIMIT $1");
        let mut from = 0;
        loop {
            // The one table that can be very long is walked by its key.
            let rows = conn.query(if *table == "verdicts" { &by_seq } else { &sql }, &[PAGE.into(), from.into()])?;
            for Row(values) in &rows {
                let line = serde_json::json!([table, values.iter().map(json).collect::<Vec<_>>()]);
                writeln!(out, "{line}")?;
                count += 1;
            }
            match rows.last() {
                Some(last) if rows.len() as i64 == PAGE => {
                    from = if *table == "verdicts" { last.int(0)? } else { from + PAGE }
                }
                _ => break,
            }
        }
    }
    conn.commit()?;
    out.flush()?;
    Ok(count)
}

/// Fills an empty database, also from a backup that an older version made. `WrongState` when there is something in it already.
pub fn read(conn: &mut dyn Connection, source: &mut dyn BufRead) -> Result<u64> {
    conn.begin(true)?;
    let outcome = fill(conn, source);
    match outcome {
        Ok(count) => conn.commit().map(|()| count),
        Err(e) => {
            conn.rollback()?;
            Err(e)
        }
    }
}

fn fill(conn: &mut dyn Connection, source: &mut dyn BufRead) -> Result<u64> {
    for (table, ..) in TABLES.iter().filter(|(t, ..)| *t != "meta") {
        if !conn.query(&format!("SELECT 1 FROM {table} LIMIT 1"), &[])?.is_empty() {
            return Err(Error::new(Code::WrongState, format!("The database is not empty: {table} has rows."))
                .hint("Restore into an empty folder or a fresh database."));
        }
    }
    conn.execute("DELETE FROM meta", &[])?;
    let (mut count, mut version) = (0, 1);
    loop {
        let mut line = Vec::new();
        source.take(LINE_MAX + 1).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return upgraded(conn).map(|()| count);
        }
        if line.len() as u64 > LINE_MAX {
            return Err(Error::new(Code::TooLarge, "A line of the backup is too long."));
        }
        let (table, values): (String, Vec<serde_json::Value>) = serde_json::from_slice(&line)?;
        let Some((table, _, columns)) = TABLES.iter().find(|(name, ..)| *name == table) else {
            return Err(Error::new(Code::InvalidInput, "The backup names a table that this program does not know."));
        };
        let mut values = values.iter().map(value).collect::<Result<Vec<_>>>()?;
        match (*table, values.as_slice()) {
            // Before all rows whose form depends on it.
            ("meta", [Value::Text(name), Value::Text(number)]) if name == "schema" => version = known(number)?,
            ("verdicts", _) if version < 5 => values = verdicts::from_4(values)?,
            _ => {}
        }
        let width = columns.split(", ").count();
        if width != values.len() {
            return Err(Error::new(Code::InvalidInput, format!("The backup has other columns for {table}.")));
        }
        let places: Vec<String> = (1..=width).map(|i| format!("${i}")).collect();
        let sql = format!("INSERT INTO {table} ({columns}) VALUES ({})", places.join(", "));
        conn.execute(&sql, &values)?;
        count += 1;
    }
}

/// The version that a backup is of. `InvalidInput` for a newer one.
fn known(number: &str) -> Result<i64> {
    match number.parse() {
        Ok(version @ 1..=SCHEMA_VERSION) => Ok(version),
        _ => Err(Error::new(
            Code::InvalidInput,
            format!("The backup has version {number}, this program knows {SCHEMA_VERSION}."),
        )
        .hint("Use the version of forge-scoreboard that made it, or a newer one.")),
    }
}

/// The rows stand in tables of this version.
fn upgraded(conn: &mut dyn Connection) -> Result<()> {
    schema::later(conn)?;
    meta::set(&mut *conn, "schema", &SCHEMA_VERSION.to_string())
}
