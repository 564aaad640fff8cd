//! The contract, implemented: one line each, so that this file is the table of contents of the façade.

use super::Forge;
use crate::api::*;
use crate::error::Result;
use crate::store::settings;
use async_trait::async_trait;

#[async_trait]
impl Commands for Forge {
    async fn about(&self, _: &Caller, _: Empty) -> Result<About> {
        self.about_us().await
    }
    async fn doctor(&self, _: &Caller, _: Empty) -> Result<DoctorReport> {
        Ok(super::doctor::report(&self.facts().await))
    }
    async fn list_labs(&self, _: &Caller, _: Empty) -> Result<Vec<LabSummary>> {
        self.labs().await
    }
    async fn get_lab(&self, _: &Caller, request: LabRequest) -> Result<LabDetail> {
        self.lab_detail(&request.lab).await
    }
    async fn list_images(&self, _: &Caller, _: Empty) -> Result<Vec<ImageInfo>> {
        self.image_list().await
    }
    async fn prepare_images(&self, caller: &Caller, request: PrepareImages) -> Result<Job> {
        self.prepare(caller, request.images).await
    }
    async fn get_job(&self, _: &Caller, request: JobRequest) -> Result<JobInfo> {
        self.jobs.get(&request.job)
    }
    async fn list_jobs(&self, _: &Caller, _: Empty) -> Result<Vec<JobInfo>> {
        Ok(self.jobs.list())
    }
    async fn cancel_job(&self, _: &Caller, request: JobRequest) -> Result<Empty> {
        self.jobs.cancel(&request.job).map(|()| Empty {})
    }

    async fn start_lab(&self, caller: &Caller, request: StartLab) -> Result<RunSummary> {
        self.start(caller, request).await
    }
    async fn list_runs(&self, _: &Caller, request: ListRuns) -> Result<Vec<RunSummary>> {
        self.runs(request.all).await
    }
    async fn get_run(&self, _: &Caller, request: RunRequest) -> Result<RunDetail> {
        self.detail(&request.run).await
    }
    async fn stop_run(&self, caller: &Caller, request: RunRequest) -> Result<StopReport> {
        self.stop(caller, &request.run, "stopped").await
    }
    async fn stop_all(&self, caller: &Caller, _: Empty) -> Result<StopReport> {
        self.stop_every(caller).await
    }
    async fn pause_run(&self, caller: &Caller, request: RunRequest) -> Result<RunSummary> {
        self.pause(caller, &request.run).await
    }
    async fn resume_run(&self, caller: &Caller, request: RunRequest) -> Result<RunSummary> {
        self.resume(caller, &request.run).await
    }
    async fn extend_run(&self, caller: &Caller, request: ExtendRun) -> Result<RunSummary> {
        self.extend(caller, &request.run, request.minutes).await
    }
    async fn restart_node(&self, caller: &Caller, request: NodeRequest) -> Result<Empty> {
        self.restart(caller, &request).await
    }
    async fn probe_isolation(&self, caller: &Caller, request: ProbeIsolation) -> Result<Vec<IsolationRow>> {
        self.probe(caller, request).await
    }

    async fn check_run(&self, caller: &Caller, request: CheckRun) -> Result<CheckReport> {
        self.check(caller, request).await
    }
    async fn watch_run(&self, _: &Caller, request: RunRequest) -> Result<Empty> {
        self.watch(&request.run).await
    }
    async fn reveal_hint(&self, caller: &Caller, request: RevealHint) -> Result<HintInfo> {
        self.reveal(caller, request).await
    }
    async fn submit_run(&self, caller: &Caller, request: RunRequest) -> Result<SubmitReport> {
        self.submit(caller, &request.run).await
    }
    async fn solve_run(&self, caller: &Caller, request: RunRequest) -> Result<Empty> {
        self.solve(caller, &request.run, super::solve::Answer::Solution).await
    }

    async fn list_results(&self, _: &Caller, _: Empty) -> Result<Vec<ResultSummary>> {
        self.results().await
    }
    async fn get_result(&self, caller: &Caller, request: ResultRequest) -> Result<ResultDetail> {
        self.result(caller, &request.id, request.dark).await
    }
    async fn verify_result(&self, _: &Caller, request: VerifyRequest) -> Result<VerifyReport> {
        self.verify(request).await
    }
    async fn export_report(&self, caller: &Caller, request: ResultRequest) -> Result<Exported> {
        self.export(caller, &request.id).await
    }
    async fn history(&self, _: &Caller, request: HistoryRequest) -> Result<History> {
        self.history_view(request.dark).await
    }

    async fn reexecute(&self, caller: &Caller, request: Reexecute) -> Result<Reexecuted> {
        self.executed_again(caller, request, &self.shutdown.child_token()).await
    }
    async fn ask_reexecution(&self, caller: &Caller, request: AskReexecution) -> Result<ReexecutionJob> {
        self.reexecution_asked(caller, request).await
    }
    async fn list_reexecutions(&self, _: &Caller, _: Empty) -> Result<Vec<ReexecutionJob>> {
        self.reexecution_jobs().await
    }
    async fn list_gates(&self, _: &Caller, _: Empty) -> Result<Gates> {
        self.gates()
    }
    async fn list_decisions(&self, _: &Caller, request: ListDecisions) -> Result<DecisionPage> {
        self.decisions(request).await
    }
    async fn get_decision(&self, _: &Caller, request: DecisionRequest) -> Result<DecisionDetail> {
        self.decision(request.id).await
    }
    async fn try_gate(&self, _: &Caller, request: TryGate) -> Result<GateAnswer> {
        self.tried(&request)
    }
    async fn verify_audit(&self, _: &Caller, _: Empty) -> Result<AuditReport> {
        self.verify_log().await
    }
    async fn list_audit(&self, _: &Caller, request: ListAudit) -> Result<AuditPage> {
        self.audit_entries(request).await
    }

    async fn open_terminal(&self, caller: &Caller, request: OpenTerminal) -> Result<TerminalInfo> {
        self.terminal_open(caller, request).await
    }
    async fn list_terminals(&self, _: &Caller, request: RunRequest) -> Result<Vec<TerminalInfo>> {
        Ok(self.terminals.list(&request.run))
    }
    async fn resize_terminal(&self, _: &Caller, request: ResizeTerminal) -> Result<Empty> {
        self.terminals.resize(&request.id, request.cols, request.rows).await.map(|()| Empty {})
    }
    async fn close_terminal(&self, _: &Caller, request: IdRequest) -> Result<Empty> {
        self.terminals.close(&request.id).await.map(|()| Empty {})
    }
    async fn forward_port(&self, caller: &Caller, request: ForwardPort) -> Result<Forward> {
        self.forward(caller, request).await
    }
    async fn list_forwards(&self, _: &Caller, request: RunRequest) -> Result<Vec<Forward>> {
        Ok(self.forwards_of(&request.run))
    }
    async fn close_forward(&self, caller: &Caller, request: IdRequest) -> Result<Empty> {
        self.forward_close(caller, &request.id).await
    }

    async fn list_egress(&self, _: &Caller, _: Empty) -> Result<Vec<EgressProfile>> {
        self.egress_list()
    }
    async fn approve_egress(&self, caller: &Caller, request: ApproveEgress) -> Result<EgressProfile> {
        self.egress_approve(caller, request).await
    }

    async fn list_events(&self, _: &Caller, request: ListEvents) -> Result<Vec<Event>> {
        self.events.list(request).await
    }
    async fn get_quota(&self, caller: &Caller, _: Empty) -> Result<QuotaReport> {
        self.quota(caller).await
    }
    async fn block_subject(&self, caller: &Caller, request: BlockSubject) -> Result<BlockReport> {
        self.block(caller, request).await
    }
    async fn unblock_subject(&self, caller: &Caller, request: SubjectRequest) -> Result<Empty> {
        self.unblock(caller, request).await
    }
    async fn pin_lab(&self, caller: &Caller, request: LabRequest) -> Result<Pinned> {
        self.pin(caller, &request.lab).await
    }

    async fn sync_status(&self, _: &Caller, _: Empty) -> Result<SyncStatus> {
        self.sync_state().await
    }
    async fn enrol_board(&self, caller: &Caller, request: EnrolBoard) -> Result<SyncStatus> {
        self.enrol(caller, request).await
    }
    async fn unenrol_board(&self, caller: &Caller, _: Empty) -> Result<SyncStatus> {
        self.unenrol(caller).await
    }
    async fn sync_now(&self, caller: &Caller, request: SyncNow) -> Result<SyncReport> {
        self.sync(caller, request).await
    }
    async fn preview_sync(&self, _: &Caller, _: Empty) -> Result<SyncPreview> {
        self.preview().await
    }
    async fn create_session(&self, _: &Caller, request: CreateSession) -> Result<SessionInfo> {
        self.session_create(request).await
    }
    async fn join_session(&self, _: &Caller, request: JoinSession) -> Result<SessionInfo> {
        self.session_join(request).await
    }
    async fn session_status(&self, _: &Caller, request: SessionRequest) -> Result<SessionState> {
        self.session_state(request).await
    }
    async fn take_challenge(&self, caller: &Caller, request: TakeChallenge) -> Result<StartLab> {
        self.take(caller, request).await
    }

    async fn list_sessions(&self, _: &Caller, _: Empty) -> Result<SessionList> {
        self.session_list().await
    }
    async fn session_board(&self, _: &Caller, request: WatchBoard) -> Result<LiveBoard> {
        self.session_live(request).await
    }
    async fn say_session(&self, caller: &Caller, request: SayToSession) -> Result<SessionMessage> {
        self.session_say(caller, request).await
    }
    async fn freeze_session(&self, caller: &Caller, request: FreezeSession) -> Result<SessionInfo> {
        self.session_freeze(caller, request).await
    }
    async fn export_session(&self, caller: &Caller, request: ExportSession) -> Result<Exported> {
        self.session_export(caller, request).await
    }
    async fn session_messages(&self, _: &Caller, request: SessionRequest) -> Result<Vec<SessionMessage>> {
        self.session_said(request).await
    }
    async fn session_attempts(&self, _: &Caller, request: SessionRequest) -> Result<Vec<LabAttempts>> {
        self.attempts(request).await
    }
    async fn run_session(&self, _: &Caller, request: RunRequest) -> Result<RunSession> {
        self.session_of(&request.run).await
    }

    async fn keys_status(&self, _: &Caller, _: Empty) -> Result<KeysStatus> {
        self.keys_state()
    }
    /// They are open, or nobody would be here.
    async fn unlock_keys(&self, _: &Caller, _: UnlockKeys) -> Result<KeysStatus> {
        self.keys_state()
    }
    async fn protect_keys(&self, caller: &Caller, request: ProtectKeys) -> Result<KeysStatus> {
        self.move_keys(caller, request).await
    }
    async fn rotate_key(&self, caller: &Caller, request: RotateKey) -> Result<KeyRotated> {
        self.rotated(caller, request.name).await
    }

    async fn get_settings(&self, _: &Caller, _: Empty) -> Result<Settings> {
        Ok(self.store.read(settings::get).await?.0)
    }
    async fn set_settings(&self, caller: &Caller, request: Settings) -> Result<Settings> {
        self.save_settings(caller, request).await
    }
}
