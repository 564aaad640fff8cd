//! Checkpoints as C2SP signed notes (c2sp.org/tlog-checkpoint, c2sp.org/signed-note): readable text, one signature
//! line, Ed25519.
//!
//! ```text
//! frostgate.dev/forge/audit/<key id>
//! <number of entries>
//! <tree head, base64>
//!
//! — frostgate.dev/forge/audit/<key id> <base64 of key hash (4 bytes) and signature (64 bytes)>
//! ```

use crate::error::{Code, Error, Result};
use crate::keys::{KeyName, Keys, NOTE_PREFIX, PublicKey};
use crate::merkle::Hash;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

/// What a checkpoint says, once its signature has been looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub key_id: String,
    pub size: u64,
    pub root: Hash,
}

fn origin(key_id: &str) -> String {
    format!("{NOTE_PREFIX}audit/{key_id}")
}

/// `SHA-256(name || 0x0A || 0x01 || public key)[..4]`: Ed25519 is signature type 1 in signed-note.
fn key_hash(name: &str, key: &PublicKey) -> [u8; 4] {
    let mut h = Sha256::new();
    h.update(name.as_bytes());
    h.update([0x0a, 0x01]);
    h.update(key.to_bytes());
    let digest: [u8; 32] = h.finalize().into();
    let [a, b, c, d, ..] = digest;
    [a, b, c, d]
}

/// Signs a tree head with the learner's key.
pub fn seal(keys: &Keys, size: u64, root: &Hash) -> Result<String> {
    let key = keys.public(KeyName::Learner)?;
    let name = origin(&key.id());
    let text = format!("{name}\n{size}\n{}\n", BASE64_STANDARD.encode(root));
    let mut blob = key_hash(&name, &key).to_vec();
    blob.extend_from_slice(&keys.sign_note(KeyName::Learner, &text)?);
    Ok(format!("{text}\n— {name} {}\n", BASE64_STANDARD.encode(blob)))
}

/// Whether a checkpoint names a log of ours under a key that is none of `trusted`.
pub fn of_another_key(note: &str, trusted: &[PublicKey]) -> bool {
    let key_id = note.lines().next().and_then(|first| first.strip_prefix(&origin("")));
    key_id.is_some_and(|id| trusted.iter().all(|k| k.id() != id))
}

/// Reads a checkpoint strictly and verifies it under one of `trusted`. `EvidenceInvalid` names what is wrong.
pub fn open(note: &str, trusted: &[PublicKey]) -> Result<Checkpoint> {
    let bad = |why: &str| Error::new(Code::EvidenceInvalid, format!("The audit checkpoint is not valid: {why}."));
    let (text, signatures) = note.split_once("\n\n").ok_or_else(|| bad("it has no signature"))?;
    let text = format!("{text}\n");
    let (name, blob) = signatures
        .strip_prefix("— ")
        .and_then(|line| line.strip_suffix('\n'))
        .and_then(|line| line.split_once(' '))
        .ok_or_else(|| bad("its signature line is malformed"))?;
    let mut lines = text.lines();
    let (Some(first), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next()) else {
        return Err(bad("it does not have exactly three lines"));
    };
    let key_id = first.strip_prefix(&origin("")).ok_or_else(|| bad("it belongs to another log"))?;
    if name != first {
        return Err(bad("it is signed under another name"));
    }
    let number: u64 = size.parse().map_err(|_| bad("its size is not a number"))?;
    if number.to_string() != size {
        return Err(bad("its size is not written in the one allowed way"));
    }
    let root: Hash = BASE64_STANDARD
        .decode(root)
        .ok()
        .and_then(|b| b.try_into().ok())
        .ok_or_else(|| bad("its tree head is not 32 bytes in base64"))?;
    let key = trusted.iter().find(|k| k.id() == key_id).ok_or_else(|| bad("its key is not known here"))?;
    let blob = BASE64_STANDARD.decode(blob).map_err(|_| bad("its signature is not base64"))?;
    match blob.split_at_checked(4) {
        Some((hash, signature)) if hash == key_hash(name, key) && key.verify_note(&text, signature) => {
            Ok(Checkpoint { key_id: key_id.to_owned(), size: number, root })
        }
        _ => Err(bad("its signature does not fit")),
    }
}
