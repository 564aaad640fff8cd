import { describe, expect, it } from "vitest";
import type { LiveBoard, LiveCell, LiveRow } from "../gen/api";
import { counts, open, passed, ranking, reachable } from "./board";

const cell = (more: Partial<LiveCell> = {}): LiveCell => ({ lab: "l", state: "not_started", score: 0, max: 100, outcomes: {}, tier: null, in_time: false, verdict: null, ...more });
const row = (name: string, points: number, c: LiveCell = cell(), more: Partial<LiveRow> = {}): LiveRow => ({ learner: name, name, labs: [c], points, verified: 0, max: 100, hints: 0, at: 0, quiet: false, ...more });
const board = (rows: LiveRow[]): LiveBoard => ({
  session: { id: "s", class: "c", title: "t", labs: ["l"], shared_seed: false, deadline: 0, remaining_ms: 0, grace_minutes: 0, hints: false, attempts: 1, frozen: false, join_code: null },
  labs: [{ id: "l", title: "L", criteria: { a: "The first" } }], rows, red: [], questions: [], messages: [], at: 0, turn: 0,
});

describe("the board", () => {
  it("counts a learner once, who submitted and works again among both", () => {
    const both = cell({ state: "working", verdict: "v" });
    expect(counts(board([row("a", 0, both), row("b", 0, cell({ state: "paused" }), { quiet: true }), row("c", 0)]))).toEqual({ joined: 3, working: 2, submitted: 1, quiet: 1 });
  });
  it("names what is not passed, by title where it is known; an error is not a pass", () => {
    const outcomes = JSON.parse(`{"a":"fail","b":"error","c":"pass","constructor":"fail"}`) as LiveCell["outcomes"];
    const c = cell({ outcomes });
    expect(passed(c)).toEqual({ passed: 1, all: 4 });
    expect(open(c, board([]))).toEqual(["The first", "b", "constructor"]);
  });
  it("measures all by the same sum, also who has not begun", () => {
    expect(reachable(board([row("a", 0, cell({ max: 0 })), row("b", 40, cell({ max: 100 }))]))).toBe(100);
    expect(reachable(board([]))).toBe(0);
  });
  it("gives equal points equal places and leaves the given order alone", () => {
    const rows = [row("z", 5), row("b", 9), row("a", 9)];
    expect(ranking(rows).map((p) => [p.place, p.row.name])).toEqual([[1, "a"], [1, "b"], [3, "z"]]);
    expect(rows[0]?.name).toBe("z");
  });
});
