import { describe, expect, it } from "vitest";
import { FakeHost } from "./host";

describe("the fake engine", () => {
  it("gives one run for one request id, and takes it through its steps to ready", async () => {
    const host = new FakeHost("empty-runs", 0);
    const kinds: string[] = [];
    host.events(null, 0, { item: (e) => kinds.push(e.kind) });
    const a = await host.call("start_lab", { lab: "ospf-single-area", request_id: "once", seed: "s" });
    const b = await host.call("start_lab", { lab: "ospf-single-area", request_id: "once", seed: "s" });
    expect(b.run).toBe(a.run);
    expect(a.state).toBe("starting");
    for (let i = 0; i < 60 && !kinds.includes("run.state"); i += 1) await new Promise((r) => setTimeout(r, 100));
    const run = await host.call("get_run", { run: a.run });
    expect(run.run.state).toBe("ready");
    expect(run.steps.every((s) => s.state === "done")).toBe(true);
  });
  it("stops a run once, and says of a second time that it was over", async () => {
    const host = new FakeHost("full", 0);
    const [run] = await host.call("list_runs", { all: false });
    if (!run) throw new Error("no run");
    expect(await host.call("stop_run", { run: run.run })).toMatchObject({ stopped: [run.run], already: [] });
    expect(await host.call("stop_run", { run: run.run })).toMatchObject({ stopped: [], already: [run.run] });
  });
  it("replays events after a sequence number, in order", async () => {
    const host = new FakeHost("full", 0);
    const all = await host.call("list_events", { run: null, since: 0, limit: null });
    const seen: number[] = [];
    host.events(null, 2, { item: (e) => seen.push(e.seq) }).close();
    expect(all.length).toBeGreaterThan(1);
    expect(seen).toEqual(all.map((e) => e.seq).filter((s) => s > 2));
  });
  it("echoes in a terminal and replays its output from an offset", async () => {
    const host = new FakeHost("full", 0);
    const [run] = await host.call("list_runs", { all: false });
    if (!run) throw new Error("no run");
    const { id } = await host.call("open_terminal", { run: run.run, node: "r1", cols: 80, rows: 24 });
    let text = "";
    const sink = { output: (b: Uint8Array) => { text += new TextDecoder().decode(b); }, gap: () => undefined, closed: () => undefined };
    const stream = host.terminal(id, 0, sink);
    expect(stream.write(new TextEncoder().encode("ping\r"))).toBe(true);
    expect(text).toContain("64 bytes from");
    stream.close();
    const before = text.length;
    host.terminal(id, 0, sink);
    expect(text.slice(before)).toBe(text.slice(0, before));
  });
  it("takes a verdict through the queue: one job, from waiting to the higher tier", async () => {
    const host = new FakeHost("teach-again", 0);
    const { sessions } = await host.call("list_sessions", {});
    const look = async () => {
      const board = await host.call("session_board", { session: sessions[0]?.id ?? "", seen: null });
      return board.rows.find((r) => r.learner === "learner-0")?.labs.find((c) => c.lab === "ospf-single-area");
    };
    const before = await look();
    expect([before?.tier, before?.job]).toEqual(["re-graded", null]);
    const verdict = before?.verdict ?? "";
    const job = await host.call("ask_reexecution", { verdict });
    expect(await host.call("ask_reexecution", { verdict })).toEqual(job);
    expect((await host.call("list_reexecutions", {})).filter((j) => j.verdict === verdict)).toEqual([job]);
    const states: unknown[] = [];
    for (let i = 0; i < 3; i += 1) states.push(((c) => [c?.job?.state, c?.tier])(await look()));
    expect(states).toEqual([["queued", "re-graded"], ["running", "re-graded"], ["done", "re-executed"]]);
  });
  it("fails with the contract's codes", async () => {
    await expect(new FakeHost("error", 0).call("list_labs", {})).rejects.toMatchObject({ code: "docker_unavailable" });
    await expect(new FakeHost("full", 0).call("get_lab", { lab: "nope" })).rejects.toMatchObject({ code: "unknown_lab" });
  });
});
