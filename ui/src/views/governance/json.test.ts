import { describe, expect, it } from "vitest";
import { pieces, problem } from "./json";

describe("JSON for people", () => {
  it("accepts what JSON.parse accepts, and nothing else", () => {
    const good = ["{}", "[]", " [1, -2.5e3, \"a\\u00e9\\\"\", true, null] ", '{"a":{"b":[{}]}}', '""', "0"];
    const bad = ["", "{", "[1,]", "{a:1}", '{"a" 1}', '{"a":}', "01", "tru", '"a\nb"', "{} {}", "[1 2]", "'a'", "+1", "nullx", '"\\x"'];
    for (const text of good) {
      expect(problem(text), text).toBeNull();
      expect(() => JSON.parse(text)).not.toThrow();
    }
    for (const text of bad) {
      expect(problem(text), text).not.toBeNull();
      expect(() => JSON.parse(text)).toThrow();
    }
  });
  it("says where it is broken", () => {
    expect(problem('{\n  "a": 1,\n  "b" 2\n}')).toEqual({ line: 3, column: 7, what: "A colon is missing after the field’s name." });
    expect(problem("[1,\n 2")).toMatchObject({ line: 2, column: 3 });
    expect(problem(`${"[".repeat(33)}${"]".repeat(33)}`)?.what).toContain("32");
    expect(problem("[".repeat(100_000))?.what).toContain("32");
  });
  it("loses nothing when it takes a document apart", () => {
    const value = { name: "a \"b\": 1", n: [-1.5e-7, 0], yes: true, no: null, deep: { "ä-ö": [] } };
    expect(pieces(value).map((p) => p.text).join("")).toBe(JSON.stringify(value, null, 2));
    expect(pieces({ a: "x" }).filter((p) => p.kind === "name").map((p) => p.text)).toEqual(['"a"']);
  });
});
