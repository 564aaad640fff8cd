//! One spelling for each value: RFC 8785 out, and in only what is spelled so.

use crate::error::{Code, Error, Result};
use serde::{Serialize, de::DeserializeOwned};
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
    if to_bytes(&value)? != bytes {
        return Err(invalid("is not in canonical form (RFC 8785), so it was not written by us".into()));
    }
    Ok(value)
}

/// Lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
