import { describe, expect, it } from "vitest";
import type { LinkInfo, NodeInfo } from "../../gen/api";
import { layout, type Drawing } from "./layout";

const node = (name: string): NodeInfo => ({ name, role: "router", container: "", state: "running", enter: true, interfaces: [], ports: [] });
const names = (n: number) => Array.from({ length: n }, (_, i) => node(`n${i}`));
const link = (id: string, ends: string[], segment = false): LinkInfo => ({ id, segment, subnet: "10.0.0.0/24", endpoints: ends.map((n, i) => ({ node: n, interface: `eth${i}` })) });
const ring = (n: number) => names(n).map((_, i) => link(`l${i}`, [`n${i}`, `n${(i + 1) % n}`]));
const pane = { width: 700, height: 420 };

function closest(d: Drawing): number {
  const all = [...d.nodes.values(), ...d.buses.values()];
  let least = Infinity;
  all.forEach((a, i) => all.slice(i + 1).forEach((b) => (least = Math.min(least, Math.hypot(a.x - b.x, a.y - b.y)))));
  return least;
}
function within(d: Drawing): boolean {
  return [...d.nodes.values()].every((p) => p.x >= 40 && p.x <= d.width - 40 && p.y >= 30 && p.y <= d.height - 50);
}

describe("layout", () => {
  it("gives the same lab the same picture", () => {
    const mesh = names(6).flatMap((_, i) => [1, 2].map((k) => link(`m${i}${k}`, [`n${i}`, `n${(i + k) % 6}`])));
    expect(layout(names(6), mesh, pane)).toEqual(layout(names(6), mesh, pane));
  });
  it("stands four routers in a rectangle that uses the pane", () => {
    const d = layout(names(4), ring(4), pane);
    expect(new Set([...d.nodes.values()].map((p) => p.x)).size).toBe(2);
    expect(new Set([...d.nodes.values()].map((p) => p.y)).size).toBe(2);
    expect([d.width, d.height, d.compact]).toEqual([700, 420, false]);
    expect(closest(d)).toBeGreaterThan(200);
  });
  it("keeps the links' labels in a low pane by giving up interface names first", () => {
    const d = layout(names(4), ring(4), { width: 560, height: 200 });
    expect([d.brief, d.compact]).toEqual([true, false]);
    expect(layout(names(4), ring(4), pane).brief).toBe(false);
  });
  it("lays a chain flat and in order", () => {
    const d = layout(names(3), [link("a", ["n0", "n1"]), link("b", ["n1", "n2"])], pane);
    const at = [...d.nodes.values()];
    expect(new Set(at.map((p) => p.y)).size).toBe(1);
    expect(at.map((p) => p.x)).toEqual(at.map((p) => p.x).sort((x, y) => x - y));
  });
  it("draws a segment as a bus between its nodes, and taps it straight where it can", () => {
    const d = layout(names(5), [link("lan", ["n0", "n1", "n2", "n3", "n4"], true)], pane);
    const bus = d.buses.get("lan");
    if (!bus) throw new Error("no bus");
    expect(d.wires).toHaveLength(5);
    for (const w of d.wires) {
      expect(w.b.y).toBe(bus.y);
      expect(Math.abs(w.b.x - bus.x)).toBeLessThanOrEqual(bus.half);
      expect(w.ends).toHaveLength(1);
    }
    const upright = d.wires.filter((w) => w.a.y !== bus.y);
    expect(upright.every((w) => w.a.x === w.b.x)).toBe(true);
    expect(closest(d)).toBeGreaterThan(90);
  });
  it("puts what hangs on a ring outside of it", () => {
    const links = [...ring(4), link("lan", ["n0", "n4"], true)];
    const d = layout(names(5), links, { width: 900, height: 420 });
    const xs = names(4).map((n) => d.nodes.get(n.name)?.x ?? NaN);
    expect(d.nodes.get("n4")?.x).toBeLessThan(Math.min(...xs));
    expect(d.buses.get("lan")?.x).toBeLessThan(Math.min(...xs));
  });
  it("keeps parallel links apart", () => {
    const d = layout(names(2), [link("a", ["n0", "n1"]), link("b", ["n0", "n1"])], pane);
    const [a, b] = d.wires;
    expect(Math.abs((a?.middle.y ?? 0) - (b?.middle.y ?? 0))).toBeGreaterThan(30);
  });
  it("goes compact for 25 nodes and keeps them apart and inside, in small panes too", () => {
    const d = layout(names(25), ring(25), pane);
    expect(d.compact).toBe(true);
    expect(closest(d)).toBeGreaterThan(60);
    expect(within(d)).toBe(true);
  });
  it("places nodes without any link, and survives links to nodes that have not come up", () => {
    const d = layout(names(3), [link("x", ["n0", "gone"])], pane);
    expect(d.nodes.size).toBe(3);
    expect(d.wires).toHaveLength(0);
    expect(within(d)).toBe(true);
    expect(layout([], [], pane).nodes.size).toBe(0);
  });
});
