//! A scoreboard: enrolment, what waits for it, what it said, and what would be sent.

use super::contract;
use super::grading::TrustTier;

contract! {
    pub struct SyncStatus {
        /// None: nothing is sent to anybody.
        pub board: Option<BoardInfo>,
        /// Those it was enrolled at before, newest first: enrolling there again needs no code.
        pub before: Vec<BoardBefore>,
        pub accepted: u32,
        pub pending: u32,
        pub refused: u32,
        /// When it is tried again by itself; None when nothing waits.
        pub next_at: Option<i64>,
        /// When the scoreboard was last spoken to.
        pub last_at: Option<i64>,
        /// Why the last attempt failed; empty when it did not.
        pub last_error: String,
        /// Of every result, newest first.
        pub results: Vec<ResultSync>,
    }

    pub struct BoardBefore {
        pub url: String,
        pub name: String,
        pub class: String,
    }

    pub struct BoardInfo {
        pub url: String,
        /// The name shown on the board; empty, like `class`, when the key was enrolled from another machine.
        pub name: String,
        pub class: String,
        pub instructor: bool,
        /// Fingerprint of the server's key that was pinned.
        pub board_key: String,
        pub key_id: String,
        pub enrolled_at: i64,
        /// How far this machine's clock was ahead of the server's, in milliseconds: at enrolment, and looked at again when a session
        /// is made, joined or taken part in, and when something waits for a clock.
        pub ahead_ms: i64,
        /// https under a certificate that was given at enrolment.
        pub own_ca: bool,
        /// False: the key was enrolled from another machine, so that sessions and large evidence cannot be used from here.
        pub token: bool,
    }

    pub struct ResultSync {
        pub result: String,
        pub state: SyncState,
        /// What the scoreboard established; accepted ones only.
        pub tier: Option<TrustTier>,
        /// The verdict's own page; accepted ones only.
        pub url: Option<String>,
        /// When it was accepted or refused, or is tried next.
        pub at: Option<i64>,
        pub attempts: u32,
        /// A refusal's code.
        pub code: Option<String>,
        /// Why it was refused or waits, or what is missing before a higher tier; empty when there is nothing to say.
        pub why: String,
        /// The signed receipt as it came.
        pub receipt: Option<String>,
    }

    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum SyncState {
        /// No scoreboard is set up: it stays here.
        Off,
        Pending,
        Accepted,
        Refused,
    }

    #[serde(deny_unknown_fields)]
    pub struct EnrolBoard {
        pub url: String,
        /// Empty: to come back to one of [`SyncStatus::before`].
        #[serde(default)]
        pub code: String,
        /// Shown on the board; drawn from the key when empty.
        #[serde(default)]
        pub name: String,
        /// PEM of the only certificates that its https is believed under.
        #[serde(default)]
        pub ca: Option<String>,
        /// Permits http to another machine.
        #[serde(default)]
        pub clear_text: bool,
    }

    #[serde(deny_unknown_fields)]
    pub struct SyncNow {
        /// What was refused is asked again.
        #[serde(default)]
        pub retry_refused: bool,
    }

    /// Of this attempt; `pending` is what waits after it.
    pub struct SyncReport {
        pub accepted: u32,
        pub pending: u32,
        pub refused: u32,
        /// Accepted before, and of a higher trust tier now.
        pub raised: Vec<TierRise>,
        /// Why it ended before all was sent.
        pub error: Option<SyncTrouble>,
    }

    pub struct TierRise { pub result: String, pub tier: TrustTier }

    pub struct SyncTrouble { pub code: String, pub message: String }

    pub struct SyncPreview {
        pub url: Option<String>,
        /// At most twenty, the next to be sent first.
        pub verdicts: Vec<PreviewVerdict>,
        /// Further ones that wait.
        pub more: u32,
    }

    pub struct PreviewVerdict {
        pub result: String,
        pub lab_title: String,
        pub requests: Vec<PreviewRequest>,
        /// The signed statement, as it is in the envelope.
        pub statement: String,
        /// What evidence.tar.zst holds.
        pub entries: Vec<PreviewEntry>,
        /// Why it cannot be sent; empty when it can.
        pub problem: String,
    }

    pub struct PreviewRequest {
        pub method: String,
        pub path: String,
        /// Whether the token of the enrolment goes along.
        pub token: bool,
        pub parts: Vec<PreviewPart>,
    }

    pub struct PreviewPart { pub name: String, pub bytes: u64, pub sha256: String }

    #[serde(deny_unknown_fields)]
    pub struct CreateSession {
        pub title: String,
        pub labs: Vec<String>,
        /// The same lab for everybody; else another one for each learner and attempt.
        #[serde(default)]
        pub shared_seed: bool,
        /// Until the deadline.
        pub minutes: u32,
        /// May learners reveal hints.
        #[serde(default)]
        pub hints: bool,
        /// Verdicts per learner and lab, 1 to 20.
        pub attempts: u32,
    }

    #[serde(deny_unknown_fields)]
    pub struct JoinSession { pub code: String }
    #[serde(deny_unknown_fields)]
    pub struct SessionRequest { pub session: String }
    #[serde(deny_unknown_fields)]
    pub struct TakeChallenge { pub session: String, pub lab: String }

    pub struct SessionInfo {
        pub id: String,
        pub class: String,
        pub title: String,
        pub labs: Vec<String>,
        pub shared_seed: bool,
        /// By the scoreboard's clock.
        pub deadline: i64,
        /// Until the deadline, when this was told; negative after it.
        pub remaining_ms: i64,
        /// How long after the deadline a verdict may still arrive.
        pub grace_minutes: u32,
        pub hints: bool,
        pub attempts: u32,
        /// Nothing more is accepted for it.
        pub frozen: bool,
        /// For the instructor only.
        pub join_code: Option<String>,
    }

    pub struct SessionState {
        pub session: SessionInfo,
        /// Who is where, as the scoreboard says it (docs/scoreboard.md); null for learners.
        #[ts(type = "unknown")]
        pub board: serde_json::Value,
    }

    pub struct PreviewEntry { pub path: String, pub kind: String, pub bytes: u64 }
}
