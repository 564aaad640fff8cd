// Generated from src-tauri/core/src/api/mod.rs (tests/contract.rs). Do not edit.
import type * as api from "./api";

export interface Commands {
  about: { request: api.Empty; response: api.About };
  doctor: { request: api.Empty; response: api.DoctorReport };
  list_labs: { request: api.Empty; response: api.LabSummary[] };
  get_lab: { request: api.LabRequest; response: api.LabDetail };
  list_images: { request: api.Empty; response: api.ImageInfo[] };
  prepare_images: { request: api.PrepareImages; response: api.Job };
  get_job: { request: api.JobRequest; response: api.JobInfo };
  list_jobs: { request: api.Empty; response: api.JobInfo[] };
  cancel_job: { request: api.JobRequest; response: api.Empty };
  start_lab: { request: api.StartLab; response: api.RunSummary };
  list_runs: { request: api.ListRuns; response: api.RunSummary[] };
  get_run: { request: api.RunRequest; response: api.RunDetail };
  stop_run: { request: api.RunRequest; response: api.StopReport };
  stop_all: { request: api.Empty; response: api.StopReport };
  pause_run: { request: api.RunRequest; response: api.RunSummary };
  resume_run: { request: api.RunRequest; response: api.RunSummary };
  extend_run: { request: api.ExtendRun; response: api.RunSummary };
  restart_node: { request: api.NodeRequest; response: api.Empty };
  probe_isolation: { request: api.ProbeIsolation; response: api.IsolationRow[] };
  check_run: { request: api.CheckRun; response: api.CheckReport };
  watch_run: { request: api.RunRequest; response: api.Empty };
  reveal_hint: { request: api.RevealHint; response: api.HintInfo };
  submit_run: { request: api.RunRequest; response: api.SubmitReport };
  solve_run: { request: api.RunRequest; response: api.Empty };
  list_results: { request: api.Empty; response: api.ResultSummary[] };
  get_result: { request: api.ResultRequest; response: api.ResultDetail };
  verify_result: { request: api.VerifyRequest; response: api.VerifyReport };
  export_report: { request: api.ResultRequest; response: api.Exported };
  history: { request: api.HistoryRequest; response: api.History };
  open_terminal: { request: api.OpenTerminal; response: api.TerminalInfo };
  list_terminals: { request: api.RunRequest; response: api.TerminalInfo[] };
  resize_terminal: { request: api.ResizeTerminal; response: api.Empty };
  close_terminal: { request: api.IdRequest; response: api.Empty };
  forward_port: { request: api.ForwardPort; response: api.Forward };
  list_forwards: { request: api.RunRequest; response: api.Forward[] };
  close_forward: { request: api.IdRequest; response: api.Empty };
  list_events: { request: api.ListEvents; response: api.Event[] };
  get_settings: { request: api.Empty; response: api.Settings };
  set_settings: { request: api.Settings; response: api.Settings };
}
