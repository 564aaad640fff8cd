/**
 * Where the nodes of a small network go: springs along links, repulsion between all, from a fixed circle. No chance is
 * involved, so the same lab always looks the same, as a glyph, as a picture and as a map.
 */
import type { LinkInfo, NodeInfo, Topology } from "../../gen/api";

export interface Placed {
  id: string;
  /** Null for the junction of a segment with three or more ends. */
  node: NodeInfo | null;
  link: LinkInfo | null;
  /** 0..1, both inclusive. */
  x: number;
  y: number;
}
export interface Edge {
  id: string;
  from: Placed;
  to: Placed;
  link: LinkInfo;
}
export interface Layout {
  places: Placed[];
  edges: Edge[];
}

const STEPS = 300;

export function layout(topology: Topology): Layout {
  const places: Placed[] = topology.nodes.map((node) => ({ id: node.name, node, link: null, x: 0, y: 0 }));
  const byName = new Map(places.map((p) => [p.id, p]));
  const edges: Edge[] = [];
  for (const link of topology.links) {
    const ends = link.endpoints.flatMap((e) => byName.get(e.node) ?? []);
    const [a, b] = ends;
    if (ends.length === 2 && a && b && !link.segment) {
      edges.push({ id: link.id, from: a, to: b, link });
    } else if (ends.length > 0) {
      const hub: Placed = { id: `segment:${link.id}`, node: null, link, x: 0, y: 0 };
      places.push(hub);
      ends.forEach((end, i) => edges.push({ id: `${link.id}:${i}`, from: hub, to: end, link }));
    }
  }
  places.forEach((p, i) => {
    const turn = (i / Math.max(1, places.length)) * 2 * Math.PI - Math.PI / 2;
    // Not a perfect circle: symmetric forces would keep crossings that a nudge resolves.
    const r = 1 + 0.07 * (i % 3);
    p.x = r * Math.cos(turn);
    p.y = r * Math.sin(turn);
  });
  relax(places, edges);
  fit(places);
  return { places, edges };
}

function relax(places: Placed[], edges: Edge[]): void {
  const index = new Map(places.map((p, i) => [p, i]));
  const ideal = 0.9;
  for (let step = 0; step < STEPS; step += 1) {
    const heat = 0.12 * (1 - step / STEPS);
    const push = places.map(() => ({ x: 0, y: 0 }));
    places.forEach((a, i) => {
      places.forEach((b, j) => {
        const f = push[i];
        if (i === j || !f) return;
        const dx = a.x - b.x;
        const dy = a.y - b.y;
        const d2 = Math.max(0.01, dx * dx + dy * dy);
        f.x += (dx / d2) * 0.4;
        f.y += (dy / d2) * 0.4;
      });
    });
    for (const { from, to } of edges) {
      const dx = to.x - from.x;
      const dy = to.y - from.y;
      const d = Math.max(0.01, Math.hypot(dx, dy));
      const pull = (d - ideal) / d;
      const f = push[index.get(from) ?? -1];
      const t = push[index.get(to) ?? -1];
      if (f) add(f, dx * pull, dy * pull);
      if (t) add(t, -dx * pull, -dy * pull);
    }
    places.forEach((p, i) => {
      const f = push[i];
      if (!f) return;
      const size = Math.max(0.001, Math.hypot(f.x, f.y));
      p.x += (f.x / size) * Math.min(size, heat);
      p.y += (f.y / size) * Math.min(size, heat);
    });
  }
}

/** Into the unit square, turned so that the longer side lies flat (windows are wide). */
function fit(places: Placed[]): void {
  const width = spread(places.map((p) => p.x));
  const height = spread(places.map((p) => p.y));
  if (height > width * 1.15) for (const p of places) [p.x, p.y] = [p.y, p.x];
  for (const axis of ["x", "y"] as const) {
    const low = Math.min(...places.map((p) => p[axis]));
    const size = spread(places.map((p) => p[axis]));
    for (const p of places) p[axis] = size < 0.05 ? 0.5 : (p[axis] - low) / size;
  }
}

function spread(values: number[]): number {
  return values.length ? Math.max(...values) - Math.min(...values) : 0;
}

function add(to: { x: number; y: number }, x: number, y: number): void {
  to.x += x;
  to.y += y;
}
