//! What a gate may be asked: JSON of bounded size and depth, whoever sends it.

use crate::error::{Code, Error, Result};
use serde_json::{Value, json};

pub const INPUT_BYTES: usize = 256 * 1024;
pub const INPUT_DEPTH: usize = 32;

/// A question as it comes from outside.
///
/// # Errors
/// `TooLarge` beyond [`INPUT_BYTES`] or [`INPUT_DEPTH`]; `InvalidInput` with line and column for what is not JSON.
pub fn read(bytes: &[u8]) -> Result<Value> {
    if bytes.len() > INPUT_BYTES {
        return Err(too_large(bytes.len()));
    }
    // Before parsing: the parser has a limit of its own, whose message would not name ours.
    deep_enough(bytes_depth(bytes))?;
    serde_json::from_slice(bytes).map_err(|e| {
        Error::new(Code::InvalidInput, format!("The question is not JSON: {e}."))
            .hint("It is one JSON document; `forge policy list` says what each gate is asked.")
            .details(json!({"line": e.line(), "column": e.column()}))
    })
}

/// # Errors
/// `TooLarge` for a question that no gate would look at.
pub fn check(value: &Value) -> Result<()> {
    text_of(value).map(drop)
}

/// The same limits for a question that has been parsed already; its text is what the gate gets.
pub(super) fn text_of(value: &Value) -> Result<String> {
    deep_enough(depth(value))?;
    let text = serde_json::to_string(value)?;
    if text.len() > INPUT_BYTES { Err(too_large(text.len())) } else { Ok(text) }
}

fn too_large(actual: usize) -> Error {
    Error::new(Code::TooLarge, format!("The question has {actual} bytes; {INPUT_BYTES} are the most."))
        .hint("Ask about less at once.")
        .details(json!({"limit": INPUT_BYTES, "actual": actual}))
}

fn deep_enough(actual: usize) -> Result<()> {
    if actual <= INPUT_DEPTH {
        return Ok(());
    }
    Err(Error::new(Code::TooLarge, format!("The question is nested {actual} deep; {INPUT_DEPTH} is the most."))
        .hint("Take out a level of brackets.")
        .details(json!({"limit": INPUT_DEPTH, "actual": actual})))
}

/// Deepest nesting of brackets outside strings, whether or not the rest is JSON.
fn bytes_depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0usize, 0, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn what_is_too_large_too_deep_or_no_json_is_named() {
        assert_eq!(read(br#"{"a":[1,"]["]}"#).unwrap(), json!({"a": [1, "]["]}));
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(read(nested(INPUT_DEPTH).as_bytes()).is_ok());
        for deep in [INPUT_DEPTH + 1, 100_000] {
            let e = read(nested(deep).as_bytes()).unwrap_err();
            assert_eq!((e.code, e.details["actual"].as_u64().unwrap()), (Code::TooLarge, deep as u64));
        }
        let long = format!("\"{}\"", "x".repeat(INPUT_BYTES));
        assert_eq!(read(long.as_bytes()).unwrap_err().code, Code::TooLarge);
        for bad in ["", "{", "{\"a\":}", "[1,]", "nul", "{} {}", "\u{feff}{}"] {
            let e = read(bad.as_bytes()).unwrap_err();
            assert!(e.code == Code::InvalidInput && !e.hints.is_empty(), "{bad:?}: {e:?}");
        }
        assert_eq!(read(b"\"\xff\"").unwrap_err().code, Code::InvalidInput);
    }

    #[test]
    fn a_parsed_question_has_the_same_limits() {
        let mut value = json!(1);
        for _ in 0..INPUT_DEPTH {
            value = json!([value]);
        }
        assert!(text_of(&value).is_ok());
        assert_eq!(text_of(&json!({"a": value})).unwrap_err().code, Code::TooLarge);
        assert_eq!(text_of(&json!("x".repeat(INPUT_BYTES))).unwrap_err().code, Code::TooLarge);
    }
}
