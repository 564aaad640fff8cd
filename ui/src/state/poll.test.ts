import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { pause, poll } from "./poll";

const PACE = { every: 1000, longest: 8000 };

describe("polling", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("waits longer after each failure, within a bound, and recovers at once", async () => {
    expect([0, 1, 2, 3, 40].map((n) => pause(PACE, n))).toEqual([1000, 2000, 4000, 8000, 8000]);
    let up = false;
    let asked = 0;
    const stop = poll(() => { asked += 1; return Promise.resolve(up); }, PACE, () => false);
    await vi.advanceTimersByTimeAsync(2000 + 4000);
    expect(asked).toBe(3);
    up = true;
    await vi.advanceTimersByTimeAsync(8000);
    expect(asked).toBe(4);
    await vi.advanceTimersByTimeAsync(3000);
    expect(asked).toBe(7);
    stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked).toBe(7);
  });

  it("asks nothing while the window is hidden", async () => {
    let seen = false;
    let asked = 0;
    const stop = poll(() => { asked += 1; return Promise.resolve(true); }, PACE, () => !seen);
    await vi.advanceTimersByTimeAsync(5000);
    expect(asked).toBe(0);
    seen = true;
    await vi.advanceTimersByTimeAsync(1000);
    expect(asked).toBe(1);
    stop();
  });
});
