<<<<<<< HEAD
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

pub use score::{Line, Score};
pub use seal::{About, Sealed, seal};
pub use verify::verify_dir;

/// The files of a results folder; no other may be in it.
pub const FILES: [&str; 6] =
    ["evidence.tar.zst", "score.json", "verdict.dsse.json", "verdict.pae", "verdict.pub.pem", "verdict.sig"];

/// Lower-case hex of SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(bytes))
}
=======
//! Verdicts: what was scored, on which evidence, signed so that a stranger can verify it without us.
//!
//! [`score`] canonical score.json · [`bundle`] deterministic evidence.tar.zst · [`statement`] in-toto ·
//! [`dsse`] envelope · [`seal`](mod@seal) writes the results folder · [`verify`] reads one and believes nothing ·
//! [`regrade`] judges again from the evidence alone. Never here: Docker, HTTP, the meaning of a probe.
pub mod bundle;
mod canonical;
pub mod dsse;
pub mod regrade;
pub mod score;
pub mod seal;
pub mod statement;
#[cfg(test)]
mod tests;
pub mod verify;

pub use seal::{Sealed, Sealing, Signer, seal};
pub use statement::{Checkpoint, Claims};
pub use verify::verify_dir;
>>>>>>> check
