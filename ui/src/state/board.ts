/** What the instructor's board and the projector count and rank. Pure. */
import type { LabAttempts, LiveBoard, LiveCell, LiveRow } from "../gen/api";

export interface Counts {
  joined: number;
  working: number;
  submitted: number;
  quiet: number;
}

export function counts(board: LiveBoard): Counts {
  const some = (row: LiveRow, states: readonly LiveCell["state"][]) => row.labs.some((c) => states.includes(c.state));
  return {
    joined: board.rows.length,
    working: board.rows.filter((r) => some(r, ["starting", "working", "paused"])).length,
    submitted: board.rows.filter((r) => r.labs.some((c) => c.verdict !== null)).length,
    quiet: board.rows.filter((r) => r.quiet).length,
  };
}

export function passed(cell: LiveCell): { passed: number; all: number } {
  const outcomes = Object.values(cell.outcomes);
  return { passed: outcomes.filter((o) => o === "pass").length, all: outcomes.length };
}

/** Those that are not passed, by their titles. */
export function open(cell: LiveCell, board: LiveBoard): string[] {
  const titles = board.labs.find((l) => l.id === cell.lab)?.criteria ?? {};
  return Object.entries(cell.outcomes).filter(([, o]) => o !== "pass").map(([id]) => (Object.hasOwn(titles, id) ? titles[id] : undefined) ?? id);
}

/** Points that can be reached, as far as anybody has shown: a lab that nobody began has said nothing yet. */
export function reachable(board: LiveBoard): number {
  return board.session.labs.reduce((sum, _, at) => sum + Math.max(0, ...board.rows.map((r) => r.labs[at]?.max ?? 0)), 0);
}

export interface Again {
  state: "ask" | "bound" | "queued" | "running" | "differs" | "refused" | "failed";
  /** The scoreboard's or the lab's own words; empty when there are none. */
  why: string;
  /** Asking for it now would queue it. */
  ask: boolean;
}

/** Whether a verdict can be executed again, and what has become of that; null where there is nothing to say. */
export function again(cell: LiveCell, board: LiveBoard): Again | null {
  const job = cell.job;
  if (cell.verdict === null || cell.tier === "re-executed") return null;
  if (job?.state === "done") return job.agrees === false ? { state: "differs", why: "", ask: false } : null;
  if (job) return { state: job.state, why: job.why, ask: job.state === "failed" };
  // Nothing to stand on: the server would refuse it.
  if (cell.tier !== "re-graded") return null;
  const bound = board.labs.find((l) => l.id === cell.lab)?.seed_bound ?? null;
  return bound === null ? { state: "ask", why: "", ask: true } : { state: "bound", why: bound, ask: false };
}

export interface Place {
  place: number;
  row: LiveRow;
}

/** Equal points, equal place; those without points have none worth showing and come last. */
export function ranking(rows: readonly LiveRow[]): Place[] {
  const sorted = [...rows].sort((a, b) => b.points - a.points || b.verified - a.verified || a.name.localeCompare(b.name));
  return sorted.map((row) => ({ row, place: 1 + sorted.filter((r) => r.points > row.points).length }));
}

export type Onward = { kind: "start" } | { kind: "continue"; run: string } | { kind: "again"; attempt: number } | { kind: "none" };

/** What a learner can do about a lab of a session. A run that was submitted is no attempt any more: going on is another one. */
export function onward(done: LabAttempts | null, attempts: number, closed: boolean): Onward {
  if (done?.run && !done.submitted) return { kind: "continue", run: done.run };
  if (!done || done.answered === 0) return { kind: "start" };
  if (done.answered >= attempts || closed) return { kind: "none" };
  return { kind: "again", attempt: done.answered + 1 };
}
