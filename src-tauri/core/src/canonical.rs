//! One spelling for each value: RFC 8785 out, and in only what is spelled so.
//!
//! The library that writes it takes longer than a signature's verification. Where none of the RFC's harder rules is needed,
//! compact JSON with its members in order is the canonical form already: types on a busy path declare their fields in that
//! order, and are then written and compared without a detour.

use crate::api::wrong;
use crate::error::{Code, Error, Result};
use aws_lc_rs::digest::{Context, SHA256};
use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::io::{self, Write};

/// What most statements fit in: a buffer that grows from nothing is copied again and again.
const USUAL: usize = 1 << 10;

/// RFC 8785.
pub fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut compact = Vec::with_capacity(USUAL);
    serde_json::to_writer(&mut compact, value).map_err(Error::internal)?;
    if is_plain(&compact) {
        return Ok(compact);
    }
    serde_json_canonicalizer::to_vec(value).map_err(Error::internal)
}

/// Reads, and refuses any other spelling of the same value (white space, order, duplicate members, number forms), so that
/// no byte of a file is without meaning.
pub fn from_bytes<T: Serialize + DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    let invalid = |why: String| Error::new(Code::VerdictInvalid, format!("{what} {why}"));
    // Read once more for words only when it is wrong: good ones come by the thousand.
    let value: T = serde_json::from_slice(bytes)
        .map_err(|_| invalid(format!("is not what it should be. {}", wrong::why::<T>(bytes))))?;
    if !is_spelled(&value, bytes)? {
        return Err(invalid("is not in canonical form (RFC 8785), so it was not written by us".into()));
    }
    Ok(value)
}

/// Whether these bytes are the canonical form of a value that was read from them.
fn is_spelled<T: Serialize>(value: &T, bytes: &[u8]) -> Result<bool> {
    let mut rest = Rest(bytes);
    if serde_json::to_writer(&mut rest, value).is_ok() && rest.0.is_empty() && is_plain(bytes) {
        return Ok(true);
    }
    Ok(serde_json_canonicalizer::to_vec(value).map_err(Error::internal)? == bytes)
}

/// What is still to be written; anything else is an error.
struct Rest<'a>(&'a [u8]);

impl Write for Rest<'_> {
    fn write(&mut self, written: &[u8]) -> io::Result<usize> {
        self.0 = self.0.strip_prefix(written).ok_or(io::ErrorKind::InvalidData)?;
        Ok(written.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether compact JSON is canonical as it stands: members in strict order, with names that sort the same as UTF-16, and no
/// number that is not exactly an integer of IEEE 754 binary64 (RFC 8785 3.2.2.3).
fn is_plain(compact: &[u8]) -> bool {
    serde_json::from_slice::<Plain>(compact).is_ok()
}

struct Plain;

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Self)
    }
}

const EXACT: u64 = 1 << 53;

impl<'de> Visitor<'de> for Plain {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON that needs no other spelling")
    }
    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Self, E> {
        if n <= EXACT { Ok(self) } else { Err(E::custom("too large")) }
    }
    fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Self, E> {
        self.visit_u64(n.unsigned_abs())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut last: Option<&str> = None;
        // A name with an escape cannot be borrowed, and is left to the library.
        while let Some(name) = members.next_key::<&str>()? {
            if !name.is_ascii() || last.is_some_and(|last| last >= name) {
                return Err(A::Error::custom("out of order"));
            }
            members.next_value::<Self>()?;
            last = Some(name);
        }
        Ok(self)
    }
}

/// SHA-256 of these one after the other. The library is the one that TLS brings: on processors without instructions for it, it
/// takes half as long as the other one, and a scoreboard does this for every verdict.
pub(crate) fn digest_of(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// Lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest_of(&[bytes]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// By the library alone.
    fn spelled(tree: &Value) -> Vec<u8> {
        serde_json_canonicalizer::to_vec(tree).unwrap()
    }

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
        fn the_short_way_spells_as_the_library_does(tree in tree()) {
            let want = spelled(&tree);
            prop_assert_eq!(&to_bytes(&tree).unwrap(), &want);
            prop_assert!(is_spelled(&tree, &want).unwrap());
            prop_assert!(!is_spelled(&tree, &[want.as_slice(), b" "].concat()).unwrap());
            prop_assert!(!is_spelled(&tree, &want[..want.len() - 1]).unwrap());
            let compact = serde_json::to_vec(&tree).unwrap();
            prop_assert!(!is_plain(&compact) || compact == want);
        }
    }

    #[test]
    fn what_is_plain_is_known_as_such() {
        let plain = json!({"a": [1, -1, null, true, "é\n\u{1}"], "b": {"A": 1_u64 << 53, "a": -(1_i64 << 53)}});
        assert!(is_plain(&serde_json::to_vec(&plain).unwrap()), "or the short way is never taken");
        for other in [
            r#"{"b":1,"a":2}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"é":1}"#,
            r#"{"\u0061":1}"#,
            "[1.0]",
            "[1e3]",
            "[-0]",
            "[9007199254740993]",
            "[-9007199254740993]",
            "[1]]",
        ] {
            assert!(!is_plain(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_type_in_another_order_is_spelled_in_the_right_one() {
        #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
        struct Two {
            b: u8,
            a: u8,
        }
        let two = Two { b: 1, a: 2 };
        assert_eq!(to_bytes(&two).unwrap(), br#"{"a":2,"b":1}"#);
        assert_eq!(from_bytes::<Two>("it", br#"{"a":2,"b":1}"#).unwrap(), two);
        assert!(from_bytes::<Two>("it", br#"{"b":1,"a":2}"#).is_err());
    }
}
