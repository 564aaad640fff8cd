//! What governs a lab, end to end: the real `forge`, a real engine, labs that misbehave on purpose, a billing gateway that is a
//! real HTTP server. Needs a daemon and the lab images (`make test` prepares them).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod bench;
mod billing;
mod bounds;
mod gates;
mod hands;
