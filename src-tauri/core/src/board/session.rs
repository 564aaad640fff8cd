//! Challenge sessions: an instructor's class hour, and what a learner's laptop tells about itself during it.

use crate::api::{OutcomeKind, TrustTier};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a run's seed comes from. Both are issued by the server; a run under a seed of its own is no session run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeedPolicy {
    /// The same lab for everybody.
    Shared,
    /// Another one for each learner and attempt.
    PerLearner,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSession {
    /// 1 to 80 characters, one line.
    pub title: String,
    /// Ids of 1 to 32 labs.
    pub labs: Vec<String>,
    pub seeds: SeedPolicy,
    /// Unix milliseconds; runs that end later do not count for the session.
    pub deadline: i64,
    /// May learners reveal hints.
    pub hints: bool,
    /// Verdicts per learner and lab, 1 to 20.
    #[serde(default = "three")]
    pub attempts: u32,
    /// How long after the deadline a verdict may still arrive, in minutes (up to a week: laptops may be offline).
    #[serde(default = "a_quarter")]
    pub grace_minutes: u32,
    /// For the admin, who belongs to no class.
    #[serde(default)]
    pub class: Option<String>,
}

fn three() -> u32 {
    3
}

fn a_quarter() -> u32 {
    15
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Session {
    pub id: String,
    pub class: String,
    pub title: String,
    pub labs: Vec<String>,
    pub seeds: SeedPolicy,
    pub deadline: i64,
    pub hints: bool,
    pub attempts: u32,
    pub grace_minutes: u32,
    pub created_at: i64,
    /// Nothing more is issued, told or accepted for it.
    pub frozen: bool,
    /// Told to instructors only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_code: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Joined {
    pub session: Session,
    pub now: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChallengeRequest {
    pub lab: String,
}

/// What binds a run to a session; `Signed` under [`Domain::Challenge`](crate::keys::Domain::Challenge) by the scoreboard. The run takes `seed`, its verdict names `nonce` as
/// `challenge`; each nonce serves one verdict of one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Challenge {
    pub version: u32,
    pub session: String,
    pub class: String,
    pub lab: String,
    pub key_id: String,
    pub nonce: String,
    pub seed: String,
    pub hints: bool,
    pub attempt: u32,
    pub issued_at: i64,
    pub deadline: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProgressState {
    Starting,
    Working,
    Paused,
    Submitted,
    Stopped,
}

/// Where a learner is; the newest one counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    pub lab: String,
    pub run: String,
    pub state: ProgressState,
    /// Outcome by criterion id, at most 64.
    #[schemars(with = "BTreeMap<String, String>")]
    pub criteria: BTreeMap<String, OutcomeKind>,
    /// Milli-points.
    pub score: u64,
    pub max: u64,
    pub hints: u32,
    /// Milliseconds since it was ready.
    pub elapsed_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageRequest {
    /// 1 to 500 characters.
    pub text: String,
    /// Only for this learner; for all when absent.
    #[serde(default)]
    pub learner: Option<String>,
}

/// A hint that the instructor pushed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    pub seq: i64,
    pub at: i64,
    pub text: String,
    pub learner: Option<String>,
}

/// What an instructor sees of a session. A laptop reads it too, so a member that a newer server adds is let pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionBoard {
    pub session: Session,
    pub rows: Vec<SessionRow>,
    pub red: Vec<Red>,
    /// Things to ask about; none of them is a verdict.
    pub questions: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionRow {
    pub learner: String,
    pub name: String,
    pub progress: Option<Progress>,
    /// How far they were with other labs when these were told of last; an older server does not say.
    #[serde(default)]
    pub others: Vec<Progress>,
    /// Of the progress, else of joining.
    pub at: i64,
    pub results: Vec<SessionResult>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionResult {
    pub lab: String,
    pub verdict: String,
    pub score: u64,
    pub max: u64,
    #[schemars(with = "String")]
    pub tier: TrustTier,
    pub in_time: bool,
    pub at: i64,
    /// On its way to be executed again, if somebody asked for it.
    #[serde(default)]
    pub job: Option<super::Job>,
}

/// A criterion that was asked and not passed, and for how many of those who have begun its lab.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Red {
    pub lab: String,
    pub criterion: String,
    pub learners: i64,
}
