/** Per lab: the newest result against the one before, and what that says. */
import type { ResultSummary } from "../../gen/api";
import { percent } from "../../words/format";

export interface Trend {
  lab: string;
  title: string;
  runs: number;
  last: ResultSummary;
  /** Percent points since the result before; 0 for a first one. */
  change: number;
  words: string;
}

export function trend(results: readonly ResultSummary[]): Trend[] {
  const byLab = new Map<string, ResultSummary[]>();
  for (const r of [...results].sort((a, b) => b.at - a.at)) byLab.set(r.lab, [...(byLab.get(r.lab) ?? []), r]);
  return [...byLab.entries()].flatMap(([lab, list]) => {
    const [last, before] = list;
    if (!last) return [];
    const change = before ? percent(last.score, last.max) - percent(before.score, before.max) : 0;
    return [{ lab, title: last.lab_title, runs: list.length, last, change, words: say(last, before, change) }];
  });
}

function say(last: ResultSummary, before: ResultSummary | undefined, change: number): string {
  const full = last.score >= last.max;
  if (!before) return full ? "full score on the first run" : "first run";
  if (change !== 0) return `${Math.abs(change)} points ${change > 0 ? "more" : "less"} than before`;
  const minutes = Math.round((before.duration_ms - last.duration_ms) / 60_000);
  if (minutes === 0) return "same score, same time";
  return `same score, ${Math.abs(minutes)} min ${minutes > 0 ? "faster" : "slower"}`;
}
