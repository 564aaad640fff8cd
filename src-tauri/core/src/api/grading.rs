//! Checks, submissions, results, and what verifying one says.

use super::contract;
use super::isolation::Isolation;

contract! {
    #[serde(deny_unknown_fields)]
    pub struct CheckRun {
        pub run: String,
        /// Only these criteria; all when empty.
        #[serde(default)]
        pub criteria: Vec<String>,
        /// Leave out the criteria that disturb the lab (what continuous checking does).
        #[serde(default)]
        pub gentle: bool,
    }

    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum OutcomeKind { Pass, Fail, Error, NotChecked }

    pub struct CriterionOutcome {
        pub id: String,
        pub title: String,
        pub outcome: OutcomeKind,
        pub expected: String,
        pub seen: String,
        /// What to say to the learner and where to look; empty on a pass.
        pub advice: String,
        pub points: u64,
        pub max: u64,
        pub ms: u64,
    }

    pub struct CheckReport {
        pub run: String,
        pub at: i64,
        /// Milli-points reached, and reachable.
        pub score: u64,
        pub max: u64,
        pub criteria: Vec<CriterionOutcome>,
    }

    #[serde(deny_unknown_fields)]
    pub struct Reexecute {
        /// A results folder (absolute), a run or verdict of this installation, or a verdict of the scoreboard by id or address.
        pub verdict: String,
        /// Tell the scoreboard, which may raise the verdict's tier.
        #[serde(default)]
        pub report: bool,
    }

    pub struct Reexecuted {
        pub verdict: String,
        pub lab: String,
        /// The fresh one.
        pub seed: String,
        /// Of the execution, with the submission's hints taken off.
        pub score: u64,
        pub max: u64,
        pub criteria: Vec<CriterionTwice>,
        /// Whether every criterion came out as submitted.
        pub agrees: bool,
        /// What this establishes; the scoreboard's word where it was told.
        pub tier: TrustTier,
        pub reported: bool,
        /// Signed by this installation's key, as JSON.
        pub statement: String,
        pub ms: u64,
    }

    pub struct CriterionTwice {
        pub id: String,
        pub submitted: OutcomeKind,
        pub reexecuted: OutcomeKind,
        /// What the execution saw.
        pub seen: String,
    }

    #[serde(deny_unknown_fields)]
    pub struct AskReexecution {
        /// A verdict of the scoreboard, by id or address.
        pub verdict: String,
    }

    /// A verdict on its way through the scoreboard's queue; a worker with Docker takes it.
    pub struct ReexecutionJob {
        pub verdict: String,
        pub lab: String,
        pub state: ReexecutionState,
        pub asked_at: i64,
        pub ended_at: Option<i64>,
        /// How often a worker took it.
        pub tries: u32,
        /// Whether every criterion came out as submitted; done ones only.
        pub agrees: Option<bool>,
        /// Why it failed, was refused or waits for another try; empty when there is nothing to say.
        pub why: String,
    }

    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum ReexecutionState {
        Queued,
        Running,
        Done,
        /// The lab is bound to its seed.
        Refused,
        /// Asking again queues it once more.
        Failed,
    }

    pub struct SubmitReport {
        pub id: String,
        pub dir: String,
        pub score: u64,
        pub max: u64,
        pub key_id: String,
        pub result: ResultSummary,
    }

    pub struct ResultSummary {
        /// The verdict's id: SHA-256 of verdict.pae, hex.
        pub id: String,
        pub run: String,
        pub lab: String,
        pub lab_title: String,
        pub track: String,
        pub version: String,
        pub at: i64,
        pub score: u64,
        pub max: u64,
        pub duration_ms: u64,
        /// As it was signed here.
        pub tier: TrustTier,
        /// What a scoreboard established, by its newest receipt.
        pub established: Option<TrustTier>,
        pub key_id: String,
        pub dir: String,
    }

    #[derive(Copy, Eq, PartialOrd, Ord)]
    #[serde(rename_all = "kebab-case")]
    pub enum TrustTier { SelfAttested, InstructorSeeded, ReGraded, ReExecuted }

    pub struct ResultDetail {
        pub summary: ResultSummary,
        pub criteria: Vec<CriterionOutcome>,
        pub verified: VerifyReport,
        /// The command that checks the signature with nothing of ours installed.
        pub openssl: String,
        pub isolation: Isolation,
        /// Self-contained SVG documents, drawn by the engine.
        pub score_chart_svg: String,
    }

    pub struct ResultRequest { pub id: String, #[serde(default)] pub dark: bool }

    #[serde(deny_unknown_fields)]
    pub struct VerifyRequest { pub dir: String, #[serde(default)] pub regrade: bool }

    pub struct VerifyReport {
        pub ok: bool,
        pub key_id: String,
        pub verdict_id: String,
        pub tier: Option<TrustTier>,
        /// One line per thing verified, in order; the first that fails names what is wrong.
        pub checks: Vec<VerifyCheck>,
    }

    pub struct VerifyCheck { pub name: String, pub ok: bool, pub detail: String }

    pub struct Exported { pub path: String, pub bytes: u64 }

    pub struct HistoryRequest { #[serde(default)] pub dark: bool }
    pub struct History { pub results: Vec<ResultSummary>, pub scores_svg: String, pub times_svg: String }
}

impl OutcomeKind {
    /// As it stands behind a criterion's title.
    pub fn words(self) -> &'static str {
        match self {
            Self::Pass => "passed",
            Self::Fail => "failed",
            Self::Error => "could not be checked",
            Self::NotChecked => "was not checked",
        }
    }
}
