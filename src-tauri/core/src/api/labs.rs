//! The library: what can be started, and what is known about it before.

use super::contract;
use super::grading::ResultSummary;
use super::topology::{LinkInfo, NodeInfo};

contract! {
    pub struct LabSummary {
        pub id: String,
        pub origin: LabOrigin,
        pub track: String,
        pub tier: String,
        pub title: String,
        pub summary: String,
        pub topics: Vec<String>,
        pub objectives: Vec<Objective>,
        pub minutes: u32,
        pub version: String,
        /// SHA-256 over the lab's folder (see `template::catalogue`), hex.
        pub digest: String,
        pub nodes: u32,
        /// Every image it needs is prepared and this machine has what it requires.
        pub ready: bool,
        /// Why it is not ready, in words; empty when it is.
        pub blockers: Vec<String>,
        /// Best score so far in milli-points of `max`, and when it was last run.
        pub best: Option<BestScore>,
        pub last_run: Option<i64>,
        /// The run of this lab that is alive now.
        pub active_run: Option<String>,
    }

    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum LabOrigin {
        /// Came with the app.
        BuiltIn,
        /// From the user's own folder.
        Yours,
        /// From a folder that is being written (`--labs`).
        Folder,
    }

    pub struct Objective { pub exam: String, pub id: String, pub text: String }

    pub struct BestScore { pub score: u64, pub max: u64 }

    pub struct LabDetail {
        pub lab: LabSummary,
        pub topology: Topology,
        pub criteria: Vec<CriterionInfo>,
        pub requirements: Vec<Requirement>,
        pub history: Vec<ResultSummary>,
        /// Seconds the last starts took here (median), or an estimate from the node count.
        pub expected_seconds: f64,
    }

    pub struct Topology { pub nodes: Vec<NodeInfo>, pub links: Vec<LinkInfo> }

    pub struct CriterionInfo {
        pub id: String,
        pub title: String,
        pub weight: u32,
        /// It cuts links, restarts nodes or announces routes, so it runs on Check and Submit only, never continuously.
        pub disturbs: bool,
    }

    pub struct Requirement { pub title: String, pub met: bool, pub detail: String }

    pub struct LabRequest { pub lab: String }
}
