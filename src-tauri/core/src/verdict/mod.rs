//! Verdicts: a score, the evidence it rests on, and a signature that a stranger can check with nothing of ours installed.
//!
//! [`score`] what was reached, in canonical JSON · [`bundle`] evidence.tar.zst · [`dsse`] the signed statement ·
//! [`seal()`] writes the folder · [`verify_dir`] reads it, believing nothing · [`regrade`] judges again from the evidence.
//! Never here: Docker, SQL, private keys (a [`crate::keys::Keys`] signs).

pub mod bundle;
pub mod dsse;
mod regrade;
mod score;
mod seal;
#[cfg(test)]
mod tests;
mod verify;

pub use bundle::Entry;
pub use score::{Line, Score};
pub use seal::{About, Sealed, seal};
pub use verify::verify_dir;

/// The files of a results folder; no other may be in it.
pub const FILES: [&str; 6] =
    ["evidence.tar.zst", "score.json", "verdict.dsse.json", "verdict.pae", "verdict.pub.pem", "verdict.sig"];

/// Entries of the bundle that the verdict itself depends on.
pub const SCENARIO: &str = "scenario.json";
pub const OBSERVATIONS: &str = "observations.json";

/// Lower-case hex of SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(bytes))
}
