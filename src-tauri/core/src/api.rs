//! The contract between the engine and its shells: every command once, with its request and response.
//!
//! From [`commands!`] come the dispatch that the desktop shell and `forge serve` use, the list that the
//! tests walk, and (through ts-rs) the types the UI is written against. Times are Unix milliseconds (UTC)
//! unless a name says otherwise; points are integer milli-points; byte counts are bytes.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use ts_rs::TS;

/// Declares a contract type: the same derives for each, exported to one TypeScript file.
macro_rules! contract {
    ($($(#[$meta:meta])* pub $kind:ident $name:ident $body:tt)*) => { $(
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
        #[ts(export, export_to = "api.ts")]
        $(#[$meta])*
        pub $kind $name $body
    )* };
}

contract! {
    #[derive(Default)]
    #[serde(deny_unknown_fields)]
    pub struct Empty {}

    // ---- what runs where -------------------------------------------------------------------------

    #[derive(Copy, Eq, Hash, PartialOrd, Ord)]
    #[serde(rename_all = "snake_case")]
    pub enum Role { Learner, Router, Server, Switch, Attacker, Defender, Aux, Client }

    /// The life of a run. `Starting`, `Stopping`: work is under way and survives a crash by intent rows.
    #[derive(Copy, Eq, Hash)]
    #[serde(rename_all = "snake_case")]
    pub enum RunState { Starting, Ready, Paused, Stopping, Stopped, Failed }

    pub struct Step {
        /// Stable name: `admit`, `token`, `images`, `create`, `start`, `wire`, `startup`, `ready`, `isolation`, …
        pub name: String,
        pub state: StepState,
        /// Milliseconds since the step began; final once it is done.
        pub ms: u64,
        /// What it is doing or did, or why it failed; empty when there is nothing to add.
        pub detail: String,
        /// 0..=100 where progress can be known.
        pub percent: Option<u8>,
    }

    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum StepState { Running, Done, Failed, Skipped }

    pub struct NodeInfo {
        pub name: String,
        pub role: Role,
        /// Docker's container id; empty while it does not exist.
        pub container: String,
        pub state: NodeState,
        /// Whether the learner may open a terminal on it.
        pub enter: bool,
        pub interfaces: Vec<InterfaceInfo>,
        /// TCP ports the template suggests to forward, with what answers there.
        pub ports: Vec<PortHint>,
    }

    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum NodeState { Absent, Created, Running, Paused, Rewiring, Exited }

    pub struct InterfaceInfo { pub name: String, pub link: String, pub addresses: Vec<String> }

    pub struct PortHint { pub port: u16, pub label: String }

    pub struct LinkInfo {
        pub id: String,
        /// Three or more endpoints, or declared a segment: a bridge of its own.
        pub segment: bool,
        pub endpoints: Vec<LinkEnd>,
        pub subnet: Option<String>,
    }

    pub struct LinkEnd { pub node: String, pub interface: String }

    // ---- labs ------------------------------------------------------------------------------------

    pub struct LabSummary {
        pub id: String,
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

    // ---- runs ------------------------------------------------------------------------------------

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
        pub forwards: Vec<Forward>,
        pub terminals: Vec<TerminalInfo>,
        pub isolation: Isolation,
        /// Where the last submission went.
        pub results: Vec<String>,
    }

    /// What was proven about this run's isolation, and when.
    pub struct Isolation { pub state: IsolationState, pub detail: String, pub at: Option<i64> }

    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum IsolationState { Unknown, Isolated, Leaking }

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
    pub struct StopReport { pub stopped: Vec<String>, pub ms: u64 }

    // ---- grading ---------------------------------------------------------------------------------

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
        pub tier: TrustTier,
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

    // ---- terminals and forwards ------------------------------------------------------------------

    pub struct OpenTerminal { pub run: String, pub node: String, pub cols: u16, pub rows: u16 }

    pub struct TerminalInfo {
        pub id: String,
        pub run: String,
        pub node: String,
        pub cols: u16,
        pub rows: u16,
        pub open: bool,
        /// First and next byte offset of the output that can still be replayed.
        pub from: u64,
        pub next: u64,
    }

    pub struct ResizeTerminal { pub id: String, pub cols: u16, pub rows: u16 }
    pub struct IdRequest { pub id: String }

    pub struct ForwardPort { pub run: String, pub node: String, pub port: u16 }

    /// A node's TCP port reachable on 127.0.0.1, inbound only.
    pub struct Forward {
        pub id: String,
        pub run: String,
        pub node: String,
        pub port: u16,
        pub local: String,
        pub url: Option<String>,
        pub connections: u64,
    }

    // ---- images, doctor, settings ----------------------------------------------------------------

    pub struct ImageInfo {
        pub name: String,
        /// What it is for, in a few words.
        pub purpose: String,
        pub ready: bool,
        /// Why it must be (re)built; empty when ready.
        pub reason: String,
        pub digest: Option<String>,
        pub bytes: Option<u64>,
        /// The labs that need it.
        pub labs: Vec<String>,
    }

    #[serde(deny_unknown_fields)]
    pub struct PrepareImages {
        /// All when empty.
        #[serde(default)]
        pub images: Vec<String>,
    }

    /// A long job that streams `job.step` events and can be cancelled.
    pub struct Job { pub job: String }
    pub struct JobRequest { pub job: String }
    pub struct JobInfo { pub job: String, pub kind: String, pub steps: Vec<Step>, pub done: bool, pub error: Option<Error> }

    pub struct DoctorReport { pub ready: bool, pub rows: Vec<DoctorRow> }

    pub struct DoctorRow {
        pub id: String,
        pub title: String,
        pub state: Health,
        pub detail: String,
        pub why: String,
        pub fix: Option<Fix>,
    }

    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum Health { Ok, Warn, Fail }

    /// Either something the app does when asked, or a command for the user to run.
    #[serde(tag = "kind", rename_all = "snake_case")]
    pub enum Fix {
        /// Call this command of the contract with these arguments.
        Call { label: String, command: String, #[ts(type = "unknown")] args: serde_json::Value },
        Shell { label: String, command: String },
    }

    #[serde(default, deny_unknown_fields)]
    pub struct Settings {
        pub theme: Theme,
        /// Points; 9 to 24.
        pub terminal_font_size: u8,
        /// Check while the learner works.
        pub continuous_checks: bool,
        /// Pause running labs when the app has been idle for this many minutes; 0 = never.
        pub idle_pause_minutes: u32,
        /// Pick up where the first run left off; true once it has been walked through or dismissed.
        pub first_run_done: bool,
        /// Where verdict folders go; empty = `results` in the data folder.
        pub results_dir: String,
    }

    #[derive(Copy, Eq, Default)]
    #[serde(rename_all = "snake_case")]
    pub enum Theme { #[default] System, Dark, Light }

    pub struct About {
        pub version: String,
        pub home: String,
        pub key_id: String,
        pub docker: Option<String>,
        pub platform: String,
        /// `desktop`, `serve` or `cli`.
        pub shell: String,
    }

    // ---- streams ---------------------------------------------------------------------------------

    /// One thing that happened. Persisted, ordered by `seq` without a gap per installation.
    pub struct Event {
        pub seq: i64,
        pub at: i64,
        /// One id from the click or request down to each Docker call.
        pub correlation: String,
        pub run: Option<String>,
        /// Dotted: `run.state`, `run.step`, `node.state`, `check.report`, `terminal.opened`, `forward.opened`,
        /// `forward.closed`, `job.step`, `job.done`, `timer.warning`, `hint.revealed`, `submit.done`, `log`.
        pub kind: String,
        pub level: Level,
        /// One plain line for the log and the timeline.
        pub text: String,
        #[ts(type = "unknown")]
        pub data: serde_json::Value,
    }

    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum Level { Debug, Info, Warn, Error }

    #[serde(deny_unknown_fields)]
    pub struct ListEvents {
        #[serde(default)] pub run: Option<String>,
        /// Only events after this sequence number.
        #[serde(default)] pub since: i64,
        /// At most this many (1..=10000, default 1000), newest kept.
        #[serde(default)] pub limit: Option<u32>,
    }

    /// One second of a run, from outside its nodes. Not persisted.
    pub struct Telemetry {
        pub run: String,
        pub at: i64,
        pub nodes: Vec<NodeLoad>,
        pub links: Vec<LinkLoad>,
    }

    pub struct NodeLoad { pub node: String, pub cpu_percent: f64, pub memory_bytes: u64, pub pids: u32 }

    /// Rates seen at one endpoint, from the node's point of view.
    pub struct LinkLoad {
        pub link: String,
        pub node: String,
        pub interface: String,
        pub rx_bps: f64,
        pub tx_bps: f64,
        pub rx_pps: f64,
        pub tx_pps: f64,
        pub up: bool,
    }

    /// What a caller opens a channel on. Terminal channels carry bytes, the others JSON items.
    #[serde(tag = "stream", rename_all = "snake_case")]
    pub enum StreamRequest {
        /// Replays persisted events after `since`, then goes live without a gap.
        Events { #[serde(default)] run: Option<String>, since: i64 },
        Telemetry { run: String },
        /// Output bytes from offset `from`; see [`TerminalFrame`].
        Terminal { id: String, from: u64 },
    }
}

/// A frame of a terminal channel. On the wire: one type byte, then the payload.
/// `0` output: 8 bytes big-endian offset of the first byte, then bytes. `1` gap: 8 bytes big-endian offset at
/// which the output goes on (what lies before was dropped). `2` closed: UTF-8 reason.
/// From the UI: raw bytes are keyboard input.
#[derive(Clone, Debug, PartialEq)]
pub enum TerminalFrame {
    Output { offset: u64, bytes: bytes::Bytes },
    Gap { resumes_at: u64 },
    Closed { reason: String },
}

impl TerminalFrame {
    pub fn encode(&self) -> Vec<u8> {
        let (kind, head, body): (u8, Option<u64>, &[u8]) = match self {
            Self::Output { offset, bytes } => (0, Some(*offset), bytes),
            Self::Gap { resumes_at } => (1, Some(*resumes_at), &[]),
            Self::Closed { reason } => (2, None, reason.as_bytes()),
        };
        let mut out = Vec::with_capacity(9 + body.len());
        out.push(kind);
        if let Some(n) = head {
            out.extend_from_slice(&n.to_be_bytes());
        }
        out.extend_from_slice(body);
        out
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: Theme::System,
            terminal_font_size: 13,
            continuous_checks: true,
            idle_pause_minutes: 0,
            first_run_done: false,
            results_dir: String::new(),
        }
    }
}

/// Who may call a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Needs {
    Learner,
    Instructor,
}

/// One row of the contract.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CommandSpec {
    pub name: &'static str,
    pub request: &'static str,
    pub response: &'static str,
    pub needs: Needs,
}

/// Who calls and under which correlation id.
#[derive(Clone, Debug)]
pub struct Caller {
    pub correlation: String,
    pub instructor: bool,
}

macro_rules! commands {
    ($( $(#[$doc:meta])* $needs:ident $name:ident ( $req:ty ) -> $res:ty ; )*) => {
        /// What an engine must be able to do; [`dispatch`] and [`COMMANDS`] come from the same lines.
        #[async_trait::async_trait]
        pub trait Commands: Send + Sync {
            $( $(#[$doc])* async fn $name(&self, caller: &Caller, request: $req) -> Result<$res>; )*
        }

        pub const COMMANDS: &[CommandSpec] = &[
            $( CommandSpec { name: stringify!($name), request: stringify!($req), response: stringify!($res), needs: Needs::$needs }, )*
        ];

        /// Decodes, checks the role, calls, encodes. The only way in for shells that speak JSON.
        pub async fn dispatch(engine: &dyn Commands, caller: &Caller, name: &str, args: serde_json::Value) -> Result<serde_json::Value> {
            match name {
                $( stringify!($name) => {
                    permit(caller, name, Needs::$needs)?;
                    let request: $req = decode(name, args)?;
                    Ok(serde_json::to_value(engine.$name(caller, request).await?)?)
                } )*
                _ => Err(Error::new(crate::error::Code::UnknownCommand, format!("There is no command named “{name}”."))),
            }
        }
    };
}

commands! {
    Learner about(Empty) -> About;
    Learner doctor(Empty) -> DoctorReport;
    Learner list_labs(Empty) -> Vec<LabSummary>;
    Learner get_lab(LabRequest) -> LabDetail;
    Learner list_images(Empty) -> Vec<ImageInfo>;
    Learner prepare_images(PrepareImages) -> Job;
    Learner get_job(JobRequest) -> JobInfo;
    Learner list_jobs(Empty) -> Vec<JobInfo>;
    Learner cancel_job(JobRequest) -> Empty;

    /// Returns as soon as the run is admitted; steps follow as `run.step` events, then `run.state`.
    Learner start_lab(StartLab) -> RunSummary;
    Learner list_runs(ListRuns) -> Vec<RunSummary>;
    Learner get_run(RunRequest) -> RunDetail;
    /// Ends a start that is under way (leaving nothing), or stops a run.
    Learner stop_run(RunRequest) -> StopReport;
    Learner stop_all(Empty) -> StopReport;
    Learner pause_run(RunRequest) -> RunSummary;
    Learner resume_run(RunRequest) -> RunSummary;
    Learner extend_run(ExtendRun) -> RunSummary;
    Learner restart_node(NodeRequest) -> Empty;

    Learner check_run(CheckRun) -> CheckReport;
    /// Keeps continuous checking on for this run for the next 30 s; a view calls it while it is shown.
    Learner watch_run(RunRequest) -> Empty;
    Learner reveal_hint(RevealHint) -> HintInfo;
    Learner submit_run(RunRequest) -> SubmitReport;
    Instructor solve_run(RunRequest) -> Empty;

    Learner list_results(Empty) -> Vec<ResultSummary>;
    Learner get_result(ResultRequest) -> ResultDetail;
    Learner verify_result(VerifyRequest) -> VerifyReport;
    /// Writes the self-contained HTML report beside the verdict.
    Learner export_report(ResultRequest) -> Exported;
    Learner history(HistoryRequest) -> History;

    Learner open_terminal(OpenTerminal) -> TerminalInfo;
    Learner list_terminals(RunRequest) -> Vec<TerminalInfo>;
    Learner resize_terminal(ResizeTerminal) -> Empty;
    Learner close_terminal(IdRequest) -> Empty;
    Learner forward_port(ForwardPort) -> Forward;
    Learner list_forwards(RunRequest) -> Vec<Forward>;
    Learner close_forward(IdRequest) -> Empty;

    Learner list_events(ListEvents) -> Vec<Event>;
    Learner get_settings(Empty) -> Settings;
    Learner set_settings(Settings) -> Settings;
}

fn permit(caller: &Caller, name: &str, needs: Needs) -> Result<()> {
    if needs == Needs::Instructor && !caller.instructor {
        return Err(Error::new(crate::error::Code::Denied, format!("“{name}” is for instructors."))
            .hint("Start the shell in instructor mode if this machine is yours to teach on."));
    }
    Ok(())
}

fn decode<T: serde::de::DeserializeOwned>(name: &str, args: serde_json::Value) -> Result<T> {
    let args = if args.is_null() { serde_json::json!({}) } else { args };
    serde_json::from_value(args).map_err(|e| {
        Error::new(
            crate::error::Code::InvalidInput,
            format!("“{name}” was called with arguments it does not take: {e}"),
        )
    })
}

/// Values drawn for a run, by parameter name.
pub type Values = BTreeMap<String, serde_json::Value>;
