//! Shapes that only this server writes.

use crate::store::people::{Key, Person};
use crate::store::verdicts::Verdict;
use forge_core::api::TrustTier;
use forge_core::board::{BoardKey, Fact, Receipt, Role, Signed};
pub use forge_core::board::{Red, SessionBoard, SessionResult, SessionRow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct VerdictView {
    pub id: String,
    pub seq: i64,
    pub run: String,
    pub lab: String,
    pub version: String,
    pub track: String,
    pub class: String,
    pub learner: String,
    pub name: String,
    pub score: u64,
    pub max: u64,
    #[schemars(with = "String")]
    pub tier: TrustTier,
    pub established: Vec<Fact>,
    pub session: Option<String>,
    pub key_id: String,
    pub key_revoked: bool,
    pub started: i64,
    pub finished: i64,
    pub duration_ms: u64,
    pub received_at: i64,
    pub files: Vec<String>,
    pub receipt: Signed<Receipt>,
}

impl VerdictView {
    pub fn of(v: &Verdict, name: String, key_revoked: bool, receipt: Signed<Receipt>) -> Self {
        let mut files = vec!["verdict.dsse.json", "verdict.pae", "verdict.sig", "verdict.pub.pem"];
        if v.score_json.is_some() {
            files.push("score.json");
        }
        if v.evidence_bytes.is_some() {
            files.push("evidence.tar.zst");
        }
        Self {
            id: v.id.clone(),
            seq: v.seq,
            run: v.run.clone(),
            lab: v.lab.clone(),
            version: v.version.clone(),
            track: v.track.clone(),
            class: v.class.clone(),
            learner: v.learner.clone(),
            name,
            score: v.score,
            max: v.max,
            tier: v.tier,
            established: v.facts.clone(),
            session: v.session.clone(),
            key_id: v.key_id.clone(),
            key_revoked,
            started: v.started,
            finished: v.finished,
            duration_ms: v.duration_ms,
            received_at: v.received_at,
            files: files.into_iter().map(str::to_owned).collect(),
            receipt,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct VerdictList {
    pub verdicts: Vec<VerdictView>,
    /// For `after`, if there may be more.
    pub next: Option<i64>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Leaderboard {
    pub track: String,
    #[schemars(with = "String")]
    pub tier: TrustTier,
    pub class: Option<String>,
    pub rows: Vec<Place>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    pub rank: i64,
    pub learner: String,
    pub name: String,
    pub class: String,
    pub points: i64,
    pub max: i64,
    pub labs: i64,
    pub at: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    pub verdicts: i64,
    pub learners: i64,
    pub classes: i64,
    pub sessions: i64,
    pub by_tier: BTreeMap<String, i64>,
    pub by_track: BTreeMap<String, i64>,
    /// When this process started.
    pub since: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InviteRequest {
    #[serde(default)]
    pub class: Option<String>,
    #[serde(default)]
    pub role: Option<Role>,
    #[serde(default)]
    pub days: Option<u32>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Invited {
    pub code: String,
    pub class: String,
    pub role: Role,
    pub expires_at: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    pub reason: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LearnerView {
    pub learner: String,
    pub name: String,
    pub class: String,
    pub role: Role,
    pub keys: Vec<KeyView>,
}

impl From<(Person, Vec<Key>)> for LearnerView {
    fn from((person, keys): (Person, Vec<Key>)) -> Self {
        let keys = keys.into_iter().map(|k| KeyView { key_id: k.key_id, revoked_at: k.revoked_at }).collect();
        Self { learner: person.id, name: person.name, class: person.class, role: person.role, keys }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct KeyView {
    pub key_id: String,
    pub revoked_at: Option<i64>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct KeyList {
    pub keys: Vec<BoardKey>,
    /// Oldest first.
    #[schemars(with = "Vec<RotationView>")]
    pub rotations: serde_json::Value,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    pub code: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    pub frozen: bool,
}

/// The shape of `forge_core::keys::Rotation`, for the description.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotationView {
    /// `learner` or `board`.
    pub name: String,
    pub at: i64,
    pub old: String,
    pub new: String,
    pub old_pem: String,
    pub new_pem: String,
    pub signature: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Healthy {
    pub healthy: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Readiness {
    pub ready: bool,
    pub parts: Vec<ReadyPart>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReadyPart {
    pub part: String,
    pub ready: bool,
    pub detail: String,
}
