import { describe, expect, it } from "vitest";
import type { Event } from "../../../gen/api";
import { filterLog, filterTimeline, groupOf, logLine, since } from "./rows";

const event = (seq: number, kind: string, text: string, level: Event["level"] = "info"): Event => ({ seq, at: seq * 1000, correlation: "c1", run: "r", kind, level, text, data: null });

describe("timeline", () => {
  const all = [event(1, "run.step", "wire: done"), event(2, "node.state", "r1 runs"), event(3, "check.report", "2 of 5 pass"), event(4, "job.done", "Images", "warn")];
  it("groups by what the learner cares for; unknown kinds are other", () => {
    expect(all.map(groupOf)).toEqual(["step", "node", "check", "log"]);
    expect(groupOf(event(5, "hint.revealed", ""))).toBe("check");
    expect(groupOf(event(6, "timer.warning", ""))).toBe("run");
    expect(groupOf(event(7, "forward.opened", ""))).toBe("terminal");
  });
  it("filters by group and by words together", () => {
    expect(filterTimeline(all, new Set(["node", "check"]), "").map((e) => e.seq)).toEqual([2, 3]);
    expect(filterTimeline(all, new Set(["node", "check"]), "PASS").map((e) => e.seq)).toEqual([3]);
    expect(filterTimeline(all, new Set(), "")).toEqual([]);
  });
  it("keeps a level and what is worse", () => {
    expect(filterLog(all, "warn").map((e) => e.seq)).toEqual([4]);
    expect(filterLog(all, "debug")).toHaveLength(4);
    expect(filterLog(all, "debug", "JOB.").map((e) => e.seq)).toEqual([4]);
    expect(filterLog(all, "info", "c1")).toHaveLength(4);
    expect(filterLog(all, "warn", "pass")).toEqual([]);
  });
  it("counts from the start, with tenths while tenths matter", () => {
    expect([0, 4200, 65_000, 727_000].map((at) => since(at, 0))).toEqual(["+0:00.0", "+0:04.2", "+1:05.0", "+12:07"]);
    expect(since(5, 10)).toBe("+0:00.0");
  });
  it("writes a log line that can be searched for", () => {
    expect(logLine(all[3] ?? event(0, "", ""))).toBe("1970-01-01T00:00:04.000Z warn  job.done [c1] Images");
  });
  it("filters ten thousand rows within a frame’s budget of work", () => {
    const many = Array.from({ length: 10_000 }, (_, i) => event(i, i % 2 ? "log" : "node.state", `line ${i}`));
    expect(filterTimeline(many, new Set(["log"]), "line 99").length).toBeGreaterThan(0);
  });
});
