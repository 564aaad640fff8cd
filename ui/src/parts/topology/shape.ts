/**
 * Where the vertices of one connected part go, in cells of a grid whose neighbours are about one apart.
 * A tree becomes a spine with its branches above and below (a line and a star are the simple cases), a
 * single cycle becomes a ring with its branches outside, anything else is relaxed once. No chance in it:
 * the same lab always has the same picture.
 */
import type { Graph } from "./graph";

export interface Point {
  x: number;
  y: number;
}
type Places = Map<number, Point>;

export function shape(g: Graph, part: readonly number[]): Places {
  const core = cycleCore(g, part);
  if (core.length === 0) return spine(g, part);
  const inside = new Set(core);
  const simple = core.every((v) => around(g, v).filter((n) => inside.has(n)).length === 2);
  return simple ? ring(g, core, inside) : relaxed(g, part);
}

const around = (g: Graph, v: number): readonly number[] => g.near[v] ?? [];

/** What is left when leaves are taken away until none remain: empty for a tree. */
function cycleCore(g: Graph, part: readonly number[]): number[] {
  const left = new Set(part);
  const degree = new Map(part.map((v) => [v, around(g, v).length]));
  const leaves = part.filter((v) => (degree.get(v) ?? 0) <= 1);
  for (let v = leaves.shift(); v !== undefined; v = leaves.shift()) {
    if (!left.delete(v)) continue;
    for (const n of around(g, v)) if (left.has(n)) {
      const d = (degree.get(n) ?? 0) - 1;
      degree.set(n, d);
      if (d <= 1) leaves.push(n);
    }
  }
  return part.filter((v) => left.has(v));
}

/** The farthest vertex and the way to it; the first in order wins a tie. */
function farthest(g: Graph, from: number): number[] {
  const before = new Map<number, number>([[from, -1]]);
  let wave = [from];
  let last = from;
  while (wave.length > 0) {
    last = Math.min(...wave);
    const next: number[] = [];
    for (const v of wave) for (const n of around(g, v)) if (!before.has(n)) {
      before.set(n, v);
      next.push(n);
    }
    wave = next;
  }
  const way = [last];
  for (let v = before.get(last) ?? -1; v >= 0; v = before.get(v) ?? -1) way.push(v);
  return way;
}

/** The longest way lies flat; what hangs from it goes up and down in turn, in columns wide enough. */
function spine(g: Graph, part: readonly number[]): Places {
  const first = part[0];
  if (first === undefined) return new Map();
  const way = farthest(g, farthest(g, first)[0] ?? first);
  if ((way[0] ?? 0) > (way.at(-1) ?? 0)) way.reverse();
  const onSpine = new Set(way);
  const at: Places = new Map();
  let x = 0;
  way.forEach((v, i) => {
    const hanging = around(g, v).filter((n) => !onSpine.has(n)).sort((a, b) => a - b);
    const sides: [number[], number[]] = [[], []];
    const width: [number, number] = [0, 0];
    for (const child of hanging) {
      const side = width[1] < width[0] ? 1 : 0;
      sides[side].push(child);
      width[side] += breadth(g, child, v);
    }
    const need = Math.max(1, ...width);
    if (i > 0) x += (need - 1) / 2;
    at.set(v, { x, y: 0 });
    sides.forEach((children, side) => {
      let left = x - (width[side] ?? 0) / 2;
      for (const child of children) left += hang(g, child, v, left, side === 0 ? -1 : 1, 1, at);
    });
    x += 1 + (need - 1) / 2;
  });
  return at;
}

/** Columns a branch needs. */
function breadth(g: Graph, v: number, from: number): number {
  const children = around(g, v).filter((n) => n !== from);
  return Math.max(1, children.reduce((sum, n) => sum + breadth(g, n, v), 0));
}

function hang(g: Graph, v: number, from: number, left: number, up: 1 | -1, depth: number, at: Places): number {
  const width = breadth(g, v, from);
  at.set(v, { x: left + width / 2, y: up * depth });
  let x = left;
  for (const n of around(g, v)) if (n !== from) x += hang(g, n, v, x, up, depth + 1, at);
  return width;
}

function ring(g: Graph, core: readonly number[], inside: ReadonlySet<number>): Places {
  const order: number[] = [];
  const seen = new Set<number>();
  for (let v = core[0]; v !== undefined; v = around(g, v).find((n) => inside.has(n) && !seen.has(n))) {
    seen.add(v);
    order.push(v);
  }
  const k = order.length;
  if (k > 8) return loop(g, order, inside);
  const radius = 0.5 / Math.sin(Math.PI / Math.max(3, k));
  // An even ring has a flat top, so that four routers stand in a square; an odd one has its first on top.
  const start = -Math.PI / 2 - (k % 2 === 0 ? Math.PI / k : 0);
  const at: Places = new Map();
  order.forEach((v, i) => {
    const angle = start + (i / k) * 2 * Math.PI;
    const p = { x: radius * Math.cos(angle), y: radius * Math.sin(angle) };
    at.set(v, p);
    const branches = around(g, v).filter((n) => !inside.has(n));
    branches.forEach((n, j) => {
      const fan = branches.length === 1 ? snapped(angle) : angle + (j / (branches.length - 1) - 0.5) * (branches.length === 2 ? Math.PI / 2 : 2.4);
      outward(g, n, v, p, fan, at);
    });
  });
  return at;
}

/** A long ring runs around a rectangle twice as wide as high, which uses a pane better than a circle. */
function loop(g: Graph, order: readonly number[], inside: ReadonlySet<number>): Places {
  const k = order.length;
  const top = Math.round(k / 3);
  const side = Math.floor((k - 2 * top) / 2);
  const bottom = k - top - 2 * side;
  const width = Math.max(top, bottom);
  const row = (i: number, n: number) => ((i + 0.5) * width) / n;
  const at: Places = new Map();
  order.forEach((v, i) => {
    const [p, angle] =
      i < top ? [{ x: row(i, top), y: 0 }, -Math.PI / 2]
      : i < top + side ? [{ x: width, y: i - top + 1 }, 0]
      : i < top + side + bottom ? [{ x: width - row(i - top - side, bottom), y: side + 1 }, Math.PI / 2]
      : [{ x: 0, y: k - i }, Math.PI];
    at.set(v, p);
    for (const n of around(g, v)) if (!inside.has(n)) outward(g, n, v, p, angle, at);
  });
  return at;
}

/** Around a small ring a branch leaves level or upright, which reads better than askew. */
function snapped(angle: number): number {
  return Math.abs(Math.sin(angle)) > 0.8 ? Math.sign(Math.sin(angle)) * (Math.PI / 2) : Math.cos(angle) < 0 ? Math.PI : 0;
}

function outward(g: Graph, v: number, from: number, origin: Point, angle: number, at: Places): void {
  const p = { x: origin.x + Math.cos(angle), y: origin.y + Math.sin(angle) };
  at.set(v, p);
  const next = around(g, v).filter((n) => n !== from);
  next.forEach((n, j) => outward(g, n, v, p, angle + (next.length > 1 ? (j / (next.length - 1) - 0.5) * 1.8 : 0), at));
}

/** Springs and repulsion (Fruchterman and Reingold 1991) from a circle, cooled to rest once. */
function relaxed(g: Graph, part: readonly number[]): Places {
  const n = part.length;
  const at: Places = new Map(part.map((v, i) => {
    const angle = -Math.PI / 2 + (i / n) * 2 * Math.PI;
    // A slight drift outward breaks the symmetry that a perfect circle would never leave.
    const r = (n / 6) * (1 + i * 0.01);
    return [v, { x: r * Math.cos(angle), y: r * Math.sin(angle) }];
  }));
  const rounds = n > 40 ? 120 : 300;
  for (let round = 0; round < rounds; round += 1) {
    const heat = 0.3 * (1 - round / rounds);
    const push = new Map<number, Point>(part.map((v) => [v, { x: 0, y: 0 }]));
    for (const a of part) for (const b of part) {
      if (a >= b) continue;
      const pa = at.get(a), pb = at.get(b), fa = push.get(a), fb = push.get(b);
      if (!pa || !pb || !fa || !fb) continue;
      const dx = pa.x - pb.x, dy = pa.y - pb.y;
      const d = Math.max(0.05, Math.hypot(dx, dy));
      const force = 1.7 / d - (around(g, a).includes(b) ? d * d : 0);
      fa.x += (dx / d) * force;
      fa.y += (dy / d) * force;
      fb.x -= (dx / d) * force;
      fb.y -= (dy / d) * force;
    }
    for (const v of part) {
      const p = at.get(v), f = push.get(v);
      if (!p || !f) continue;
      const size = Math.hypot(f.x, f.y);
      if (size === 0) continue;
      p.x += (f.x / size) * Math.min(size, heat);
      p.y += (f.y / size) * Math.min(size, heat);
    }
  }
  return at;
}
