import { describe, expect, it } from "vitest";
import { travel } from "./travel";

const stops = [
  { id: "nw", x: 0, y: 0 },
  { id: "top", x: 100, y: 0 },
  { id: "ne", x: 200, y: 0 },
  { id: "sw", x: 0, y: 100 },
];

describe("travel", () => {
  it("goes to the next thing straight ahead, not past it", () => {
    expect(travel(stops, "nw", "ArrowRight")).toBe("top");
    expect(travel(stops, "ne", "ArrowLeft")).toBe("top");
    expect(travel(stops, "nw", "ArrowDown")).toBe("sw");
  });
  it("stays at the edge, and leaves other keys alone", () => {
    expect(travel(stops, "nw", "ArrowUp")).toBe("nw");
    expect(travel(stops, "nw", "Enter")).toBeNull();
  });
  it("starts at the first when its place is gone", () => {
    expect(travel(stops, "stopped", "ArrowUp")).toBe("nw");
    expect(travel([], "stopped", "ArrowUp")).toBe("stopped");
  });
});
