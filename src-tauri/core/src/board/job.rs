//! A verdict that an instructor wants executed again, on its way through a scoreboard's queue: asked for, leased to a worker,
//! ended. One verdict is one job, however often it is asked for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Seconds that a lease may last, and lasts when nothing else is asked for.
pub const LEASE_LEAST: u32 = 5;
pub const LEASE_MOST: u32 = 600;
pub const LEASE: u32 = 60;
/// Leases that may end without an answer; then the job has failed.
pub const TRIES: i64 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// No worker has it.
    Queued,
    /// A worker has it, until its lease ends.
    Running,
    /// Somebody who may has vouched for the verdict, or said that it came out otherwise.
    Done,
    /// The lab is bound to its seed.
    Refused,
    /// It was tried often enough, or cannot be done; asking again queues it once more.
    Failed,
}

impl JobState {
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Done, Self::Refused, Self::Failed];

    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// What everybody of the class who may know is told. A laptop reads it too, so a member that a newer server adds is let pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Job {
    /// The verdict's id, which is the job's.
    pub verdict: String,
    pub lab: String,
    pub class: String,
    pub state: JobState,
    /// Unix milliseconds, like every time here.
    pub asked_at: i64,
    /// Leases so far.
    pub tries: i64,
    pub ended_at: Option<i64>,
    /// Whether it came out as submitted; done ones only.
    pub agrees: Option<bool>,
    /// Why it failed, was refused, or waits for another try; empty when there is nothing to say.
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    /// How long the worker may be silent: 5 to 600.
    pub seconds: u32,
}

/// One job for one worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lease {
    pub verdict: String,
    pub lab: String,
    /// Names this lease when it is renewed or given up.
    pub lease: String,
    pub seconds: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Renewal {
    pub lease: String,
    /// From now on: 5 to 600.
    pub seconds: u32,
}

/// How a lease ends without a statement; one that ends with it needs no other word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GivenUp {
    /// The lab is bound to its seed.
    Refused,
    /// It will not be otherwise next time.
    Failed,
    /// It may be otherwise next time, here or elsewhere.
    Again,
    /// It was not tried to its end: the worker was asked to stop.
    Returned,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GiveUp {
    pub lease: String,
    pub how: GivenUp,
    /// 1 to 500 characters, for an instructor to read.
    pub why: String,
}
