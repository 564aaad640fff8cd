//! Many rows in one statement. With PostgreSQL each statement is a round trip, so what piles up while the disk is busy must
//! not cost one for each row.

use super::Value;
use forge_core::error::Result;
use std::fmt::Write;

/// Rows in one statement at most: 64 verdicts have 1,600 parameters, both databases take ten times that.
const PART: usize = 64;

/// Calls `run` with the places of a VALUES list, `($1, $2), ($3, $4)`, and its parameters, until all rows had their turn.
/// Parts are powers of two in size, so that few different statements are prepared. All rows have equally many values.
pub fn in_parts(rows: Vec<Vec<Value>>, mut run: impl FnMut(&str, &[Value]) -> Result<()>) -> Result<()> {
    let (mut left, mut rows) = (rows.len(), rows.into_iter());
    while left > 0 {
        let part = PART.min(1 << left.ilog2());
        left -= part;
        let mut values = Vec::new();
        let mut places = String::new();
        for row in rows.by_ref().take(part) {
            places.push_str(if places.is_empty() { "(" } else { ", (" });
            for value in row {
                values.push(value);
                let comma = if places.ends_with('(') { "" } else { ", " };
                // Writing into a String cannot fail.
                let _ = write!(places, "{comma}${}", values.len());
            }
            places.push(')');
        }
        run(&places, &values)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn every_row_has_its_turn_once_in_few_shapes() {
        let rows: Vec<Vec<Value>> = (0..203).map(|i| vec![Value::Int(i), Value::Int(-i)]).collect();
        let (mut seen, mut shapes) = (Vec::new(), Vec::new());
        in_parts(rows, |places, values| {
            assert_eq!(places.matches('$').count(), values.len());
            assert!(places.starts_with("($1, $2)"));
            shapes.push(values.len() / 2);
            seen.extend(values.iter().step_by(2).cloned());
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, (0..203).map(Value::Int).collect::<Vec<_>>());
        assert_eq!(shapes, [64, 64, 64, 8, 2, 1]);
        in_parts(Vec::new(), |_, _| panic!("there is nothing to run")).unwrap();
    }
}
