import { describe, expect, it } from "vitest";
import type { CheckReport, Event, RunDetail } from "../gen/api";
import { append, failure, needsReload, proving, reduce, remaining, urgency, withReport, withSteps } from "./run.reduce";

const event = (kind: string, data: unknown = null, seq = 1): Event => ({ seq, at: seq, correlation: "c", run: "r", kind, level: "info", text: kind, data });
const report = (at: number, score: number): CheckReport => ({ run: "r", at, score, max: 3000, criteria: [] });

function starting(): RunDetail {
  return {
    run: {
      run: "r", lab: "l", lab_title: "L", track: "ccna", seed: "s", request_id: "q", state: "starting", reason: "", created: 0, deadline: null, remaining_ms: null, ready_ms: null,
      last_check: null, nodes: 2,
    },
    nodes: ["a", "b"].map((name) => ({ name, role: "router" as const, container: "", state: "absent" as const, enter: true, interfaces: [], ports: [] })),
    links: [], steps: [], criteria: [], hints: [], guide_html: "", guide: "", forwards: [], terminals: [], isolation: { state: "unknown", detail: "", at: null, quick: [], full: null }, egress: null, results: [],
  };
}

describe("a run from its events", () => {
  it("takes steps in order and finishes them in place", () => {
    const step = (name: string, state: string, ms: number) => event("run.step", { name, state, ms, detail: "", percent: null });
    const after = [step("admit", "running", 0), step("admit", "done", 12), step("create", "running", 0)].reduce(reduce, starting());
    expect(after.steps.map((s) => [s.name, s.state, s.ms])).toEqual([["admit", "done", 12], ["create", "running", 0]]);
  });

  it("takes what a state says and keeps what it does not say", () => {
    const ready = reduce(starting(), event("run.state", { state: "ready", ready_ms: 1240, deadline: 60_000 }));
    expect(ready.run).toMatchObject({ state: "ready", ready_ms: 1240, deadline: 60_000 });
    const paused = reduce(ready, event("run.state", { state: "paused", reason: "", deadline: null, remaining_ms: 42_000 }));
    expect(paused.run).toMatchObject({ state: "paused", ready_ms: 1240, deadline: null, remaining_ms: 42_000 });
    const failed = reduce(starting(), event("run.state", { state: "failed", error: { code: "docker_failed", message: "No room." } }));
    expect(failed.run).toMatchObject({ state: "failed", reason: "No room." });
  });

  it("moves one node and leaves the object alone when nothing changes", () => {
    const before = starting();
    const after = reduce(before, event("node.state", { node: "b", state: "running" }));
    expect(after.nodes.map((n) => n.state)).toEqual(["absent", "running"]);
    expect(reduce(after, event("node.state", { node: "b", state: "running" }))).toBe(after);
    expect(reduce(before, event("node.state", { node: "zz", state: "running" }))).toBe(before);
  });

  it("opens, replaces and closes forwards", () => {
    const forward = (id: string, connections: number) => ({ id, run: "r", node: "a", port: 80, local: "127.0.0.1:1", url: null, connections });
    const open = [event("forward.opened", forward("f", 0)), event("forward.opened", forward("f", 2)), event("forward.opened", forward("g", 0))].reduce(reduce, starting());
    expect(open.forwards.map((f) => [f.id, f.connections])).toEqual([["f", 2], ["g", 0]]);
    expect(reduce(open, event("forward.closed", { id: "f" })).forwards.map((f) => f.id)).toEqual(["g"]);
  });

  it("keeps the newer of two reports, in whichever order they come", () => {
    const newer = reduce(starting(), event("check.report", report(20, 2000)));
    expect(newer.run.last_check?.score).toBe(2000);
    expect(withReport(newer, report(10, 0)).run.last_check?.score).toBe(2000);
    expect(withReport(newer, report(20, 3000)).run.last_check?.score).toBe(3000);
  });

  it("takes outcomes as they come and leaves the last word to the report", () => {
    const outcome = (id: string, points: number) => ({ id, title: id, outcome: points > 0 ? "pass" : "fail", expected: "", seen: "", advice: "", points, max: 1000, ms: 1 });
    const base = withReport(starting(), { ...report(10, 0), criteria: [outcome("a", 0), outcome("b", 0)] as CheckReport["criteria"] });
    const during = reduce(base, event("check.outcome", outcome("b", 1000), 20));
    expect(during.run.last_check).toMatchObject({ at: 10, score: 1000, max: 3000 });
    expect(during.run.last_check?.criteria.map((c) => c.outcome)).toEqual(["fail", "pass"]);
    const after = reduce(during, event("check.report", report(30, 2000), 21));
    expect(after.run.last_check?.score).toBe(2000);
    expect(reduce(after, event("check.outcome", outcome("b", 0), 25))).toBe(after);
  });

  it("finds a start’s steps in the events while the run does not have them", () => {
    const steps = [event("run.step", { name: "admit", state: "done", ms: 3, detail: "", percent: null }), event("node.state", { node: "a", state: "running" })];
    const read = withSteps(starting(), steps);
    expect(read.steps.map((s) => s.name)).toEqual(["admit"]);
    expect(read.nodes[0]?.state).toBe("absent");
    const ended = { ...read, run: { ...read.run, state: "ready" as const } };
    expect(withSteps(ended, [])).toBe(ended);
  });

  it("does not fall over data that is not what it should be", () => {
    for (const kind of ["run.state", "run.step", "node.state", "check.report", "forward.opened"]) {
      for (const data of [null, 3, "x", [], { state: "dancing", name: 4 }]) expect(reduce(starting(), event(kind, data)).run.state).toBe("starting");
    }
    expect(reduce(starting(), event("made.up", {}))).toEqual(starting());
  });

  it("asks again for what events do not carry", () => {
    expect(["run.state", "hint.revealed", "submit.done", "run.step", "check.report"].map((k) => needsReload(event(k)))).toEqual([true, true, true, false, false]);
  });

  it("finds the error of the last state, and none after a good one", () => {
    const bad = event("run.state", { state: "failed", error: { code: "timeout", message: "Too slow.", hints: [], details: null } });
    expect(failure([event("run.step"), bad, event("log")])?.code).toBe("timeout");
    expect(failure([bad, event("run.state", { state: "ready" })])).toBeNull();
    expect(failure([])).toBeNull();
  });
});

describe("clock", () => {
  it("runs to the deadline, stands still while paused, never goes below zero", () => {
    const d = starting();
    expect(remaining(d, 0)).toBeNull();
    expect(remaining({ ...d, run: { ...d.run, state: "ready", deadline: 5000, remaining_ms: 1 } }, 2000)).toBe(3000);
    expect(remaining({ ...d, run: { ...d.run, state: "ready", deadline: 5000 } }, 9000)).toBe(0);
    expect(remaining({ ...d, run: { ...d.run, state: "paused", deadline: 5000, remaining_ms: 777 } }, 4999)).toBe(777);
  });
  it("asks for attention near the end", () => {
    expect([null, 600_000, 300_000, 60_000, 0].map(urgency)).toEqual(["calm", "calm", "soon", "last", "last"]);
  });
});

describe("event list", () => {
  it("drops repeats, keeps order and a limit, and is the same list when nothing is new", () => {
    const list = [event("a", null, 1), event("b", null, 2)];
    expect(append(list, [event("b", null, 2)], 10)).toBe(list);
    expect(append(list, [event("b", null, 2), event("c", null, 3), event("c", null, 3)], 10).map((e) => e.seq)).toEqual([1, 2, 3]);
    expect(append(list, [event("c", null, 3)], 2).map((e) => e.seq)).toEqual([2, 3]);
  });

  it("counts what the gateway refused, and never backwards", () => {
    const open = { ...starting(), egress: { profile: "package-updates", allow: [], dropped: 1, reasons: {} } };
    const after = (total: unknown, from = open) => reduce(from, event("egress.drop", { total, reason: "private" }));
    expect(after(3).egress?.dropped).toBe(3);
    expect(after(1)).toBe(open);
    expect(after("3")).toBe(open);
    expect(after(3, { ...open, egress: { ...open.egress, dropped: null as never } }).egress?.dropped).toBe(3);
    expect(reduce(starting(), event("egress.drop", { total: 3 })).egress).toBeNull();
  });
});

describe("the proof of isolation", () => {
  const step = (job: string, name: string, state: string) => event("job.step", { job, step: { name, state, ms: 5, detail: "", percent: null } });
  it("is told by its job's steps, of the last job alone", () => {
    expect(proving([event("run.state"), event("job.step", null)])).toBeNull();
    const events = [step("a", "try", "running"), event("job.done", { job: "a", error: null }), step("b", "networks", "running"), step("b", "networks", "done")];
    expect(proving(events.slice(0, 1))).toMatchObject({ job: "a", done: false, error: null });
    expect(proving(events.slice(0, 2))).toMatchObject({ job: "a", done: true, error: null });
    const now = proving(events);
    expect(now).toMatchObject({ job: "b", done: false });
    expect(now?.steps.map((s) => [s.name, s.state])).toEqual([["networks", "done"]]);
  });
  it("keeps why it failed, but a cancellation is no failure", () => {
    const ends = (code: string) => proving([step("a", "try", "failed"), event("job.done", { job: "a", error: { code, message: "m", hints: [], details: null } })]);
    expect(ends("timeout")?.error?.code).toBe("timeout");
    expect(ends("cancelled")).toMatchObject({ done: true, error: null });
  });
  it("is read again when it has been reported", () => {
    expect(needsReload(event("isolation.report"))).toBe(true);
  });
});
