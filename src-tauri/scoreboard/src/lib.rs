//! forge-scoreboard: accepts signed verdicts and believes nothing in them that it has not checked.
//!
//! Rooms, top down: [`cmd`] the commands of the program, [`bench`] its measurements · [`http`] routes, doors and pages ·
//! [`intake`] what makes a submission a verdict · [`live`] who is told, [`export`] and NATS with them · [`board`] the state they share ·
//! [`evidence`] bundles on the disk, [`ring`] keys, [`lineage`] which of its own there were, [`codes`] secrets that are shown once, [`metrics`], [`clock`] ·
//! [`store`] the database. The formats are forge-core's; this crate writes none of its own.
pub mod bench;
pub mod board;
pub mod clock;
pub mod cmd;
pub mod codes;
pub mod evidence;
pub mod export;
pub mod http;
pub mod intake;
pub mod lineage;
pub mod live;
pub mod metrics;
pub mod ring;
pub mod store;
