import { describe, expect, it } from "vitest";
import { chord, match, Sequencer, typing, type Action } from "./actions.svelte";

const action = (keys: string, enabled = true): Action => ({ id: keys, title: keys, group: "t", keys, enabled: () => enabled, run: () => undefined });

describe("keys", () => {
  it("names chords the way the help writes them", () => {
    expect(chord(new KeyboardEvent("keydown", { key: "k", ctrlKey: true }))).toBe("Mod+K");
    expect(chord(new KeyboardEvent("keydown", { key: "?", shiftKey: true }))).toBe("?");
    expect(chord(new KeyboardEvent("keydown", { key: "Escape", ctrlKey: true, shiftKey: true }))).toBe("Mod+Shift+Escape");
  });
  it("knows where letters are text", () => {
    expect(typing(document.createElement("input"))).toBe(true);
    expect(typing(document.createElement("button"))).toBe(false);
    expect(typing(null)).toBe(false);
  });
  it("completes two-key sequences in time only, and skips what is disabled", () => {
    const list = [action("G then L"), action("?"), action("G then D", false)];
    const keys = new Sequencer();
    expect(keys.feed("G", 0, list)).toBeNull();
    expect(keys.feed("L", 500, list)?.keys).toBe("G then L");
    expect(keys.feed("G", 1000, list)).toBeNull();
    expect(keys.feed("L", 4000, list)).toBeNull();
    expect(keys.feed("G", 5000, list)).toBeNull();
    expect(keys.feed("D", 5100, list)).toBeNull();
    expect(keys.feed("?", 5200, list)?.keys).toBe("?");
  });
});

describe("palette match", () => {
  it("prefers word starts, accepts letters in order, refuses missing ones", () => {
    expect(match("doc", "Open Doctor")).toBeGreaterThan(match("oct", "Open Doctor") ?? 0);
    expect(match("opd", "Open Doctor")).not.toBeNull();
    expect(match("xyz", "Open Doctor")).toBeNull();
    expect(match("", "anything")).toBe(0);
  });
});
