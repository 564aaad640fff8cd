//! The public half: what anyone may hold, and everything that can be verified with it.

use crate::error::{Code, Error, Result};
use ed25519_dalek::pkcs8::{DecodePublicKey, EncodePublicKey, spki::der::pem::LineEnding};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

/// What a signature is for. A signature made under one domain never verifies under another, because the signed
/// bytes begin with the domain's own prefix. The two formats of others that we sign as they are have prefixes of
/// their own: DSSE's `DSSEv1 ` and our checkpoints' [`NOTE_PREFIX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// The old key vouches for the new one.
    KeyRotation,
    /// The lock file with the digests of a catalogue's labs.
    TemplateLock,
    /// A seed and nonce issued by an instructor.
    Challenge,
    /// What a billing gateway grants a subject.
    Entitlement,
    /// A receipt for a charge.
    Receipt,
    /// A list of names that labs may reach.
    EgressProfile,
    /// A laptop shows a scoreboard that it holds the key it enrols.
    Enrolment,
    /// A scoreboard has accepted a verdict.
    Acceptance,
    /// A scoreboard has accepted many: what is signed is the head of a tree of acceptances.
    Acceptances,
    /// What a submission did under another seed.
    ReExecution,
}

/// DSSE v1 pre-authentication encoding begins so (github.com/secure-systems-lab/dsse, protocol.md).
pub const DSSE_PREFIX: &[u8] = b"DSSEv1 ";
/// The first line (origin) of every signed note of ours begins so.
pub const NOTE_PREFIX: &str = "frostgate.dev/forge/";

impl Domain {
    /// What is really signed: the prefix, a zero byte, then the bytes.
    pub(super) fn message(self, bytes: &[u8]) -> Vec<u8> {
        let name = match self {
            Self::KeyRotation => "key-rotation",
            Self::TemplateLock => "template-lock",
            Self::Challenge => "challenge",
            Self::Entitlement => "entitlement",
            Self::Receipt => "receipt",
            Self::EgressProfile => "egress-profile",
            Self::Enrolment => "enrolment",
            Self::Acceptance => "acceptance",
            Self::Acceptances => "acceptances",
            Self::ReExecution => "re-execution",
        };
        [b"frostgate-forge:", name.as_bytes(), b":v1\0", bytes].concat()
    }

    /// The domain of one signature for many of this kind, where there are such.
    pub fn of_many(self) -> Option<Self> {
        (self == Self::Acceptance).then_some(Self::Acceptances)
    }
}

/// An Ed25519 public key that is not weak (of small order).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// From 32 bytes (RFC 8032). `InvalidInput` when they are no point of the curve or one of small order, for
    /// which signatures exist that fit every message.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self> {
        let key = VerifyingKey::from_bytes(bytes)
            .map_err(|_| Error::new(Code::InvalidInput, "These 32 bytes are not an Ed25519 public key."))?;
        Self::checked(key)
    }

    /// From SubjectPublicKeyInfo PEM (RFC 8410), as `openssl pkey -pubout` writes it.
    pub fn from_pem(pem: &str) -> Result<Self> {
        let key = VerifyingKey::from_public_key_pem(pem)
            .map_err(|e| Error::new(Code::InvalidInput, format!("Not an Ed25519 public key in PEM: {e}")))?;
        Self::checked(key)
    }

    fn checked(key: VerifyingKey) -> Result<Self> {
        if key.is_weak() {
            return Err(Error::new(Code::InvalidInput, "This public key is weak: signatures under it prove nothing."));
        }
        Ok(Self(key))
    }

    pub(super) fn of(key: &ed25519_dalek::SigningKey) -> Self {
        Self(key.verifying_key())
    }

    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// SubjectPublicKeyInfo PEM, read by `openssl pkeyutl -pubin`.
    pub fn pem(&self) -> String {
        // The fixed 44-byte structure always encodes; an empty string would be refused by every reader.
        self.0.to_public_key_pem(LineEnding::LF).unwrap_or_default()
    }

    /// The fingerprint: the first 32 hex digits of SHA-256 over the SPKI DER (44 bytes), so that
    /// `openssl pkey -pubin -in key.pem -outform DER | sha256sum` begins with it.
    pub fn id(&self) -> String {
        let der = self.0.to_public_key_der().map(|d| d.into_vec()).unwrap_or_default();
        let mut id = hex::encode(Sha256::digest(der));
        id.truncate(32);
        id
    }

    /// RFC 8032 with the strict rules (no weak key, no second encoding of the same signature).
    #[must_use]
    pub fn verify(&self, domain: Domain, bytes: &[u8], signature: &[u8]) -> bool {
        self.verify_raw(&domain.message(bytes), signature)
    }

    /// Over the exact PAE bytes; false when they are not a PAE.
    #[must_use]
    pub fn verify_dsse(&self, pae: &[u8], signature: &[u8]) -> bool {
        pae.starts_with(DSSE_PREFIX) && self.verify_raw(pae, signature)
    }

    /// Over the text of a signed note, final newline included; false when it is not one of ours.
    #[must_use]
    pub fn verify_note(&self, text: &str, signature: &[u8]) -> bool {
        text.starts_with(NOTE_PREFIX) && self.verify_raw(text.as_bytes(), signature)
    }

    fn verify_raw(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|s| self.0.verify_strict(message, &s).is_ok())
    }
}
