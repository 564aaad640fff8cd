import { describe, expect, it } from "vitest";
import { ago, bitRate, bytes, clock, percent, points, span } from "./format";

describe("format", () => {
  it("spans pick the unit a person would", () => {
    expect([0, 840, 3210, 42_400, 245_000, 4_800_000].map(span)).toEqual(["0 ms", "840 ms", "3.2 s", "42 s", "4 min 05 s", "1 h 20 min"]);
  });
  it("clocks count down to zero and not below", () => {
    expect([-5, 0, 1, 1_421_000, 3_909_000].map(clock)).toEqual(["00:00", "00:00", "00:01", "23:41", "1:05:09"]);
  });
  it("points are milli-points and percent survives an empty maximum", () => {
    expect(points(3500)).toBe("3.5");
    expect(points(12000)).toBe("12");
    expect(percent(5, 0)).toBe(0);
    expect(percent(2500, 10000)).toBe(25);
  });
  it("sizes are binary, rates decimal", () => {
    expect(bytes(173 * 1024 * 1024)).toBe("173 MiB");
    expect(bytes(900)).toBe("900 B");
    expect(bitRate(1_500_000)).toBe("1.5 Mbit/s");
  });
  it("ago speaks relative, then a date", () => {
    const now = Date.UTC(2026, 10, 23, 12);
    const h = 3_600_000;
    expect(ago(now - 20_000, now)).toBe("just now");
    expect(ago(now - 5 * h, now)).toBe("5 h ago");
    expect(ago(now - 30 * h, now)).toBe("yesterday");
    expect(ago(Date.UTC(2026, 10, 3, 12), now)).toBe("3 Nov 2026");
  });
});
