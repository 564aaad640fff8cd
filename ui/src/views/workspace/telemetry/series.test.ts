import { describe, expect, it } from "vitest";
import type { LinkInfo, NodeInfo, Telemetry } from "../../../gen/api";
import { carried, cpu, endpoints, latest, memory, roundTop } from "./series";

const node = (name: string): NodeInfo => ({ name, role: "router", container: "", state: "running", enter: true, interfaces: [], ports: [] });
const link: LinkInfo = { id: "a", segment: false, subnet: null, endpoints: [{ node: "r1", interface: "eth1" }, { node: "r2", interface: "eth2" }] };
const at = (s: number, loads: [string, number][]): Telemetry => ({
  run: "x", at: s * 1000,
  nodes: loads.map(([n, v]) => ({ node: n, cpu_percent: v, memory_bytes: v * 1_048_576, pids: 1 })),
  links: [{ link: "a", node: "r1", interface: "eth1", tx_bps: s, rx_bps: 2 * s, tx_pps: 0, rx_pps: 0, up: true }, { link: "a", node: "r2", interface: "eth2", tx_bps: 2 * s, rx_bps: s, tx_pps: 0, rx_pps: 0, up: true }],
});

describe("series", () => {
  it("keeps a gap where a node was not measured: no number is not zero", () => {
    const t = cpu([at(1, [["r1", 5], ["r2", 7]]), at(2, [["r1", 6]])], [node("r1"), node("r2")]);
    expect(t.columns).toEqual([[1, 2], [5, 6], [7, null]]);
    expect([latest(t, 0), latest(t, 1)]).toEqual([6, null]);
  });
  it("shows two minutes and no more", () => {
    const seconds = Array.from({ length: 300 }, (_, i) => at(i + 1, [["r1", i]]));
    expect(memory(seconds, [node("r1")]).columns[0]).toHaveLength(120);
    expect(latest(memory(seconds, [node("r1")]), 0)).toBe(299);
  });
  it("counts on a link what was sent, and at an endpoint both", () => {
    expect(carried([at(10, [])], [link]).columns).toEqual([[10], [30]]);
    const t = endpoints([at(10, [])], link);
    expect(t.labels).toEqual(["r1:eth1 tx", "r1:eth1 rx", "r2:eth2 tx", "r2:eth2 rx"]);
    expect(t.columns.slice(1)).toEqual([[10], [20], [20], [10]]);
  });
  it("is empty without telemetry", () => {
    expect(cpu([], [node("r1")]).columns).toEqual([[], []]);
  });
  it("ends a scale at a round number whose half is round", () => {
    expect([4, 8.2, 16, 51, 713e3, 1e6].map(roundTop)).toEqual([4, 10, 20, 60, 800e3, 1e6]);
  });
});
