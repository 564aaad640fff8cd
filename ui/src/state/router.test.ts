import { describe, expect, it } from "vitest";
import { href, parse } from "./router.svelte";

describe("router", () => {
  it("reads and writes the same address", () => {
    for (const route of [{ view: "library", id: "netplus/dns zone" }, { view: "lab", id: "a7k2m9qx4b" }, { view: "doctor", id: null }] as const) {
      expect(parse(href(route.view, route.id))).toEqual(route);
    }
  });
  it("falls back to the library", () => {
    expect(parse("")).toEqual({ view: "library", id: null });
    expect(parse("#/nowhere/3")).toEqual({ view: "library", id: null });
  });
});
