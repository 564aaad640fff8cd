//! Key pairs that are nobody's identity: made from bytes the caller drew, for use inside a lab.

use ed25519_dalek::SigningKey;

/// The Ed25519 public key that belongs to a secret (RFC 8032 §5.1.5).
pub fn ed25519_public(secret: &[u8; 32]) -> [u8; 32] {
    SigningKey::from_bytes(secret).verifying_key().to_bytes()
}
