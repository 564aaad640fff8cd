import { describe, expect, it } from "vitest";
import { makeResults } from "../../ipc/fake/data";
import { trend } from "./trend";

describe("trend", () => {
  it("compares the newest two of each lab, whatever the order they come in", () => {
    const results = makeResults(Date.now());
    const shuffled = trend([...results].reverse());
    expect(shuffled.map((t) => [t.lab, t.runs, t.change])).toEqual([["ospf-single-area", 3, 20], ["dns-zone-reverse", 2, 40]]);
    expect(trend(results)).toEqual(shuffled);
  });
  it("speaks of time when the score stayed, and of a first run", () => {
    const [a] = makeResults(Date.now());
    if (!a) throw new Error("no result");
    expect(trend([a])[0]?.words).toBe("full score on the first run");
    expect(trend([a, { ...a, at: a.at - 1000, duration_ms: a.duration_ms + 240_000 }])[0]?.words).toBe("same score, 4 min faster");
  });
});
