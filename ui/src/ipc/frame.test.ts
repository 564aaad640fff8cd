import { describe, expect, it } from "vitest";
import { decodeFrame, TerminalCursor } from "./frame";

const bytes = (...b: number[]) => new Uint8Array(b);

describe("terminal frames", () => {
  it("reads output with its big-endian offset", () => {
    expect(decodeFrame(bytes(0, 0, 0, 0, 0, 0, 1, 0, 2, 104, 105))).toEqual({ kind: "output", offset: 65538, bytes: bytes(104, 105) });
  });
  it("reads a gap and a close", () => {
    expect(decodeFrame(bytes(1, 0, 0, 0, 0, 0, 0, 0, 9))).toEqual({ kind: "gap", resumesAt: 9 });
    expect(decodeFrame(new Uint8Array([2, ...new TextEncoder().encode("geschlossen – ok")]))).toEqual({ kind: "closed", reason: "geschlossen – ok" });
  });
  it("reads a frame that is a view into a larger buffer", () => {
    const whole = bytes(9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 7, 65);
    expect(decodeFrame(whole.subarray(2))).toEqual({ kind: "output", offset: 7, bytes: bytes(65) });
  });
  it("refuses short frames and unknown types", () => {
    expect(() => decodeFrame(bytes(0, 1))).toThrow(RangeError);
    expect(() => decodeFrame(bytes(7, 0, 0, 0, 0, 0, 0, 0, 0))).toThrow(/unknown type 7/);
  });
});

describe("terminal cursor", () => {
  it("passes new bytes, drops seen ones and cuts an overlap", () => {
    const cursor = new TerminalCursor(10);
    expect(cursor.accept(5, bytes(1, 2, 3))).toBeNull();
    expect(cursor.accept(8, bytes(1, 2, 3, 4))).toEqual({ offset: 10, bytes: bytes(3, 4) });
    expect(cursor.next).toBe(12);
    expect(cursor.accept(12, bytes(5))).toEqual({ offset: 12, bytes: bytes(5) });
  });
});
