//! An ed25519 key pair in the texts OpenSSH reads: `id_ed25519` (PROTOCOL.key, “openssh-key-v1”, unencrypted) and
//! `id_ed25519.pub` (RFC 4253 §6.6, RFC 8709).

use crate::keys::ed25519_public;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

pub struct KeyPair {
    /// PEM-like text, ends with a newline.
    pub private: String,
    /// One line without a newline.
    pub public: String,
}

/// `check` is the random number that OpenSSH puts twice before the private part to notice a wrong passphrase.
pub fn key_pair(secret: &[u8; 32], check: [u8; 4], comment: &str) -> KeyPair {
    const KIND: &[u8] = b"ssh-ed25519";
    let public = ed25519_public(secret);

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    /// The key of RFC 8032 §7.1, test 1; its public half is printed there.
    const SECRET: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    fn take<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
        let len = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        let (head, tail) = rest[4..].split_at(len);
        *rest = tail;
        head
    }

    #[test]
    fn both_halves_are_what_openssh_reads() {
        let secret: [u8; 32] = hex::decode(SECRET).unwrap().try_into().unwrap();
        let public = hex::decode(PUBLIC).unwrap();
        for comment in ["", "me@host", "a longer comment, to move the padding"] {
            let pair = key_pair(&secret, *b"abcd", comment);
            let mut words = pair.public.splitn(3, ' ');
            assert_eq!(words.next(), Some("ssh-ed25519"));
            let blob = BASE64_STANDARD.decode(words.next().unwrap()).unwrap();
            assert_eq!(blob[19..], public[..]);
            assert_eq!(words.next(), Some(comment));

            let body: String = pair.private.lines().filter(|l| !l.starts_with('-')).collect();
            assert!(pair.private.lines().all(|l| l.len() <= 70));
            let bytes = BASE64_STANDARD.decode(body).unwrap();
            let mut rest = bytes.strip_prefix(b"openssh-key-v1\0").unwrap();
            assert_eq!([take(&mut rest), take(&mut rest), take(&mut rest)], [&b"none"[..], b"none", b""]);
            assert_eq!(rest[..4], [0, 0, 0, 1]);
            rest = &rest[4..];
            assert_eq!(take(&mut rest), blob);
            let mut inner = take(&mut rest);
            assert!(rest.is_empty() && inner.len().is_multiple_of(8));
            assert_eq!(inner[..8], *b"abcdabcd");
            inner = &inner[8..];
            assert_eq!(take(&mut inner), b"ssh-ed25519");
            assert_eq!(take(&mut inner), public);
            assert_eq!(take(&mut inner), [&secret[..], &public].concat());
            assert_eq!(take(&mut inner), comment.as_bytes());
            assert!(inner.iter().zip(1u8..).all(|(have, want)| *have == want) && inner.len() < 8);
        }
    }
}
