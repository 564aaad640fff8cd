import { describe, expect, it } from "vitest";
import type { LinkInfo, LinkLoad } from "../../../gen/api";
import { flows, pace, thickness } from "./rates";

const link: LinkInfo = { id: "a", segment: false, subnet: null, endpoints: [{ node: "r1", interface: "eth1" }, { node: "r2", interface: "eth1" }] };
const load = (node: string, tx: number, rx: number, up = true): LinkLoad => ({ link: "a", node, interface: "eth1", tx_bps: tx, rx_bps: rx, tx_pps: 0, rx_pps: 0, up });

describe("rates", () => {
  it("counts a bit once: what was sent, not also what was received", () => {
    const flow = flows([link], { run: "r", at: 0, nodes: [], links: [load("r1", 800, 200), load("r2", 200, 800)] }).get("a");
    expect(flow?.bits).toBe(1000);
    expect(flow?.sent.get("r1 eth1")).toBe(800);
    expect(flow?.cut).toEqual([]);
  });
  it("names the end that is down", () => {
    expect(flows([link], { run: "r", at: 0, nodes: [], links: [load("r1", 0, 0), load("r2", 0, 0, false)] }).get("a")?.cut).toEqual(["r2 eth1"]);
  });
  it("knows nothing without telemetry", () => {
    expect(flows([link], null).size).toBe(0);
    expect(flows([link], { run: "r", at: 0, nodes: [], links: [] }).has("a")).toBe(false);
  });
  it("is still for silence and grows with the rate", () => {
    expect(pace(0)).toBe(0);
    expect([500, 50_000, 9_000_000].map(pace)).toEqual([1, 2, 3]);
    const widths = [0, 1e3, 1e5, 1e7, 1e12].map(thickness);
    expect(widths).toEqual([...widths].sort((x, y) => x - y));
    expect(widths.at(-1)).toBe(6);
  });
});
