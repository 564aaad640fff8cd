//! A laptop's outbox against the real server, as a process, and against servers that are down, slow, full or lying.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod between;
mod clocks;
mod doorbell;
mod engine;
mod killed;
mod learner;
mod many;
mod moved;
mod outbox;
mod raised;
mod reported;
mod servers;
mod session;
#[allow(dead_code)]
#[path = "../support/mod.rs"]
mod support;
mod tls;
