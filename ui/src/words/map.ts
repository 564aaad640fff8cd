/** What the map, its list and its menus say. */
import type { InterfaceInfo, NodeInfo, NodeState, Role } from "../gen/api";

export const ROLE: Record<Role, string> = {
  learner: "your machine",
  router: "router",
  server: "server",
  switch: "switch",
  attacker: "attacker",
  defender: "defender",
  aux: "helper node",
  client: "client",
  gateway: "egress gateway",
};

export const NODE_STATE: Record<NodeState, string> = {
  absent: "waiting",
  created: "starting",
  running: "running",
  paused: "paused",
  rewiring: "rewiring",
  exited: "exited",
};

export const MAP = {
  name: "Map of the lab",
  empty: "No nodes yet",
  emptyText: "The map draws itself as the lab starts.",
  tools: "Map view",
  help: "Arrow keys move between nodes and links, Enter opens, Shift+F10 shows actions.",
  zoomIn: "Zoom in",
  zoomOut: "Zoom out",
  fit: "Fit the whole map",
  asList: "Show as a list",
  asMap: "Show as a map",
  nodes: "Nodes",
  links: "Links",
  node: "Node",
  role: "Role",
  state: "State",
  addresses: "Interfaces",
  link: "Link",
  between: "Between",
  subnet: "Subnet",
  rate: "Rate",
  terminal: "Open terminal",
  restart: "Restart node",
  forward: "Forward a port…",
  forwardTo: (port: number, label: string) => `Forward port ${port}${label ? ` · ${label}` : ""}`,
  forwardTitle: (node: string) => `Forward a TCP port of ${node}`,
  forwardText: "The port becomes reachable on 127.0.0.1 of this machine, inbound only, until you close it.",
  port: "TCP port (1–65535)",
  forwardGo: "Forward",
  cancel: "Cancel",
  closed: "no terminal here",
  down: "down",
  actions: (node: string) => `Actions for ${node}`,
  capture: (link: string) => `Look at ${link}`,
} as const;

export const addressOf = (i: InterfaceInfo): string => (i.addresses.length ? `${i.name} ${i.addresses.join(", ")}` : i.name);

/** Spoken names begin with what is drawn, so that a voice command for what one sees finds it. */
export function nodeName(node: NodeInfo): string {
  const parts = [`${node.name} ${NODE_STATE[node.state]}`, ROLE[node.role]];
  if (!node.enter) parts.push(MAP.closed);
  if (node.interfaces.length) parts.push(node.interfaces.map(addressOf).join(" · "));
  return parts.join(", ");
}

export function linkName(id: string, ends: readonly string[], shown: string, cut: readonly string[]): string {
  const parts = [shown, `link ${id}`, `between ${ends.join(", ")}`];
  if (cut.length) parts.push(`down at ${cut.join(", ")}`);
  return parts.join(", ");
}
