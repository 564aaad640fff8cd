import { describe, expect, it } from "vitest";
import { HostError } from "../ipc/host";
import { wordsOf } from "./errors";

describe("what is said of a failure", () => {
  it("a scoreboard that said nothing refused nothing", () => {
    const of = (details: unknown) => wordsOf(new HostError("scoreboard_failed", "x", [], details)).title;
    expect([of({ code: "unreachable" }), of({ code: "timeout" })]).toEqual(["The scoreboard does not answer", "The scoreboard does not answer"]);
    expect([of({ code: "session_frozen" }), of(null), of("unreachable")]).toEqual(Array(3).fill("The scoreboard did not accept that"));
    expect(wordsOf(new HostError("timeout", "x", [], { code: "timeout" })).title).toBe("That took too long");
  });
});
