import { describe, expect, it } from "vitest";
import type { LinkInfo, NodeInfo, Topology } from "../../gen/api";
import { layout } from "./layout";

const node = (name: string): NodeInfo => ({ name, role: "router", container: "", state: "absent", enter: true, interfaces: [], ports: [] });
const link = (id: string, nodes: string[], segment = false): LinkInfo => ({ id, segment, subnet: null, endpoints: nodes.map((n) => ({ node: n, interface: "eth0" })) });
const ring = (n: number): Topology => ({
  nodes: Array.from({ length: n }, (_, i) => node(`r${i}`)),
  links: Array.from({ length: n }, (_, i) => link(`l${i}`, [`r${i}`, `r${(i + 1) % n}`])),
});

describe("layout", () => {
  it("is the same every time and stays in the unit square", () => {
    const a = layout(ring(7)).places.map((p) => [p.x, p.y]);
    expect(layout(ring(7)).places.map((p) => [p.x, p.y])).toEqual(a);
    for (const v of a.flat()) expect(v >= 0 && v <= 1).toBe(true);
  });
  it("keeps 25 nodes apart", () => {
    const { places } = layout(ring(25));
    for (const a of places) for (const b of places) if (a !== b) expect(Math.hypot(a.x - b.x, a.y - b.y)).toBeGreaterThan(0.03);
  });
  it("draws a segment as a junction with one edge per end", () => {
    const { places, edges } = layout({ nodes: [node("a"), node("b"), node("c")], links: [link("lan", ["a", "b", "c"], true)] });
    expect(places.filter((p) => p.node === null).map((p) => p.id)).toEqual(["segment:lan"]);
    expect(edges).toHaveLength(3);
  });
  it("survives no nodes, one node and ends that name nobody", () => {
    expect(layout({ nodes: [], links: [] }).places).toEqual([]);
    expect(layout({ nodes: [node("a")], links: [link("x", ["ghost", "a"])] }).places.every((p) => Number.isFinite(p.x))).toBe(true);
  });
});
