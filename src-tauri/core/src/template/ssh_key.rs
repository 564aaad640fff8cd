//! An ed25519 key pair in the texts OpenSSH reads: `id_ed25519` (PROTOCOL.key, “openssh-key-v1”, unencrypted) and
//! `id_ed25519.pub` (RFC 4253 §6.6, RFC 8709).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::SigningKey;

pub struct KeyPair {
    /// PEM-like text, ends with a newline.
    pub private: String,
    /// One line without a newline.
    pub public: String,
}

/// `check` is the random number that OpenSSH puts twice before the private part to notice a wrong passphrase.
pub fn key_pair(secret: &[u8; 32], check: [u8; 4], comment: &str) -> KeyPair {
    const KIND: &[u8] = b"ssh-ed25519";
    let public = SigningKey::from_bytes(secret).verifying_key().to_bytes();

    let mut blob = Vec::new();
    string(&mut blob, KIND);
    string(&mut blob, &public);

    let mut inner = Vec::new();
    inner.extend_from_slice(&check);
    inner.extend_from_slice(&check);
    string(&mut inner, KIND);
    string(&mut inner, &public);
    string(&mut inner, &[secret.as_slice(), public.as_slice()].concat());
    string(&mut inner, comment.as_bytes());
    // Padding 1, 2, 3, … to the block size of the cipher “none”, which is 8.
    for pad in 1u8.. {
        if inner.len().is_multiple_of(8) {
            break;
        }
        inner.push(pad);
    }

    let mut outer = b"openssh-key-v1\0".to_vec();
    string(&mut outer, b"none");
    string(&mut outer, b"none");
    string(&mut outer, b"");
    outer.extend_from_slice(&1u32.to_be_bytes());
    string(&mut outer, &blob);
    string(&mut outer, &inner);

    let mut private = String::from("-----BEGIN OPENSSH PRIVATE KEY-----\n");
    for (i, c) in BASE64_STANDARD.encode(outer).chars().enumerate() {
        if i > 0 && i.is_multiple_of(70) {
            private.push('\n');
        }
        private.push(c);
    }
    private.push_str("\n-----END OPENSSH PRIVATE KEY-----\n");
    KeyPair { private, public: format!("ssh-ed25519 {} {comment}", BASE64_STANDARD.encode(blob)) }
}

/// RFC 4251 §5: length, then bytes.
fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}
