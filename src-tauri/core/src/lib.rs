//! forge-core: the engine of FrostGate Forge, without any shell.
//!
//! Rooms, top down; imports go strictly downward (`tests/rooms.rs` holds it):
//! 4 [`forge`] the façade and the order of steps · 3 [`spawn`] intake and token, [`lab`] launch and life cycle,
//! [`check`] probes and evidence, [`verdict`] score, bundle, signature, [`sync`] to a scoreboard · 2 [`engine`] Docker and wiring,
//! [`observe`] events and telemetry, [`policy`] gates, [`http`] the way to a server, [`template`] labs, [`audit`] chain,
//! [`scrub`] redaction, [`board`] what a laptop and a scoreboard say to each other · 1 [`keys`], [`store`], [`shell`] what every
//! shell needs · 0 [`api`], [`error`] the contract, [`canonical`] RFC 8785, `merkle` RFC 6962, [`fault`] where a test may end the process.
pub mod api;
pub mod audit;
pub mod board;
pub mod canonical;
pub mod check;
pub mod engine;
pub mod error;
pub mod fault;
pub mod forge;
pub mod http;
pub mod keys;
pub mod lab;
mod merkle;
pub mod observe;
pub mod policy;
pub mod report;
pub mod scrub;
pub mod shell;
pub mod spawn;
pub mod store;
pub mod sync;
pub mod template;
pub mod terminal;
pub mod verdict;
