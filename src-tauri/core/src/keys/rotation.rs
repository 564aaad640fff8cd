//! Changes of key: the old key vouches for the new one, and the record of it stays beside the keys.

use super::public::{Domain, PublicKey};
use super::{KeyName, unusable, vault};
use crate::error::{Code, Error, Result};
use ed25519_dalek::{Signer, SigningKey};
use serde::{Deserialize, Serialize};
use std::path::Path;

const ROTATIONS: &str = "rotations.json";

/// One change of key: `signature` (hex) is the old key's, under [`Domain::KeyRotation`], over
/// `<name>\n<new public key PEM>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    pub name: KeyName,
    pub at: i64,
    pub old: String,
    pub new: String,
    pub old_pem: String,
    pub new_pem: String,
    pub signature: String,
}

impl Rotation {
    pub(super) fn make(name: KeyName, at: i64, old: &SigningKey, new: &SigningKey) -> Self {
        let (old_public, new_public) = (PublicKey::of(old), PublicKey::of(new));
        let new_pem = new_public.pem();
        let message = Domain::KeyRotation.message(&Self::message(name, &new_pem));
        Self {
            name,
            at,
            old: old_public.id(),
            new: new_public.id(),
            old_pem: old_public.pem(),
            signature: hex::encode(old.sign(&message).to_bytes()),
            new_pem,
        }
    }

    fn message(name: KeyName, new_pem: &str) -> Vec<u8> {
        format!("{}\n{new_pem}", name.word()).into_bytes()
    }

    /// The two keys, old and new, if the old one really vouches for the new one.
    pub fn checked(&self) -> Result<(PublicKey, PublicKey)> {
        let bad =
            |why: &str| Error::new(Code::KeyUnavailable, format!("A recorded change of key is not genuine: {why}."));
        let old = PublicKey::from_pem(&self.old_pem)?;
        let new = PublicKey::from_pem(&self.new_pem)?;
        let signature = hex::decode(&self.signature).map_err(|_| bad("its signature is not hex"))?;
        if old.id() != self.old || new.id() != self.new {
            return Err(bad("a fingerprint does not belong to its key"));
        }
        if !old.verify(Domain::KeyRotation, &Self::message(self.name, &self.new_pem), &signature) {
            return Err(bad("the old key did not sign the new one"));
        }
        Ok((old, new))
    }
}

/// All recorded changes, oldest first, each of them genuine.
pub(super) fn read(folder: &Path) -> Result<Vec<Rotation>> {
    let path = folder.join(ROTATIONS);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::from(e).context(format!("Reading {}", path.display()))),
    };
    let rotations: Vec<Rotation> = serde_json::from_slice(&text)
        .map_err(|e| unusable("damaged", format!("{} is damaged: {e}", path.display())))?;
    for rotation in &rotations {
        rotation.checked()?;
    }
    Ok(rotations)
}

pub(super) fn write(folder: &Path, rotations: &[Rotation]) -> Result<()> {
    let text = serde_json::to_vec_pretty(rotations).map_err(Error::internal)?;
    vault::replace(&folder.join(ROTATIONS), &text)
}
