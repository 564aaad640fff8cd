//! Secrets that are shown once: codes, tokens, nonces. The database holds their digests only, so a stolen database lets
//! nobody in.

use rand::RngExt;
use sha2::{Digest, Sha256};

/// Without letters and digits that look alike.
const ALPHABET: &[u8; 31] = b"ABCDEFGHJKMNPQRSTUVWXYZ23456789";

fn letters(n: usize) -> String {
    let mut rng = rand::rng();
    (0..n)
        .map(|_| {
            let i = rng.random_range(0..ALPHABET.len());
            char::from(ALPHABET.get(i).copied().unwrap_or(b'A'))
        })
        .collect()
}

/// `XXXX-XXXX-XXXX-XXXX`: 79 bits.
pub fn invite() -> String {
    let parts: Vec<String> = (0..4).map(|_| letters(4)).collect();
    parts.join("-")
}

/// `XXXX-XXXX`: 39 bits, of use only to somebody who is enrolled in the class.
pub fn join() -> String {
    format!("{}-{}", letters(4), letters(4))
}

/// 32 random bytes, hex.
pub fn token() -> String {
    let bytes: [u8; 32] = rand::rng().random();
    hex::encode(bytes)
}

/// As typed by a person: case, spaces and dashes say nothing.
pub fn normal(typed: &str) -> String {
    typed.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).take(64).collect()
}

/// What is stored of a secret. They are random and long, so a plain digest cannot be guessed back.
pub fn digest(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_survives_being_typed() {
        let code = invite();
        assert_eq!(code.len(), 19);
        assert_eq!(normal(&code), normal(&code.to_lowercase().replace('-', " ")));
        assert_ne!(invite(), invite());
    }
}
