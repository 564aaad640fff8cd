import { describe, expect, it } from "vitest";
import type { LiveBoard, LiveCell, LiveRow, ReexecutionJob } from "../gen/api";
import { again, counts, onward, open, passed, ranking, reachable } from "./board";

const cell = (more: Partial<LiveCell> = {}): LiveCell => ({ lab: "l", state: "not_started", score: 0, max: 100, outcomes: {}, tier: null, in_time: false, verdict: null, job: null, ...more });
const row = (name: string, points: number, c: LiveCell = cell(), more: Partial<LiveRow> = {}): LiveRow => ({ learner: name, name, labs: [c], points, verified: 0, max: 100, hints: 0, at: 0, quiet: false, ...more });
const board = (rows: LiveRow[]): LiveBoard => ({
  session: { id: "s", class: "c", title: "t", labs: ["l"], shared_seed: false, deadline: 0, remaining_ms: 0, grace_minutes: 0, hints: false, attempts: 1, frozen: false, join_code: null },
  labs: [{ id: "l", title: "L", criteria: { a: "The first" }, seed_bound: null }], rows, red: [], questions: [], messages: [], at: 0, turn: 0,
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
  it("offers to execute again what was re-graded, and says why where it cannot be", () => {
    const graded = cell({ verdict: "v", tier: "re-graded" });
    expect(again(graded, board([]))).toEqual({ state: "ask", why: "", ask: true });
    const bound = board([]);
    bound.labs = bound.labs.map((l) => ({ ...l, seed_bound: "Its zones." }));
    expect(again(graded, bound)).toEqual({ state: "bound", why: "Its zones.", ask: false });
    for (const other of [cell(), cell({ verdict: "v", tier: "self-attested" }), cell({ verdict: "v", tier: "instructor-seeded" }), cell({ verdict: "v", tier: "re-executed" })]) expect(again(other, board([]))).toBeNull();
  });
  it("shows a job as it stands; only one that failed can be asked for again", () => {
    const with_ = (more: Partial<ReexecutionJob>) => again(cell({ verdict: "v", tier: "re-graded", job: { verdict: "v", lab: "l", state: "queued", asked_at: 0, ended_at: null, tries: 0, agrees: null, why: "", ...more } }), board([]));
    expect(with_({})).toMatchObject({ state: "queued", ask: false });
    expect(with_({ state: "running" })).toMatchObject({ state: "running", ask: false });
    expect(with_({ state: "failed", why: "no memory" })).toEqual({ state: "failed", why: "no memory", ask: true });
    expect(with_({ state: "refused", why: "seed" })).toEqual({ state: "refused", why: "seed", ask: false });
    expect(with_({ state: "done", agrees: false })).toMatchObject({ state: "differs", ask: false });
    expect(with_({ state: "done", agrees: true })).toBeNull();
  });
  it("gives equal points equal places and leaves the given order alone", () => {
    const rows = [row("z", 5), row("b", 9), row("a", 9)];
    expect(ranking(rows).map((p) => [p.place, p.row.name])).toEqual([[1, "a"], [1, "b"], [3, "z"]]);
    expect(rows[0]?.name).toBe("z");
  });
  it("goes on with what can still be submitted, and calls another attempt one", () => {
    const done = (more: object) => ({ lab: "l", run: null, submitted: false, answered: 0, best: null, score: 0, max: 0, late: false, ...more });
    expect(onward(null, 3, false)).toEqual({ kind: "start" });
    expect(onward(done({}), 3, false)).toEqual({ kind: "start" });
    expect(onward(done({ run: "r" }), 3, true)).toEqual({ kind: "continue", run: "r" });
    expect(onward(done({ run: "r", submitted: true, answered: 1 }), 3, false)).toEqual({ kind: "again", attempt: 2 });
    expect(onward(done({ run: "r", answered: 1 }), 3, false)).toEqual({ kind: "continue", run: "r" });
    expect(onward(done({ answered: 3 }), 3, false)).toEqual({ kind: "none" });
    expect(onward(done({ answered: 1 }), 3, true)).toEqual({ kind: "none" });
  });
});
