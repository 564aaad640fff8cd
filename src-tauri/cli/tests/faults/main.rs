//! Ends the real `forge` program at every recorded step of start, check, submit and stop, starts it again, and says what
//! must hold then: nothing leaked, nothing foreign touched, no acknowledged verdict lost, no run stuck, the audit chain
//! whole. What takes long (whole labs, an engine of its own that is killed, a full disk) is ignored here; `make chaos` runs it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod bench;
mod chaos;
mod kill;
mod proxy;
mod sick;
