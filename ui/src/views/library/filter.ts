/** What the library shows for a search text and the chosen filters. */
import type { LabSummary } from "../../gen/api";
import { track } from "../../words/format";

export const STATES = ["all", "new", "started", "passed", "running"] as const;
export type LabState = (typeof STATES)[number];
export const STATE_WORDS: Record<LabState, string> = { all: "Any state", new: "Not tried", started: "Not complete", passed: "Full score", running: "Running" };

export interface Filter {
  text: string;
  track: string | null;
  tier: string | null;
  state: LabState;
  /** At most this many minutes; null for any. */
  minutes: number | null;
  /** Only labs that can start on this machine now. */
  ready: boolean;
}

export const NONE: Filter = { text: "", track: null, tier: null, state: "all", minutes: null, ready: false };

export function stateOf(lab: LabSummary): Exclude<LabState, "all"> {
  if (lab.active_run !== null) return "running";
  if (lab.best !== null && lab.best.score >= lab.best.max) return "passed";
  return lab.best !== null || lab.last_run !== null ? "started" : "new";
}

/** Every word has to be found somewhere; the index is built once per list. */
export function index(lab: LabSummary): string {
  const objectives = lab.objectives.flatMap((o) => [o.exam, o.id, o.text]);
  return [lab.title, lab.id, lab.summary, track(lab.track), lab.tier, ...lab.topics, ...objectives].join(" ").toLowerCase();
}

export function matches(lab: LabSummary, text: string, filter: Filter): boolean {
  if (filter.track !== null && lab.track !== filter.track) return false;
  if (filter.tier !== null && lab.tier !== filter.tier) return false;
  if (filter.minutes !== null && lab.minutes > filter.minutes) return false;
  if (filter.ready && !lab.ready) return false;
  if (filter.state !== "all" && stateOf(lab) !== filter.state) return false;
  return filter.text.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}
