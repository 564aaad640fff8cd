//! A lab on a real Docker: launched, wired, looked at, disturbed, forwarded into, paused, cancelled, stopped.
//! Needs a daemon and the lab images (`forge images prepare`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod bed;
mod egress;
mod egress_escape;
mod egress_forge;
mod escape;
mod hardening;
mod launch;
mod life;
mod measure;
mod reach;
mod trial;
mod world;
