//! The contract between the engine and its shells: every command once, with its request and response.
//!
//! From [`commands!`] come the dispatch that the desktop shell and `forge serve` use, the list that the
//! tests walk, and (through ts-rs) the types the UI is written against. Times are Unix milliseconds (UTC)
//! unless a name says otherwise; points are integer milli-points; byte counts are bytes.

mod egress;
mod governance;
mod grading;
mod isolation;
mod keys;
mod labs;
mod machine;
mod quota;
mod runs;
mod session;
mod streams;
mod sync;
mod terminals;
mod topology;
pub mod wrong;

pub use egress::*;
pub use governance::*;
pub use grading::*;
pub use isolation::*;
pub use keys::*;
pub use labs::*;
pub use machine::*;
pub use quota::*;
pub use runs::*;
pub use session::*;
pub use streams::*;
pub use sync::*;
pub use terminals::*;
pub use topology::*;

use crate::error::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;

/// Declares contract types: the same derives for each, exported to one TypeScript file.
macro_rules! contract {
    ($($(#[$meta:meta])* pub $kind:ident $name:ident $body:tt)*) => { $(
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, ts_rs::TS)]
        #[ts(export, export_to = "api.ts")]
        $(#[$meta])*
        pub $kind $name $body
    )* };
}
use contract;

contract! {
    #[derive(Default)]
    #[serde(deny_unknown_fields)]
    pub struct Empty {}
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
                _ => Err(unknown(name)),
            }
        }

        /// What [`dispatch`] checks before it calls: the name, the role, the arguments.
        pub fn well_formed(caller: &Caller, name: &str, args: serde_json::Value) -> Result<()> {
            match name {
                $( stringify!($name) => {
                    permit(caller, name, Needs::$needs)?;
                    decode::<$req>(name, args).map(drop)
                } )*
                _ => Err(unknown(name)),
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
    /// Looks whether anything leads out of the lab. In full it takes some ten seconds as a job of kind `isolation`, whose
    /// `job.step` events carry the run and which `cancel_job` ends.
    Learner probe_isolation(ProbeIsolation) -> Vec<IsolationRow>;

    Learner check_run(CheckRun) -> CheckReport;
    /// Keeps continuous checking on for this run for the next 30 s; a view calls it while it is shown.
    Learner watch_run(RunRequest) -> Empty;
    Learner reveal_hint(RevealHint) -> HintInfo;
    Learner submit_run(RunRequest) -> SubmitReport;
    Instructor solve_run(RunRequest) -> Empty;
    /// Starts the lab under a fresh seed, applies what was submitted and checks it; takes a minute or two.
    Learner reexecute(Reexecute) -> Reexecuted;
    /// Asks the scoreboard to have it done by one of its workers; whether one may is the scoreboard's to say.
    Learner ask_reexecution(AskReexecution) -> ReexecutionJob;
    /// Those of an instructor's class, newest first.
    Learner list_reexecutions(Empty) -> Vec<ReexecutionJob>;

    Learner list_results(Empty) -> Vec<ResultSummary>;
    Learner get_result(ResultRequest) -> ResultDetail;
    Learner verify_result(VerifyRequest) -> VerifyReport;
    /// Writes the self-contained HTML report beside the verdict.
    Learner export_report(ResultRequest) -> Exported;
    Learner history(HistoryRequest) -> History;

    Learner list_gates(Empty) -> Gates;
    Learner list_decisions(ListDecisions) -> DecisionPage;
    Learner get_decision(DecisionRequest) -> DecisionDetail;
    /// Asks a gate about an input of one's own; nothing is started and nothing recorded.
    Learner try_gate(TryGate) -> GateAnswer;
    Learner verify_audit(Empty) -> AuditReport;
    Learner list_audit(ListAudit) -> AuditPage;

    Learner open_terminal(OpenTerminal) -> TerminalInfo;
    Learner list_terminals(RunRequest) -> Vec<TerminalInfo>;
    Learner resize_terminal(ResizeTerminal) -> Empty;
    Learner close_terminal(IdRequest) -> Empty;
    Learner forward_port(ForwardPort) -> Forward;
    Learner list_forwards(RunRequest) -> Vec<Forward>;
    Learner close_forward(IdRequest) -> Empty;

    Learner list_egress(Empty) -> Vec<EgressProfile>;
    /// Signs a profile with this installation's key, so that labs may use it.
    Instructor approve_egress(ApproveEgress) -> EgressProfile;

    Learner list_events(ListEvents) -> Vec<Event>;
    /// Plan, payment, limits and what of them is used.
    Learner get_quota(Empty) -> QuotaReport;
    /// Keeps a subject from starting labs and stops those it has.
    Instructor block_subject(BlockSubject) -> BlockReport;
    Instructor unblock_subject(SubjectRequest) -> Empty;
    /// Says that a version of a lab of one's own is as it should be; it can be started from then on.
    Learner pin_lab(LabRequest) -> Pinned;

    /// The scoreboard this laptop is enrolled at, and where each result stands with it. Asks nobody.
    Learner sync_status(Empty) -> SyncStatus;
    /// Proves to a scoreboard that this laptop holds its key, and pins the scoreboard's.
    Learner enrol_board(EnrolBoard) -> SyncStatus;
    /// Nothing is sent any more; receipts stay, and so does what coming back needs.
    Learner unenrol_board(Empty) -> SyncStatus;
    /// Sends what waits, now.
    Learner sync_now(SyncNow) -> SyncReport;
    /// What would be sent, to the byte; sends nothing.
    Learner preview_sync(Empty) -> SyncPreview;
    /// Whether one may is the scoreboard's to say.
    Learner create_session(CreateSession) -> SessionInfo;
    Learner join_session(JoinSession) -> SessionInfo;
    Learner session_status(SessionRequest) -> SessionState;
    /// What to start this lab with, so that its run is bound to the session.
    Learner take_challenge(TakeChallenge) -> StartLab;
    /// An instructor's sessions, or those that were joined here; as they were known before when the scoreboard does not answer.
    Learner list_sessions(Empty) -> SessionList;
    Learner session_board(WatchBoard) -> LiveBoard;
    /// A hint for everybody or for one; shown in the lab they work in.
    Learner say_session(SayToSession) -> SessionMessage;
    /// While it is frozen nothing is issued, told or accepted for it.
    Learner freeze_session(FreezeSession) -> SessionInfo;
    Learner export_session(ExportSession) -> Exported;
    /// What was said in a session that was joined here, as it was heard; asks nobody.
    Learner session_messages(SessionRequest) -> Vec<SessionMessage>;
    /// One for each lab of a session that was joined here; asks nobody.
    Learner session_attempts(SessionRequest) -> Vec<LabAttempts>;
    /// The session a run is bound to, and what was said in it.
    Learner run_session(RunRequest) -> RunSession;

    /// Where the private keys are and whether they are open; answered while they are locked.
    Learner keys_status(Empty) -> KeysStatus;
    /// Answered while they are locked, and then the rest is.
    Learner unlock_keys(UnlockKeys) -> KeysStatus;
    /// Moves the private keys, or puts them under another passphrase.
    Learner protect_keys(ProtectKeys) -> KeysStatus;
    /// Replaces a key; the old one signs the new one and stays for verification.
    Learner rotate_key(RotateKey) -> KeyRotated;

    Learner get_settings(Empty) -> Settings;
    Learner set_settings(Settings) -> Settings;
}

fn unknown(name: &str) -> Error {
    Error::new(crate::error::Code::UnknownCommand, format!("There is no command named “{name}”."))
}

fn permit(caller: &Caller, name: &str, needs: Needs) -> Result<()> {
    if needs == Needs::Instructor && !caller.instructor {
        return Err(Error::new(crate::error::Code::Denied, format!("“{name}” is for instructors."))
            .hint("Start the shell in instructor mode if this machine is yours to teach on."));
    }
    Ok(())
}

pub(crate) fn decode<T: serde::de::DeserializeOwned>(name: &str, args: serde_json::Value) -> Result<T> {
    let args = if args.is_null() { serde_json::json!({}) } else { args };
    if !args.is_object() {
        // Without saying what it was instead: it may have been a passphrase.
        return Err(Error::new(crate::error::Code::InvalidInput, format!("“{name}” takes an object of arguments.")));
    }
    wrong::from_value(args).map_err(|wrong| {
        Error::new(
            crate::error::Code::InvalidInput,
            format!("“{name}” was called with arguments it does not take. {}", wrong.why),
        )
        .hint("A program of your own has to call it otherwise. If it was the app: restart it, its window and its engine are of different versions.")
        .details(serde_json::json!({"member": wrong.member}))
    })
}

/// Values drawn for a run, by parameter name.
pub type Values = BTreeMap<String, serde_json::Value>;
