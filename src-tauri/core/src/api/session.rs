//! A class session from both sides: the instructor's board, and what a learner is told while they work.

use super::contract;
use super::grading::{OutcomeKind, ReexecutionJob, TrustTier};
use super::sync::{SessionInfo, SyncTrouble};
use std::collections::BTreeMap;

contract! {
    pub struct SessionList {
        /// Enrolled at a scoreboard, with a token for sessions.
        pub enrolled: bool,
        /// May make sessions, and sees their boards.
        pub instructor: bool,
        /// Newest first.
        pub sessions: Vec<SessionInfo>,
        /// Why these are as they were known before; None when the scoreboard answered.
        pub trouble: Option<SyncTrouble>,
    }

    /// Who is where. Computed from what the laptops say while they work, which proves nothing, and from verdicts, which do.
    pub struct LiveBoard {
        pub session: SessionInfo,
        pub labs: Vec<BoardLab>,
        /// Best first: by points of verdicts in time, then by points.
        pub rows: Vec<LiveRow>,
        pub red: Vec<RedCriterion>,
        /// Things to ask about; none of them is a verdict.
        pub questions: Vec<String>,
        pub messages: Vec<SessionMessage>,
        pub at: i64,
        /// Tells this answer from the next one; see [`WatchBoard::seen`].
        pub turn: u64,
    }

    #[serde(deny_unknown_fields)]
    pub struct WatchBoard {
        pub session: String,
        /// The `turn` of the board that is shown: answered once something has happened since, or after twenty seconds; after
        /// a few where the scoreboard does not tell what happens. Absent: answered now.
        #[serde(default)]
        pub seen: Option<u64>,
    }

    pub struct BoardLab {
        pub id: String,
        pub title: String,
        /// Title by criterion id.
        pub criteria: BTreeMap<String, String>,
        /// Why its verdicts stop at re-graded; None when they can be executed again, or this installation does not know the lab.
        pub seed_bound: Option<String>,
    }

    pub struct LiveRow {
        pub learner: String,
        pub name: String,
        /// One for each lab of the session, in its order.
        pub labs: Vec<LiveCell>,
        /// Milli-points: of each lab what its verdicts in time reached, else what the laptop says.
        pub points: u64,
        /// Milli-points of verdicts in time.
        pub verified: u64,
        pub max: u64,
        pub hints: u32,
        /// When the laptop was heard last, else when they joined; by the scoreboard's clock.
        pub at: i64,
        /// Nothing was heard for so long that they may be stuck or offline, though their lab runs.
        pub quiet: bool,
    }

    pub struct LiveCell {
        pub lab: String,
        pub state: LiveState,
        /// Milli-points.
        pub score: u64,
        pub max: u64,
        /// As the laptop said last; empty for a lab that was not begun.
        pub outcomes: BTreeMap<String, OutcomeKind>,
        /// What was established about the best verdict; None without one.
        pub tier: Option<TrustTier>,
        pub in_time: bool,
        /// Its id.
        pub verdict: Option<String>,
        /// On its way to be executed again, if an instructor asked for it.
        pub job: Option<ReexecutionJob>,
    }

    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum LiveState { NotStarted, Starting, Working, Paused, Stopped, Submitted }

    pub struct RedCriterion {
        pub lab: String,
        pub criterion: String,
        pub title: String,
        pub learners: u32,
        /// Of those who have begun this lab.
        pub of: u32,
    }

    /// A hint of the instructor's.
    pub struct SessionMessage {
        pub seq: i64,
        pub at: i64,
        pub text: String,
        /// Whom it is for; None: everybody.
        pub learner: Option<String>,
    }

    #[serde(deny_unknown_fields)]
    pub struct SayToSession {
        pub session: String,
        /// 1 to 500 characters.
        pub text: String,
        #[serde(default)]
        pub learner: Option<String>,
    }

    #[serde(deny_unknown_fields)]
    pub struct FreezeSession { pub session: String, pub frozen: bool }

    #[serde(deny_unknown_fields)]
    pub struct ExportSession {
        pub session: String,
        pub kind: SessionExport,
        /// An absolute path: of the CSV file, or of the report's folder, which must not exist yet. In the results folder when absent.
        #[serde(default)]
        pub path: Option<String>,
    }

    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum SessionExport {
        Csv,
        /// report.html and session.csv, signed with this installation's key.
        Report,
    }

    /// How far this installation's learner is with one lab of a session, from what is kept here; asks nobody.
    pub struct LabAttempts {
        pub lab: String,
        /// The run of it that is alive, if there is one: rather one that can still be submitted for the session.
        pub run: Option<String>,
        /// That run's attempt has its verdict; another verdict needs another attempt.
        pub submitted: bool,
        /// Attempts that have a verdict.
        pub answered: u32,
        /// The best verdict's id, one in time before others, and its milli-points.
        pub best: Option<String>,
        pub score: u64,
        pub max: u64,
        /// It was made after the deadline, so it does not count.
        pub late: bool,
    }

    /// What a run is bound to, as it was heard last; asks nobody.
    pub struct RunSession {
        pub session: Option<SessionInfo>,
        pub attempt: u32,
        /// Oldest first.
        pub messages: Vec<SessionMessage>,
        /// Why the scoreboard cannot be followed at the moment; empty when it can.
        pub trouble: String,
        /// Why a run begun on this machine does not count, in words for the learner: its clock is wrong. Empty when it is not.
        pub clock: String,
    }
}
