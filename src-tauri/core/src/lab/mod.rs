//! A lab that runs: planned from a scenario and a spent token, launched, kept wired, looked at, forwarded into, stopped.
//! Truth lies in Docker's labels and the kernel; everything here can be rebuilt from them ([`Live::adopt`]).

mod caps;
mod disk;
mod egress;
mod escape;
mod forward;
mod guard;
mod isolation;
mod keep;
mod launch;
mod life;
mod live;
mod plan;
mod sweep;
mod telemetry;
mod trial;
mod vantage;

pub use caps::{capabilities, rights};
pub use disk::{Full, Measured, judge, measure};
pub use egress::{Dropped, DroppedFlow, Refused};
pub use escape::{clear as clear_probe, prove};
pub use forward::Forwarder;
pub use guard::{ensure as ensure_guard, missing as guard_missing};
pub use isolation::{Proof, look};
pub use keep::{Keeper, Witness};
pub use launch::{Progress, launch};
pub use life::{Stopped, pause, restart_node, resume, revive, stop};
pub use live::Live;
pub use plan::{Identity, Images, NodePlan, Plan, bridges, footprint};
pub use sweep::{Found, Swept, survey, sweep};
pub use telemetry::telemetry;
pub use trial::{NFTABLES, Trial, trial};
