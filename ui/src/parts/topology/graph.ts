/** The lab as a graph: nodes, and a hub for each segment, so that a wire always has two ends. */
import type { LinkInfo, NodeInfo } from "../../gen/api";

export interface Graph {
  /** Vertices: the nodes in the template's order, then one per segment. */
  ids: readonly string[];
  near: readonly (readonly number[])[];
  wires: readonly GraphWire[];
}

/** One line to draw. `ends[1].interface` is empty where the wire ends at a segment's bus. */
export interface GraphWire {
  link: string;
  ends: readonly [WireEnd, WireEnd];
  /** Position among wires between the same two vertices, and how many there are. */
  lane: number;
  lanes: number;
}

export interface WireEnd {
  vertex: number;
  node: string;
  interface: string;
}

export const isBus = (link: LinkInfo): boolean => link.segment || link.endpoints.length !== 2;

/** A hub never collides with a node's name: names hold no space. */
export const hubId = (link: string): string => `bus ${link}`;

export function graph(nodes: readonly NodeInfo[], links: readonly LinkInfo[]): Graph {
  const ids = [...nodes.map((n) => n.name), ...links.filter(isBus).map((l) => hubId(l.id))];
  const index = new Map(ids.map((id, i) => [id, i]));
  const near: number[][] = ids.map(() => []);
  const wires: { link: string; ends: [WireEnd, WireEnd] }[] = [];
  for (const link of links) {
    const ends = link.endpoints.flatMap((e) => {
      const vertex = index.get(e.node);
      return vertex === undefined ? [] : [{ vertex, node: e.node, interface: e.interface }];
    });
    const hub = index.get(hubId(link.id));
    if (hub !== undefined) for (const end of ends) wires.push({ link: link.id, ends: [end, { vertex: hub, node: "", interface: "" }] });
    else if (ends[0] && ends[1]) wires.push({ link: link.id, ends: [ends[0], ends[1]] });
  }
  const lanes = new Map<string, number>();
  const key = (w: { ends: [WireEnd, WireEnd] }) => [w.ends[0].vertex, w.ends[1].vertex].sort((a, b) => a - b).join();
  const placed = wires.map((w) => {
    const lane = lanes.get(key(w)) ?? 0;
    lanes.set(key(w), lane + 1);
    if (lane === 0 && w.ends[0].vertex !== w.ends[1].vertex) {
      near[w.ends[0].vertex]?.push(w.ends[1].vertex);
      near[w.ends[1].vertex]?.push(w.ends[0].vertex);
    }
    return { ...w, lane };
  });
  return { ids, near, wires: placed.map((w) => ({ ...w, lanes: lanes.get(key(w)) ?? 1 })) };
}

/** Connected parts, each in the order of its vertices. */
export function parts(g: Graph): number[][] {
  const seen = new Set<number>();
  const out: number[][] = [];
  for (let start = 0; start < g.ids.length; start += 1) {
    if (seen.has(start)) continue;
    const part: number[] = [];
    const queue = [start];
    seen.add(start);
    for (let v = queue.shift(); v !== undefined; v = queue.shift()) {
      part.push(v);
      for (const n of g.near[v] ?? []) if (!seen.has(n)) {
        seen.add(n);
        queue.push(n);
      }
    }
    out.push(part.sort((a, b) => a - b));
  }
  return out;
}
