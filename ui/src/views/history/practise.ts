/** What to practise next, and the order of the table. */
import type { LabSummary, ResultSummary } from "../../gen/api";

const share = (score: number, max: number): number => (max > 0 ? score / max : 0);

/** Labs short of a full best score, lowest first, then those never submitted; at most `count`. */
export function practise(labs: readonly LabSummary[], count: number): LabSummary[] {
  const tried = labs
    .flatMap((lab) => (lab.best && lab.best.score < lab.best.max ? [{ lab, reached: share(lab.best.score, lab.best.max) }] : []))
    .sort((a, b) => a.reached - b.reached)
    .map((t) => t.lab);
  return [...tried, ...labs.filter((lab) => lab.best === null)].slice(0, count);
}

export const COLUMNS = ["lab", "track", "when", "score", "time", "trust"] as const;
export type Column = (typeof COLUMNS)[number];
export interface Order {
  by: Column;
  down: boolean;
}

const TRUST: readonly ResultSummary["tier"][] = ["self-attested", "instructor-seeded", "re-graded", "re-executed"];

const KEY: Record<Column, (r: ResultSummary) => string | number> = {
  lab: (r) => r.lab_title.toLowerCase(),
  track: (r) => r.track,
  when: (r) => r.at,
  score: (r) => share(r.score, r.max),
  time: (r) => r.duration_ms,
  trust: (r) => TRUST.indexOf(r.established ?? r.tier),
};

/** Sorted anew; equal rows stay newest first. */
export function ordered(results: readonly ResultSummary[], order: Order): ResultSummary[] {
  const key = KEY[order.by];
  const sign = order.down ? -1 : 1;
  return [...results].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    const by = typeof x === "string" && typeof y === "string" ? x.localeCompare(y, "en") : Number(x) - Number(y);
    return by !== 0 ? by * sign : b.at - a.at;
  });
}

/** A second click on a column turns it round; a new one starts with what is asked for most. */
export function turn(order: Order, by: Column): Order {
  return by === order.by ? { by, down: !order.down } : { by, down: by !== "lab" && by !== "track" };
}
