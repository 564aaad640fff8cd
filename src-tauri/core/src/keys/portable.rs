//! A key pair in a file of its own, for those who sign releases: nothing of an installation, and never in a repository.

use super::public::{Domain, PublicKey};
use super::vault;
use crate::error::{Code, Error, Result};
use ed25519_dalek::{Signer, SigningKey};
use std::path::Path;
use zeroize::Zeroizing;

/// The operating system's randomness, for shells that make a key.
pub fn system_rng() -> impl rand::CryptoRng {
    rand::rng()
}

pub struct Portable(SigningKey);

impl Portable {
    /// Makes a key and writes its private half (PKCS#8 PEM, mode 0600) to a file that must not exist.
    pub fn make(path: &Path, rng: &mut dyn rand::CryptoRng) -> Result<Self> {
        use ed25519_dalek::pkcs8::{EncodePrivateKey, KeypairBytes, spki::der::pem::LineEnding};
        if std::fs::symlink_metadata(path).is_ok() {
            return Err(Error::new(Code::InvalidInput, format!("{} is there already.", path.display()))
                .hint("Name a new file: a key that has signed something must not be lost."));
        }
        let seed = super::draw(rng);
        let pem = KeypairBytes { secret_key: *seed, public_key: None }
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|e| Error::internal(format!("a private key could not be encoded: {e}")))?;
        vault::replace(path, pem.as_bytes())?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    pub fn open(path: &Path) -> Result<Self> {
        use ed25519_dalek::pkcs8::DecodePrivateKey;
        let unfit = |why: &dyn std::fmt::Display| {
            Error::new(Code::KeyUnavailable, format!("{} cannot be used to sign: {why}", path.display()))
        };
        let pem = Zeroizing::new(std::fs::read_to_string(path).map_err(|e| unfit(&e))?);
        Ok(Self(SigningKey::from_pkcs8_pem(&pem).map_err(|e| unfit(&e))?))
    }

    pub fn public(&self) -> PublicKey {
        PublicKey::of(&self.0)
    }

    pub fn sign(&self, domain: Domain, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(&domain.message(bytes)).to_bytes()
    }
}
