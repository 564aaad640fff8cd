import { describe, expect, it } from "vitest";
import type { LabSummary, ResultSummary } from "../../gen/api";
import { ordered, practise, turn } from "./practise";

const lab = (id: string, best: LabSummary["best"]): LabSummary => ({
  id, best, origin: "built_in", track: "ccna", tier: "core", title: id, summary: "", topics: [], objectives: [], minutes: 30, version: "1", digest: "", nodes: 2, ready: true, blockers: [], last_run: null, active_run: null,
});
const result = (id: string, at: number, score: number, title = id): ResultSummary => ({
  id, at, score, max: 10_000, lab: id, lab_title: title, track: "ccna", run: "", version: "1", duration_ms: at, tier: "self-attested", established: null, key_id: "", dir: "",
});

describe("practise", () => {
  it("asks for the weakest first, then the untried, never for the finished", () => {
    const labs = [lab("full", { score: 10, max: 10 }), lab("new", null), lab("half", { score: 50, max: 100 }), lab("weak", { score: 2, max: 10 })];
    expect(practise(labs, 3).map((l) => l.id)).toEqual(["weak", "half", "new"]);
    expect(practise(labs, 1).map((l) => l.id)).toEqual(["weak"]);
  });
  it("compares shares, not points", () => {
    expect(practise([lab("big", { score: 60, max: 100 }), lab("small", { score: 5, max: 10 })], 1)[0]?.id).toBe("small");
  });
});

describe("table order", () => {
  const rows = [result("a", 1, 5000, "Zeta"), result("b", 3, 9000, "alpha"), result("c", 2, 5000, "Beta")];
  it("sorts by the column and keeps equal rows newest first", () => {
    expect(ordered(rows, { by: "score", down: true }).map((r) => r.id)).toEqual(["b", "c", "a"]);
    expect(ordered(rows, { by: "score", down: false }).map((r) => r.id)).toEqual(["c", "a", "b"]);
    expect(ordered(rows, { by: "lab", down: false }).map((r) => r.lab_title)).toEqual(["alpha", "Beta", "Zeta"]);
    expect(rows.map((r) => r.id)).toEqual(["a", "b", "c"]);
  });
  it("turns round on the second click", () => {
    expect(turn({ by: "when", down: true }, "when")).toEqual({ by: "when", down: false });
    expect(turn({ by: "when", down: true }, "lab")).toEqual({ by: "lab", down: false });
    expect(turn({ by: "lab", down: false }, "score")).toEqual({ by: "score", down: true });
  });
});
