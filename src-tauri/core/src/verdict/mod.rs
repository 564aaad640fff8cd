//! Verdicts: what was scored, on which evidence, signed so that a stranger can verify it without us.
//!
//! [`score`] canonical score.json · [`bundle`] deterministic evidence.tar.zst · [`statement`] in-toto ·
//! [`dsse`] envelope · [`seal`](mod@seal) writes the results folder · [`verify`] reads one and believes nothing ·
//! [`regrade`] judges again from the evidence alone · [`Submission`] what can be tried again · [`attest`] signs other files in
//! the same way. Never here: Docker, HTTP, the meaning of a probe.
pub mod attest;
pub mod bundle;
mod checkpoint;
pub mod dsse;
pub mod regrade;
pub mod score;
pub mod seal;
pub mod statement;
mod submission;
#[cfg(test)]
mod tests;
pub mod verify;

pub use crate::canonical;
pub use checkpoint::checkpoint_in;
pub use seal::{Sealed, Sealing, Signer, remove_half_sealed, seal};
pub use statement::{Checkpoint, Claims, Statement};
pub use submission::Submission;
pub use verify::verify_dir;
