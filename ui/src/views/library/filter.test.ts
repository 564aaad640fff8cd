import { describe, expect, it } from "vitest";
import { makeLabs } from "../../ipc/fake/data";
import { index, matches, NONE, stateOf, type Filter } from "./filter";

const labs = makeLabs(Date.now()).map((l) => l.summary);
const found = (part: Partial<Filter>) => labs.filter((l) => matches(l, index(l), { ...NONE, ...part })).map((l) => l.id);

describe("library filter", () => {
  it("finds by title, topic, objective number and track, every word", () => {
    expect(found({ text: "ospf" })).toEqual(["ospf-single-area"]);
    expect(found({ text: "PTR bind" })).toEqual(["dns-zone-reverse"]);
    expect(found({ text: "cissp 5.2" })).toEqual(["ssh-hardening"]);
    expect(found({ text: "ospf bind" })).toEqual([]);
  });
  it("combines filters", () => {
    expect(found({})).toHaveLength(3);
    expect(found({ minutes: 30 })).toEqual(["dns-zone-reverse", "ssh-hardening"]);
    expect(found({ minutes: 30, ready: true })).toEqual(["dns-zone-reverse"]);
    expect(found({ tier: "advanced" })).toEqual(["ssh-hardening"]);
  });
  it("tells the states apart", () => {
    expect(labs.map(stateOf)).toEqual(["started", "passed", "new"]);
    const [first] = labs;
    expect(first && stateOf({ ...first, active_run: "x" })).toBe("running");
  });
});
