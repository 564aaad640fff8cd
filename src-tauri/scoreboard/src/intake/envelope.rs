//! From bytes to a statement whose signature holds; each way in which they can be wrong has its code.

use super::no;
use forge_core::board::{ENVELOPE_MAX, Refusal, RefusalCode};
use forge_core::keys::PublicKey;
use forge_core::verdict::statement::{PREDICATE_TYPE, STATEMENT_TYPE, SUBJECTS, Statement};
use forge_core::verdict::{canonical, dsse};
use serde_json::Value;

pub struct Opened {
    /// The verdict's id.
    pub id: String,
    pub key_id: String,
    pub pae: Vec<u8>,
    pub signature: [u8; 64],
    /// What was signed.
    pub payload: Vec<u8>,
}

/// Reads the envelope; says nothing about whether it is genuine.
pub fn open(bytes: &[u8]) -> Result<Opened, Refusal> {
    if bytes.len() > ENVELOPE_MAX {
        return Err(no(RefusalCode::TooLarge, "The envelope is larger than 256 KiB."));
    }
    let opened = dsse::read(bytes).map_err(|e| wrong_envelope(bytes, &e.message))?;
    let pae = dsse::pae(dsse::PAYLOAD_TYPE, &opened.payload);
    Ok(Opened {
        id: dsse::verdict_id(&pae),
        key_id: opened.key_id,
        pae,
        signature: opened.signature,
        payload: opened.payload,
    })
}

/// What dsse::read has refused, told apart.
fn wrong_envelope(bytes: &[u8], said: &str) -> Refusal {
    let value: Value = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(e) if e.is_eof() => return no(RefusalCode::Truncated, "The envelope ends before it is whole."),
        Err(_) => return no(RefusalCode::Malformed, format!("This is not an envelope: {said}")),
    };
    if value.get("payloadType").and_then(Value::as_str).is_some_and(|t| t != dsse::PAYLOAD_TYPE) {
        return no(RefusalCode::UnknownVersion, "The envelope has a payload of a type that this server does not know.");
    }
    spelled_otherwise(&value, bytes)
        .unwrap_or_else(|| no(RefusalCode::Malformed, format!("This is not an envelope: {said}")))
}

fn spelled_otherwise(value: &Value, bytes: &[u8]) -> Option<Refusal> {
    let canonical = canonical::to_bytes(value).ok()?;
    let other = canonical != bytes;
    other.then(|| {
        no(
            RefusalCode::Reordered,
            "It is not spelled as it was signed (RFC 8785): members in another order, white space, or a member twice.",
        )
    })
}

/// Holds the signature against the key, strictly, and only then reads what was signed.
pub fn verify(opened: &Opened, key: &PublicKey) -> Result<Statement, Refusal> {
    if !key.verify_dsse(&opened.pae, &opened.signature) {
        return Err(no(RefusalCode::BadSignature, "The signature does not hold: this is not what the key signed."));
    }
    let statement = Statement::from_bytes(&opened.payload).map_err(|e| wrong_statement(&opened.payload, &e.message))?;
    let names: Vec<&str> = statement.subject.iter().map(|s| s.name.as_str()).collect();
    if names != SUBJECTS {
        let mut sorted = names.clone();
        sorted.sort_unstable();
        let mut wanted = SUBJECTS;
        wanted.sort_unstable();
        return Err(if sorted == wanted {
            no(RefusalCode::Reordered, "The statement names its subjects in another order.")
        } else {
            no(RefusalCode::Malformed, "The statement does not name score.json, evidence.tar.zst and evidence.tar.")
        });
    }
    Ok(statement)
}

fn wrong_statement(payload: &[u8], said: &str) -> Refusal {
    let malformed = || no(RefusalCode::Malformed, format!("The signed statement cannot be read: {said}"));
    let value: Value = match serde_json::from_slice(payload) {
        Ok(value) => value,
        Err(e) if e.is_eof() => return no(RefusalCode::Truncated, "The signed statement ends before it is whole."),
        Err(_) => return malformed(),
    };
    let other = |name: &str, known: &str| value.get(name).and_then(Value::as_str).is_some_and(|t| t != known);
    if other("_type", STATEMENT_TYPE) || other("predicateType", PREDICATE_TYPE) {
        return no(
            RefusalCode::UnknownVersion,
            "The signed statement is of a version or type that this server does not know.",
        );
    }
    spelled_otherwise(&value, payload).unwrap_or_else(malformed)
}
