import { describe, expect, it } from "vitest";
import { clamp, LIMITS, read } from "./layout.svelte";

describe("layout", () => {
  it("reads what was stored, inside the limits", () => {
    const stored = read(JSON.stringify({ sizes: { guide: 400, right: 99_999 }, collapsed: { map: true } }));
    expect(stored.sizes.guide).toBe(400);
    expect(stored.sizes.right).toBe(LIMITS.right[1]);
    expect(stored.collapsed).toEqual({ guide: false, right: false, map: true });
  });
  it("falls back to the defaults for anything else", () => {
    const defaults = read(null);
    for (const text of ["", "{", "7", '"x"', '{"sizes":{"guide":"wide"},"collapsed":{"guide":"yes"}}']) expect(read(text)).toEqual(defaults);
  });
  it("clamps to whole pixels", () => {
    expect(clamp("guide", 300.4)).toBe(300);
    expect(clamp("guide", -5)).toBe(LIMITS.guide[0]);
  });
});
