/** From a graph to a drawing in pixels: places, buses and wires, fitted to the pane it is drawn in. */
import type { LinkInfo, NodeInfo } from "../../gen/api";
import { graph, hubId, isBus, parts, type GraphWire } from "./graph";
import { shape, type Point } from "./shape";

export type { Point } from "./shape";

export interface Drawing {
  /** Size of the drawing; it may exceed the pane, which then shows it smaller. */
  width: number;
  height: number;
  /** Too little room for interface names and the word “running”: they appear on demand. */
  brief: boolean;
  /** Too many nodes for labels on every wire: they appear on demand. */
  compact: boolean;
  nodes: ReadonlyMap<string, Point>;
  buses: ReadonlyMap<string, Bus>;
  wires: readonly Wire[];
}

export interface Bus extends Point {
  /** Half the length of the bar. */
  half: number;
}

export interface Wire {
  link: string;
  /** From the first end to the second; the second is the bus where there is one. */
  a: Point;
  b: Point;
  /** The point the curve is pulled to; the middle of a straight wire. */
  via: Point;
  middle: Point;
  /** `clear`: its name fits without covering anything. */
  ends: readonly { node: string; interface: string; at: Point; clear: boolean }[];
}

interface Box extends Point {
  w: number;
  h: number;
}

export interface Spacing {
  min: Point;
  max: Point;
  /** Room for a node's body and names around the outermost places. */
  edge: { side: number; top: number; bottom: number };
  /** The least scale at which all labels can still be read; below it the drawing goes compact. */
  legible: number;
}
const ROOMY: Spacing = { min: { x: 210, y: 148 }, max: { x: 330, y: 230 }, edge: { side: 70, top: 42, bottom: 68 }, legible: 0.78 };
const BRIEF: Spacing = { min: { x: 158, y: 112 }, max: { x: 330, y: 230 }, edge: { side: 58, top: 30, bottom: 60 }, legible: 0.82 };
/** For a still picture with names and subnets only. */
export const PICTURE: Spacing = { min: { x: 142, y: 82 }, max: { x: 200, y: 130 }, edge: { side: 52, top: 34, bottom: 56 }, legible: 0.64 };
const DENSE: Spacing = { min: { x: 76, y: 74 }, max: { x: 180, y: 140 }, edge: { side: 40, top: 30, bottom: 58 }, legible: 0 };
/** A node's body, with the two lines of text under it. */
const BODY = { half: 24, bottom: 62 };

export function layout(nodes: readonly NodeInfo[], links: readonly LinkInfo[], pane: { width: number; height: number }, spacing: Spacing = ROOMY): Drawing {
  const g = graph(nodes, links);
  const at = cells(g);
  const scale = (box: { width: number; height: number }) => Math.min(pane.width / box.width, pane.height / box.height);
  const level = [spacing, ...(spacing === ROOMY ? [BRIEF] : [])].find((l) => scale(fit(at, pane, l)) >= l.legible) ?? DENSE;
  const compact = level === DENSE;
  const brief = level !== ROOMY;
  const box = fit(at, pane, level);
  const place = (v: number): Point => {
    const p = at.get(v) ?? { x: 0, y: 0 };
    return { x: round(box.x0 + p.x * box.sx), y: round(box.y0 + p.y * box.sy) };
  };
  const index = new Map(g.ids.map((id, i) => [id, i]));
  const buses = new Map<string, Bus>();
  for (const link of links.filter(isBus)) {
    const v = index.get(hubId(link.id)) ?? -1;
    const p = place(v);
    // The bar reaches as far as what hangs straight above or below it.
    const reach = (g.near[v] ?? []).map(place).filter((q) => Math.abs(q.y - p.y) > 1).map((q) => Math.abs(q.x - p.x));
    const least = compact ? 26 : Math.max(52, 20 + 3.7 * (link.subnet ?? link.id).length);
    buses.set(link.id, { ...p, half: Math.max(least, ...reach.filter((r) => r < box.sx * 3.2).map((r) => r + 14)) });
  }
  const bodies = nodes.map((_, i) => ({ x: place(i).x, y: place(i).y + (brief ? 9 : 18), w: 60, h: brief ? 64 : 84 }));
  const bars = [...buses.values()].map((b) => ({ x: b.x, y: b.y + 8, w: b.half * 2, h: 40 }));
  const wires = g.wires.map((w) => wire(w, place(w.ends[0].vertex), place(w.ends[1].vertex), buses.get(w.link)));
  return { width: box.width, height: box.height, brief, compact, nodes: new Map(nodes.map((n, i) => [n.name, place(i)])), buses, wires: unobstructed(wires, [...bodies, ...bars], buses) };
}

const overlap = (a: Box, b: Box): boolean => Math.abs(a.x - b.x) * 2 < a.w + b.w && Math.abs(a.y - b.y) * 2 < a.h + b.h;

/** Slides each wire's middle label along it to where nothing is covered, then says which interface names still fit. */
function unobstructed(wires: readonly Wire[], solid: Box[], buses: ReadonlyMap<string, Bus>): Wire[] {
  const taken = [...solid];
  const slid = wires.map((w) => {
    if (buses.has(w.link)) return w;
    const spots = [0.5, 0.42, 0.58, 0.34, 0.66, 0.28, 0.72].map((t) => along(w, t));
    const middle = spots.find((p) => !taken.some((b) => overlap({ ...p, w: 96, h: 42 }, b))) ?? w.middle;
    taken.push({ ...middle, w: 96, h: 42 });
    return { ...w, middle };
  });
  return slid.map((w) => ({
    ...w,
    ends: w.ends.map((e) => {
      const box = { ...e.at, w: e.interface.length * 6.8, h: 13 };
      const clear = !taken.some((b) => overlap(box, b));
      if (clear) taken.push(box);
      return { ...e, clear };
    }),
  }));
}

/** The point at a share of the way along a wire. */
export function along(w: Pick<Wire, "a" | "b" | "via">, t: number): Point {
  const s = 1 - t;
  return { x: round(s * s * w.a.x + 2 * s * t * w.via.x + t * t * w.b.x), y: round(s * s * w.a.y + 2 * s * t * w.via.y + t * t * w.b.y) };
}

const round = (n: number): number => Math.round(n * 10) / 10;

/** All parts side by side, the top left corner at 0,0. */
function cells(g: ReturnType<typeof graph>): Map<number, Point> {
  const at = new Map<number, Point>();
  let x = 0;
  let tallest = 0;
  const laid = parts(g).map((part) => {
    const places = shape(g, part);
    const xs = [...places.values()].map((p) => p.x);
    const ys = [...places.values()].map((p) => p.y);
    const box = { places, left: Math.min(...xs), width: Math.max(...xs) - Math.min(...xs), top: Math.min(...ys), height: Math.max(...ys) - Math.min(...ys) };
    tallest = Math.max(tallest, box.height);
    return box;
  });
  for (const box of laid) {
    for (const [v, p] of box.places) at.set(v, { x: x + p.x - box.left, y: p.y - box.top + (tallest - box.height) / 2 });
    x += box.width + 1;
  }
  return at;
}

/** Stretches the cells to the pane within the spacing's bounds, and centres what is smaller. */
function fit(at: ReadonlyMap<number, Point>, pane: { width: number; height: number }, spacing: Spacing) {
  const { edge } = spacing;
  const spanX = Math.max(0, ...[...at.values()].map((p) => p.x));
  const spanY = Math.max(0, ...[...at.values()].map((p) => p.y));
  const clamp = (n: number, low: number, high: number) => Math.min(high, Math.max(low, n));
  const sx = clamp((pane.width - 2 * edge.side) / Math.max(spanX, 0.01), spacing.min.x, spacing.max.x);
  const sy = clamp((pane.height - edge.top - edge.bottom) / Math.max(spanY, 0.01), spacing.min.y, spacing.max.y);
  const width = Math.max(pane.width, spanX * sx + 2 * edge.side);
  const height = Math.max(pane.height, spanY * sy + edge.top + edge.bottom);
  const x0 = edge.side + (width - 2 * edge.side - spanX * sx) / 2;
  const y0 = edge.top + (height - edge.top - edge.bottom - spanY * sy) / 2;
  return { width, height, x0, y0, sx, sy };
}

function wire(w: GraphWire, from: Point, to: Point, bus: Bus | undefined): Wire {
  const target = bus ? tap(from, bus) : to;
  const length = Math.max(1, Math.hypot(target.x - from.x, target.y - from.y));
  const u = { x: (target.x - from.x) / length, y: (target.y - from.y) / length };
  const bend = (w.lane - (w.lanes - 1) / 2) * 76;
  const mid = { x: (from.x + target.x) / 2, y: (from.y + target.y) / 2 };
  const via = { x: round(mid.x - u.y * bend), y: round(mid.y + u.x * bend) };
  const middle = { x: round((mid.x + via.x) / 2), y: round((mid.y + via.y) / 2) };
  const ends = [{ ...w.ends[0], at: label(from, toward(from, via), w.ends[0].interface) }];
  if (!bus) ends.push({ ...w.ends[1], at: label(to, toward(to, via), w.ends[1].interface) });
  return { link: w.link, a: from, b: target, via, middle, ends: ends.map((e) => ({ node: e.node, interface: e.interface, at: e.at, clear: true })) };
}

function toward(from: Point, to: Point): Point {
  const d = Math.max(1, Math.hypot(to.x - from.x, to.y - from.y));
  return { x: (to.x - from.x) / d, y: (to.y - from.y) / d };
}

/** Where a wire meets the bar: straight above or below where it can, else at its end. */
function tap(from: Point, bus: Bus): Point {
  const inset = bus.half - 10;
  if (Math.abs(from.x - bus.x) <= inset) return { x: from.x, y: bus.y };
  return { x: round(bus.x + Math.sign(from.x - bus.x) * (Math.abs(from.y - bus.y) < 1 ? bus.half : inset)), y: bus.y };
}

/** The centre of an interface's name: just outside the body and its text, beside the wire. */
function label(node: Point, u: Point, text: string): Point {
  const down = u.y > 0 ? BODY.bottom : BODY.half;
  const out = Math.min(Math.abs(u.x) > 0.01 ? BODY.half / Math.abs(u.x) : Infinity, Math.abs(u.y) > 0.01 ? down / Math.abs(u.y) : Infinity);
  const half = text.length * 3.4;
  const d = out + 7 + half * Math.abs(u.x);
  // Above a level wire, right of an upright one.
  const side = Math.abs(u.x) > Math.abs(u.y) ? { x: 0, y: -9 } : { x: half + 6, y: 0 };
  return { x: round(node.x + u.x * d + side.x), y: round(node.y + u.y * d + side.y) };
}
