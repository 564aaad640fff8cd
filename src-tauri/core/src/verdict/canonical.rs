//! One spelling for each value: RFC 8785 out, and in only what is spelled so.

use crate::error::{Code, Error, Result};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// RFC 8785.
pub fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json_canonicalizer::to_vec(value).map_err(Error::internal)
}

/// Reads, and refuses any other spelling of the same value (white space, order, duplicate members, number forms), so that
/// no byte of a file is without meaning.
pub fn from_bytes<T: Serialize + DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    let invalid = |why: String| Error::new(Code::VerdictInvalid, format!("{what} {why}"));
    let value: T = serde_json::from_slice(bytes).map_err(|e| invalid(format!("is not what it should be: {e}")))?;
    if !is_spelled(&value, bytes)? {
        return Err(invalid("is not in canonical form (RFC 8785), so it was not written by us".into()));
    }
    Ok(value)
}

/// Whether these bytes are the canonical form of a value that was read from them.
fn is_spelled<T: Serialize>(value: &T, bytes: &[u8]) -> Result<bool> {
    // The library takes longer than the signature's own verification. Where none of the RFC's harder rules is needed, compact
    // JSON with sorted members is the canonical form.
    let mut tree = serde_json::to_value(value).map_err(Error::internal)?;
    if !is_plain(&tree) {
        return Ok(to_bytes(value)? == bytes);
    }
    tree.sort_all_objects();
    Ok(serde_json::to_vec(&tree).map_err(Error::internal)? == bytes)
}

/// No name that sorts otherwise as UTF-16, no number that is not exactly an integer of IEEE 754 binary64 (RFC 8785 3.2.2.3).
fn is_plain(tree: &Value) -> bool {
    const EXACT: u64 = 1 << 53;
    match tree {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(n) => {
            n.as_u64().is_some_and(|n| n <= EXACT) || n.as_i64().is_some_and(|n| n.unsigned_abs() <= EXACT)
        }
        Value::Array(items) => items.iter().all(is_plain),
        Value::Object(members) => members.iter().all(|(name, value)| name.is_ascii() && is_plain(value)),
    }
}

/// Lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-9i64..9).prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(prop_oneof!["[a-zA-Z_]{0,3}", any::<String>()], inner, 0..6)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_plain_is_spelled_as_the_library_spells_it(tree in tree()) {
            let spelled = to_bytes(&tree).unwrap();
            prop_assert!(is_spelled(&tree, &spelled).unwrap());
            if is_plain(&tree) {
                prop_assert_eq!(serde_json::to_vec(&tree).unwrap(), spelled.clone());
            }
            prop_assert!(!is_spelled(&tree, &[spelled.as_slice(), b" "].concat()).unwrap());
        }
    }
}
