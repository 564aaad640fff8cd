//! Many rows for one statement, each database in the way that is its own: `{rows}` in the text stands for them. SQLite has the
//! statement run once for each, as a list of VALUES, prepared once; to PostgreSQL, for which each statement is a round trip, all of
//! them go at once, a column in each parameter.

use super::Value;

/// What SQLite runs for each row.
pub fn one_by_one(sql: &str, width: usize) -> String {
    let places: Vec<String> = (1..=width).map(|i| format!("${i}")).collect();
    sql.replace("{rows}", &format!("VALUES ({})", places.join(", ")))
}

/// What PostgreSQL runs for all of them, and its parameters. A column in which nothing is known has none: there it says NULL, which
/// is of any type.
pub fn all_at_once(sql: &str, rows: Vec<Vec<Value>>) -> (String, Vec<Vec<Value>>) {
    let width = rows.first().map_or(0, Vec::len);
    let mut columns: Vec<Vec<Value>> = (0..width).map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
    }
    let (mut named, mut places, mut known) = (Vec::new(), Vec::new(), Vec::new());
    for column in columns {
        let kind = match column.iter().find(|v| **v != Value::Null) {
            None => {
                named.push("NULL".to_owned());
                continue;
            }
            Some(Value::Int(_)) => "bigint",
            Some(Value::Bytes(_)) => "bytea",
            Some(_) => "text",
        };
        known.push(column);
        named.push(format!("c{}", known.len()));
        places.push(format!("${}::{kind}[]", known.len()));
    }
    let names = named.iter().filter(|n| *n != "NULL").map(String::as_str).collect::<Vec<_>>().join(", ");
    let source = format!("SELECT {} FROM unnest({}) AS given ({names})", named.join(", "), places.join(", "));
    (sql.replace("{rows}", &source), known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_has_its_own_text() {
        let sql = "INSERT INTO t (a, b, c) {rows} ON CONFLICT DO NOTHING";
        assert_eq!(one_by_one(sql, 3), "INSERT INTO t (a, b, c) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING");
        let row = |n: i64, b: Value| vec![Value::Int(n), b, Value::Null];
        let (text, columns) = all_at_once(sql, vec![row(1, Value::Null), row(2, vec![7].into())]);
        assert_eq!(
            text,
            "INSERT INTO t (a, b, c) SELECT c1, c2, NULL FROM unnest($1::bigint[], $2::bytea[]) AS given (c1, c2) ON CONFLICT DO NOTHING"
        );
        assert_eq!(columns, [[Value::Int(1), Value::Int(2)], [Value::Null, vec![7].into()]]);
    }
}
