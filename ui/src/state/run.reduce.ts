/** What an event changes in a run. Pure: state in, state out, so that replay and live are the same thing. */
import type { CheckReport, CriterionOutcome, Error as ApiError, Event, Forward, NodeState, RunDetail, RunState, Step } from "../gen/api";

type Fields = Record<string, unknown>;

const fields = (data: unknown): Fields => (typeof data === "object" && data !== null ? (data as Fields) : {});
const text = (value: unknown): string | null => (typeof value === "string" ? value : null);
const number = (value: unknown): number | null => (typeof value === "number" ? value : null);

const STATES: readonly RunState[] = ["starting", "ready", "paused", "stopping", "stopped", "failed"];
const NODE_STATES: readonly NodeState[] = ["absent", "created", "running", "paused", "rewiring", "exited"];

/** The run after `event`; the same object when the event changes nothing that is shown. */
export function reduce(detail: RunDetail, event: Event): RunDetail {
  const data = fields(event.data);
  switch (event.kind) {
    case "run.state":
      return runState(detail, data);
    case "run.step": {
      const step = asStep(data);
      return step ? { ...detail, steps: upsert(detail.steps, step, (s) => s.name) } : detail;
    }
    case "node.state": {
      const state = NODE_STATES.find((s) => s === data["state"]);
      const name = text(data["node"]);
      if (!state || !detail.nodes.some((n) => n.name === name && n.state !== state)) return detail;
      return { ...detail, nodes: detail.nodes.map((n) => (n.name === name ? { ...n, state } : n)) };
    }
    case "check.report": {
      const report = asReport(data);
      return report ? withReport(detail, report) : detail;
    }
    case "check.outcome": {
      const outcome = asOutcome(data);
      return outcome ? withOutcome(detail, outcome, event.at) : detail;
    }
    case "forward.opened": {
      const forward = asForward(data);
      return forward ? { ...detail, forwards: upsert(detail.forwards, forward, (f) => f.id) } : detail;
    }
    case "forward.closed":
      return { ...detail, forwards: detail.forwards.filter((f) => f.id !== data["id"]) };
    case "egress.drop": {
      const total = number(data["total"]);
      if (detail.egress === null || total === null || total <= (detail.egress.dropped ?? -1)) return detail;
      return { ...detail, egress: { ...detail.egress, dropped: total } };
    }
    default:
      return detail;
  }
}

/** Whether an event says that something changed which it does not carry itself. */
export function needsReload(event: Event): boolean {
  return ["run.state", "hint.revealed", "submit.done", "isolation.report", "egress.drop"].includes(event.kind);
}

/** Newer reports win: a check's own answer and its event arrive in any order. */
export function withReport(detail: RunDetail, report: CheckReport): RunDetail {
  if ((detail.run.last_check?.at ?? 0) > report.at) return detail;
  return { ...detail, run: { ...detail.run, last_check: report } };
}

/** One outcome of a check that is under way; the report that follows has the last word. */
function withOutcome(detail: RunDetail, outcome: CriterionOutcome, at: number): RunDetail {
  const known = detail.run.last_check;
  if (known && known.at > at) return detail;
  const criteria = upsert(known?.criteria ?? [], outcome, (c) => c.id);
  const max = known?.max ?? detail.criteria.reduce((sum, c) => sum + c.weight * 1000, 0);
  const score = criteria.reduce((sum, c) => sum + c.points, 0);
  return { ...detail, run: { ...detail.run, last_check: { run: detail.run.run, at: known?.at ?? at, score, max, criteria } } };
}

/** A run as read, with the steps that until its start has ended only the events know. */
export function withSteps(detail: RunDetail, events: readonly Event[]): RunDetail {
  if (detail.run.state !== "starting" && detail.steps.length > 0) return detail;
  return events.filter((e) => e.kind === "run.step").reduce(reduce, detail);
}

/** The error a start or a run ended with, from the last `run.state` that carries one. */
export function failure(events: readonly Event[]): ApiError | null {
  for (let i = events.length - 1; i >= 0; i -= 1) {
    const event = events[i];
    if (event?.kind !== "run.state") continue;
    const error = fields(fields(event.data)["error"]);
    const [code, message] = [text(error["code"]), text(error["message"])];
    return code === null || message === null ? null : (error as unknown as ApiError);
  }
  return null;
}

/** Milliseconds left on the clock at `now`; null before there is a clock. */
export function remaining(detail: RunDetail, now: number): number | null {
  const { state, deadline, remaining_ms } = detail.run;
  if (state === "ready" && deadline !== null) return Math.max(0, deadline - now);
  return remaining_ms;
}

/** The share of a lab's time at which the timer asks for attention. */
export function urgency(left: number | null): "calm" | "soon" | "last" {
  if (left === null) return "calm";
  return left <= 60_000 ? "last" : left <= 5 * 60_000 ? "soon" : "calm";
}

/** Appends in order, drops what is known, keeps at most `limit`. */
export function append(events: readonly Event[], more: readonly Event[], limit: number): readonly Event[] {
  let last = events.at(-1)?.seq ?? -1;
  const fresh = more.filter((e) => {
    if (e.seq <= last) return false;
    last = e.seq;
    return true;
  });
  return fresh.length === 0 ? events : [...events, ...fresh].slice(-limit);
}

function runState(detail: RunDetail, data: Fields): RunDetail {
  const state = STATES.find((s) => s === data["state"]);
  if (!state) return detail;
  const run = { ...detail.run, state };
  const reason = text(data["reason"]) ?? text(fields(data["error"])["message"]);
  if (reason !== null) run.reason = reason;
  if ("deadline" in data) run.deadline = number(data["deadline"]);
  if ("remaining_ms" in data) run.remaining_ms = number(data["remaining_ms"]);
  if ("ready_ms" in data) run.ready_ms = number(data["ready_ms"]);
  return { ...detail, run };
}

function upsert<T>(list: readonly T[], item: T, key: (item: T) => string): T[] {
  const at = list.findIndex((i) => key(i) === key(item));
  return at < 0 ? [...list, item] : list.with(at, item);
}

const asStep = (data: Fields): Step | null => (text(data["name"]) !== null && text(data["state"]) !== null ? (data as unknown as Step) : null);
const asReport = (data: Fields): CheckReport | null =>
  number(data["at"]) !== null && Array.isArray(data["criteria"]) ? (data as unknown as CheckReport) : null;
const asOutcome = (data: Fields): CriterionOutcome | null =>
  text(data["id"]) !== null && text(data["outcome"]) !== null && number(data["points"]) !== null ? (data as unknown as CriterionOutcome) : null;
const asForward = (data: Fields): Forward | null => (text(data["id"]) !== null && text(data["local"]) !== null ? (data as unknown as Forward) : null);

/** The proof of isolation that is under way or was the last, as its events tell it: jobs with steps of a run are nothing else. */
export interface Proving {
  job: string;
  /** When it was last heard of. */
  at: number;
  steps: readonly Step[];
  done: boolean;
  /** Why it could not be finished; null while it works, when it was finished, and when it was cancelled. */
  error: ApiError | null;
}

export function proving(events: readonly Event[]): Proving | null {
  let last: Proving | null = null;
  for (const event of events) if (event.kind.startsWith("job.")) last = proved(last, event);
  return last;
}

function proved(last: Proving | null, { kind, at, data }: Event): Proving | null {
  const { job: id, step, error } = fields(data);
  const job = text(id);
  if (job === null) return last;
  const before = last?.job === job ? last : { job, at, steps: [], done: false, error: null };
  if (kind === "job.step") {
    const next = asStep(fields(step));
    return next ? { ...before, at, steps: upsert(before.steps, next, (s) => s.name) } : last;
  }
  const failed = fields(error);
  return { ...before, at, done: true, error: "code" in failed && failed["code"] !== "cancelled" ? (error as ApiError) : null };
}
