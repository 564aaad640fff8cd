/** Traffic per link out of one second of telemetry. A link carries what its endpoints send. */
import type { LinkInfo, LinkLoad, Telemetry } from "../../../gen/api";

export interface Flow {
  /** Bits per second sent by all endpoints together. */
  bits: number;
  /** Bits per second by sending endpoint, keyed `node interface`. */
  sent: ReadonlyMap<string, number>;
  /** Bits per second by receiving endpoint. */
  received: ReadonlyMap<string, number>;
  /** Endpoints whose interface is down, as `node interface`. */
  cut: readonly string[];
}

export const endKey = (node: string, iface: string): string => `${node} ${iface}`;

/** Absent where nothing was measured: no number is not zero. */
export function flows(links: readonly LinkInfo[], telemetry: Telemetry | null): ReadonlyMap<string, Flow> {
  const by = new Map<string, LinkLoad[]>();
  for (const load of telemetry?.links ?? []) {
    const list = by.get(load.link);
    if (list) list.push(load);
    else by.set(load.link, [load]);
  }
  const out = new Map<string, Flow>();
  for (const link of links) {
    const loads = by.get(link.id);
    if (!loads) continue;
    out.set(link.id, {
      bits: loads.reduce((sum, l) => sum + l.tx_bps, 0),
      sent: new Map(loads.map((l) => [endKey(l.node, l.interface), l.tx_bps])),
      received: new Map(loads.map((l) => [endKey(l.node, l.interface), l.rx_bps])),
      cut: loads.filter((l) => !l.up).map((l) => endKey(l.node, l.interface)),
    });
  }
  return out;
}

/** Line width in pixels: one step per power of ten, so that a trickle and a flood both show. */
export function thickness(bits: number): number {
  return bits < 1 ? 1.5 : Math.min(6, 1.5 + Math.max(0, Math.log10(bits) - 2) * 0.75);
}

/** How fast the marks on a busy wire move: 0 stands still, then three speeds. */
export function pace(bits: number): 0 | 1 | 2 | 3 {
  if (bits < 100) return 0;
  return bits < 20_000 ? 1 : bits < 2_000_000 ? 2 : 3;
}
