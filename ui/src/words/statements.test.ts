import { describe, expect, it } from "vitest";
import { marked, statements } from "./statements";

const values = (text: string) => marked(text).filter((p) => p.value).map((p) => p.text);

describe("statements", () => {
  it("are one each, and none when there is nothing", () => {
    expect(statements("a answers b; c answers d")).toEqual(["a answers b", "c answers d"]);
    expect(statements(" ")).toEqual([]);
  });
  it("set apart the values and nothing else", () => {
    expect(values("10.19.206.1 answers acorn.ridge.example A with exactly 10.19.206.90, authoritatively")).toEqual(["10.19.206.1", "acorn.ridge.example", "10.19.206.90"]);
    expect(values("r1 has a route to 10.0.23.0/30 through fe80::1")).toEqual(["10.0.23.0/30", "fe80::1"]);
    expect(values("“permit root” in /etc/ssh/sshd_config is no")).toEqual(["“permit root”", "/etc/ssh/sshd_config"]);
    expect(values("12 of 12 pings answered within 1.5 s")).toEqual([]);
  });
  it("lose no letter", () => {
    for (const text of ["", "plain words", "10.0.0.1", "a 10.0.0.1 b.c d", "see http://x.example/a/b now"]) expect(marked(text).map((p) => p.text).join("")).toBe(text);
  });
  it("take a hostile text in no time", () => {
    const began = performance.now();
    marked("a.".repeat(50_000));
    marked(":".repeat(50_000));
    marked("/a".repeat(50_000) + "!");
    marked("a".repeat(1999));
    marked("a-".repeat(999));
    expect(performance.now() - began).toBeLessThan(1000);
  });
});
