//! What a laptop and a scoreboard say to each other: shapes, limits, reasons for a no, and the signed forms. Both sides use
//! these types, so neither writes the format a second time. Never here: HTTP, SQL, how a verdict is judged.
//! docs/scoreboard.md describes the endpoints that carry them.

mod job;
mod reexecution;
mod refusal;
mod session;
mod signed;

pub use job::{GiveUp, GivenUp, Job, JobState, LEASE, LEASE_LEAST, LEASE_MOST, Lease, LeaseRequest, Renewal, TRIES};
pub use reexecution::{REEXECUTION_MAX, Raised, Reexecution, Twice};
pub use refusal::{Refusal, RefusalCode};
pub use session::{
    Challenge, ChallengeRequest, Joined, Message, MessageRequest, NewSession, Progress, ProgressState, Red, SeedPolicy,
    Session, SessionBoard, SessionResult, SessionRow,
};
pub use signed::Signed;

use crate::api::TrustTier;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Envelopes that go in one request, and their bytes.
pub const ENVELOPES_MAX: usize = 256;
pub const ENVELOPES_BYTES: usize = 2 << 20;
/// Bytes of an envelope, of score.json, of evidence.tar.zst and of the tar in it that a scoreboard reads.
pub const ENVELOPE_MAX: usize = 256 << 10;
pub const SCORE_MAX: usize = 1 << 20;
pub const EVIDENCE_MAX: u64 = 256 << 20;
pub const EVIDENCE_TAR_MAX: u64 = 512 << 20;
/// How far a laptop's clock may be ahead of the server's, in milliseconds.
pub const CLOCK_SKEW: i64 = 5 * 60 * 1000;

/// How far two clocks are apart, as a person would say it.
pub fn apart(ms: i64) -> String {
    match ms.unsigned_abs() / 60_000 {
        minutes @ 0..120 => format!("{minutes} min"),
        minutes @ 120..2880 => format!("{} h", minutes / 60),
        minutes => format!("{} days", minutes / 1440),
    }
}

/// What was really established about a verdict, in the order in which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fact {
    /// The envelope's signature holds under the key it names.
    Signature,
    /// The key is enrolled here and was not revoked when the verdict arrived.
    EnrolledKey,
    /// The lab's template is one of this server's own, by digest, and the claimed points are possible in it.
    KnownLab,
    /// The nonce and seed were issued by this server to this key, and the run ended and arrived in time.
    IssuedSeed,
    /// score.json and the evidence are the ones that were signed.
    Digests,
    /// The lab in the evidence is what the server's own template gives for that seed.
    SameLab,
    /// Every outcome was recomputed from the evidence, with the same result.
    ReGraded,
    /// The submitted configuration did it again under a fresh seed.
    ReExecuted,
}

/// `Signed` under [`Domain::Acceptance`](crate::keys::Domain::Acceptance) by the scoreboard's key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    pub class: String,
    pub established: Vec<Fact>,
    /// Fingerprint of the key that signed the verdict.
    pub key_id: String,
    pub lab: String,
    pub learner: String,
    pub max: u64,
    /// Unix milliseconds, by the server's clock.
    pub received_at: i64,
    pub run: String,
    /// Milli-points.
    pub score: u64,
    /// Position in the order of acceptance on this server.
    pub seq: i64,
    /// The session whose challenge it answers.
    pub session: Option<String>,
    #[schemars(with = "String")]
    pub tier: TrustTier,
    /// The verdict's id: SHA-256 of verdict.pae, hex.
    pub verdict: String,
    pub version: u32,
}

/// The answer to a submission.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// True when the verdict was there already and nothing new was established by this submission.
    pub duplicate: bool,
    /// What is missing before a higher tier can be established, in words; empty when nothing is.
    pub notes: Vec<String>,
    /// Path of the verdict's own page on this server.
    pub page: String,
    pub receipt: Signed<Receipt>,
}

/// What became of one of many envelopes: a line of the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Each {
    Accepted(Box<Accepted>),
    Error(Refusal),
}

/// What a laptop signs to show that it holds a key; `Signed` under [`Domain::Enrolment`](crate::keys::Domain::Enrolment).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Possession {
    /// As `GET /v1/enrol` gave it.
    pub challenge: String,
    /// The one-time code.
    pub code: String,
    /// Shown on the board: 1 to 40 characters, one line.
    pub name: String,
    /// The key that is enrolled, PEM.
    pub public_key: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolChallenge {
    pub challenge: String,
    pub expires_at: i64,
    /// The server's time, so that a laptop can see how far apart the clocks are.
    pub now: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Learner,
    Instructor,
    /// A machine of the class that executes verdicts again when an instructor asks for it; it may do nothing else.
    Worker,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Enrolled {
    pub learner: String,
    pub name: String,
    pub class: String,
    pub role: Role,
    pub key_id: String,
    /// For `Authorization: Bearer …`. Shown once; the server keeps its digest only.
    pub token: String,
    pub board: BoardKey,
}

/// A public key of the scoreboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BoardKey {
    pub id: String,
    pub pem: String,
    pub current: bool,
}

#[cfg(test)]
mod tests {
    use super::apart;

    #[test]
    fn clocks_are_apart_in_the_units_of_a_person() {
        const MINUTE: i64 = 60_000;
        for (ms, said) in [
            (0, "0 min"),
            (-59 * MINUTE, "59 min"),
            (119 * MINUTE, "119 min"),
            (120 * MINUTE, "2 h"),
            (i64::MIN, "106751991167 days"),
        ] {
            assert_eq!(apart(ms), said);
        }
        assert_eq!(apart(-365 * 1440 * MINUTE), "365 days");
    }
}
