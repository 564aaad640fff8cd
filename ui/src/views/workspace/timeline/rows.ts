/** Which events the timeline shows, and how each is marked. Pure. */
import type { Event, Level } from "../../../gen/api";

export const GROUPS = ["check", "node", "run", "step", "terminal", "log"] as const;
export type Group = (typeof GROUPS)[number];

export function groupOf(event: Event): Group {
  const kind = event.kind;
  if (kind.startsWith("check.") || kind.startsWith("hint.") || kind.startsWith("submit.")) return "check";
  if (kind.startsWith("node.")) return "node";
  if (kind === "run.step") return "step";
  if (kind.startsWith("run.") || kind.startsWith("timer.")) return "run";
  if (kind.startsWith("terminal.") || kind.startsWith("forward.")) return "terminal";
  return "log";
}

export function filterTimeline(events: readonly Event[], groups: ReadonlySet<Group>, words: string): readonly Event[] {
  const query = words.trim().toLowerCase();
  return events.filter((e) => groups.has(groupOf(e)) && (query === "" || e.text.toLowerCase().includes(query)));
}

const LEVELS: readonly Level[] = ["debug", "info", "warn", "error"];

export function filterLog(events: readonly Event[], least: Level, words = ""): readonly Event[] {
  const from = LEVELS.indexOf(least);
  const query = words.trim().toLowerCase();
  if (from === 0 && query === "") return events;
  return events.filter((e) => LEVELS.indexOf(e.level) >= from && (query === "" || `${e.kind} ${e.correlation} ${e.text}`.toLowerCase().includes(query)));
}

/** Time since the run began: "+0:04.2", "+12:07". */
export function since(at: number, start: number): string {
  const ms = Math.max(0, at - start);
  const minutes = Math.floor(ms / 60_000);
  const seconds = (ms % 60_000) / 1000;
  return minutes >= 10 ? `+${minutes}:${String(Math.floor(seconds)).padStart(2, "0")}` : `+${minutes}:${seconds.toFixed(1).padStart(4, "0")}`;
}

/** One line of the log as text: time, level, kind, correlation, words. */
export function logLine(e: Event): string {
  return `${new Date(e.at).toISOString()} ${e.level.padEnd(5)} ${e.kind} [${e.correlation}] ${e.text}`;
}
