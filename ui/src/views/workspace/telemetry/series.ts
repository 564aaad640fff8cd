/** Columns for the charts out of seconds of telemetry: times in s, then one column per series, null where not measured. */
import type { LinkInfo, NodeInfo, Telemetry } from "../../../gen/api";

export const WINDOW_S = 120;

export interface Table {
  labels: readonly string[];
  /** The first column is Unix seconds. */
  columns: (number | null)[][];
}

function table(seconds: readonly Telemetry[], labels: readonly string[], value: (t: Telemetry, i: number) => number | undefined): Table {
  const last = seconds.at(-1)?.at ?? 0;
  const shown = seconds.filter((t) => t.at > last - WINDOW_S * 1000);
  return { labels, columns: [shown.map((t) => t.at / 1000), ...labels.map((_, i) => shown.map((t) => value(t, i) ?? null))] };
}

export function cpu(seconds: readonly Telemetry[], nodes: readonly NodeInfo[]): Table {
  return table(seconds, nodes.map((n) => n.name), (t, i) => t.nodes.find((l) => l.node === nodes[i]?.name)?.cpu_percent);
}

/** MiB. */
export function memory(seconds: readonly Telemetry[], nodes: readonly NodeInfo[]): Table {
  return table(seconds, nodes.map((n) => n.name), (t, i) => {
    const bytes = t.nodes.find((l) => l.node === nodes[i]?.name)?.memory_bytes;
    return bytes === undefined ? undefined : bytes / 1_048_576;
  });
}

/** Bits per second carried by each link: what its endpoints sent. */
export function carried(seconds: readonly Telemetry[], links: readonly LinkInfo[]): Table {
  return table(seconds, links.map((l) => l.id), (t, i) => {
    const loads = t.links.filter((l) => l.link === links[i]?.id);
    return loads.length ? loads.reduce((sum, l) => sum + l.tx_bps, 0) : undefined;
  });
}

/** Bits per second at each endpoint of one link: tx is what its node sends. */
export function endpoints(seconds: readonly Telemetry[], link: LinkInfo): Table {
  const ends = link.endpoints;
  const labels = ends.flatMap((e) => [`${e.node}:${e.interface} tx`, `${e.node}:${e.interface} rx`]);
  return table(seconds, labels, (t, i) => {
    const end = ends[Math.floor(i / 2)];
    const load = t.links.find((l) => l.link === link.id && l.node === end?.node && l.interface === end.interface);
    if (!load) return undefined;
    return i % 2 === 0 ? load.tx_bps : load.rx_bps;
  });
}

/** The least round number that is no less: its half, which is drawn too, is round as well. */
export function roundTop(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 4, 6, 8, 10].find((n) => n * power >= value) ?? 10) * power;
}

/** The newest number of a column, or null. */
export const latest = (t: Table, series: number): number | null => t.columns[series + 1]?.at(-1) ?? null;
