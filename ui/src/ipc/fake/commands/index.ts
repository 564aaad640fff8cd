/** The whole contract: what has a room of its own comes from there, the rest goes to the part of the world that knows. */
import { QUOTA } from "../data";
import type { World } from "../world";
import type { Handlers } from "./handlers";
import { library } from "./library";
import { results } from "./results";
import { runs } from "./runs";

export const commands = (w: World): Handlers => ({
  ...library(w),
  ...runs(w),
  ...results(w),
  ask_reexecution: ({ verdict }) => w.sessions.again(verdict),
  list_reexecutions: () => w.sessions.jobs(),
  list_gates: () => w.governance.gates(),
  list_decisions: (asked) => w.governance.decisions(asked),
  get_decision: ({ id }) => w.governance.decision(id),
  try_gate: ({ gate, input }) => w.governance.try(gate, input),
  verify_audit: () => w.governance.verify(),
  list_audit: (asked) => w.governance.audit(asked),
  get_quota: () => QUOTA,
  block_subject: ({ subject, reason }) => ({ block: { subject, reason, at: Date.now() }, stopped: [] }),
  unblock_subject: () => ({}),
  sync_status: () => w.sync.status(w.results),
  enrol_board: (request) => {
    w.sync.enrol(request);
    return w.sync.status(w.results);
  },
  unenrol_board: () => {
    w.sync.leave();
    return w.sync.status(w.results);
  },
  sync_now: () => w.sync.send(w.results),
  create_session: (request) => w.sessions.create(request),
  join_session: ({ code }) => w.sessions.join(code),
  session_status: ({ session }) => ({ session: w.sessions.get(session), board: null }),
  list_sessions: () => w.sessions.list(w.sync.on),
  session_board: ({ session, seen }) => w.sessions.board(session, seen),
  session_messages: ({ session }) => w.sessions.said(session),
  say_session: ({ text, learner }) => w.sessions.say(text, learner),
  freeze_session: ({ session, frozen }) => w.sessions.freeze(session, frozen),
  export_session: ({ session, kind }) => ({ path: kind === "csv" ? `/home/ada/.local/share/forge/results/sessions/${session}.csv` : `/home/ada/.local/share/forge/results/sessions/${session}-1795396380000/report.html`, bytes: 18_204 }),
  run_session: ({ run }) => w.sessions.ofRun(w.run(run).summary.lab),
  session_attempts: ({ session }) => w.sessions.attempts(session),
  take_challenge: ({ lab }) => ({ lab, request_id: crypto.randomUUID(), seed: "5eed".repeat(8) }),
  preview_sync: () => w.sync.preview(w.results),
  keys_status: () => w.keys.status(),
  unlock_keys: (request) => w.keys.unlock(request),
  protect_keys: (request) => w.keys.protect(request),
  rotate_key: ({ name }) => w.keys.rotate(name, w.sync.on),
  get_settings: () => w.settings,
  set_settings: (s) => (w.settings = s),
});
