//! A run: from the request that starts it to the report that it is gone.

use super::contract;
use super::egress::EgressState;
use super::grading::CheckReport;
use super::isolation::Isolation;
use super::labs::CriterionInfo;
use super::terminals::{Forward, TerminalInfo};
use super::topology::{LinkInfo, NodeInfo, RunState, Step};

contract! {
    #[serde(deny_unknown_fields)]
    pub struct StartLab {
        pub lab: String,
        /// Same request id, same run, same answer. Made by the engine when absent.
        #[serde(default)]
        pub request_id: Option<String>,
        /// 1 to 64 characters of `[A-Za-z0-9._-]`; drawn when absent. Same seed, same lab.
        #[serde(default)]
        pub seed: Option<String>,
    }

    pub struct RunSummary {
        pub run: String,
        pub lab: String,
        pub lab_title: String,
        pub track: String,
        pub seed: String,
        pub request_id: String,
        pub state: RunState,
        /// Why it failed or was stopped by itself; empty otherwise.
        pub reason: String,
        pub created: i64,
        /// When the time is up; moves with extensions and pauses. None before it is ready.
        pub deadline: Option<i64>,
        /// Milliseconds left, frozen while paused.
        pub remaining_ms: Option<i64>,
        pub ready_ms: Option<u64>,
        pub last_check: Option<CheckReport>,
        pub nodes: u32,
    }

    pub struct RunDetail {
        pub run: RunSummary,
        pub nodes: Vec<NodeInfo>,
        pub links: Vec<LinkInfo>,
        pub steps: Vec<Step>,
        pub criteria: Vec<CriterionInfo>,
        pub hints: Vec<HintInfo>,
        /// The guide with this run's values in it, as sanitized HTML (no script, no remote content).
        pub guide_html: String,
        /// The same as it was written, in Markdown, for whoever reads it in a terminal.
        pub guide: String,
        pub forwards: Vec<Forward>,
        pub terminals: Vec<TerminalInfo>,
        pub isolation: Isolation,
        /// The one way out, in labs that ask for it.
        pub egress: Option<EgressState>,
        /// Where the last submission went.
        pub results: Vec<String>,
    }

    pub struct HintInfo {
        pub id: String,
        /// The criterion it helps with.
        pub criterion: String,
        /// Milli-points taken from the criterion when revealed.
        pub cost: u32,
        /// Present once revealed.
        pub text: Option<String>,
    }

    pub struct RunRequest { pub run: String }
    #[serde(deny_unknown_fields)]
    pub struct ListRuns { #[serde(default)] pub all: bool }
    pub struct NodeRequest { pub run: String, pub node: String }
    pub struct ExtendRun { pub run: String, pub minutes: u32 }
    pub struct RevealHint { pub run: String, pub hint: String }
    pub struct StopReport {
        /// Those this call has ended.
        pub stopped: Vec<String>,
        /// Those that had failed before, and of which something was left: it is gone now. They stay failed, each with its reason.
        pub cleared: Vec<String>,
        /// Those that were over, or were being stopped, when it came: they are gone too, by somebody else's hand.
        pub already: Vec<String>,
        pub ms: u64,
    }
}
