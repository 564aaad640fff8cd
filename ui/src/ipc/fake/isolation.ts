/** What a proof of isolation finds in a sound lab. */
import type { Isolation, IsolationRow } from "../../gen/api";

const WAYS: [string, string[]][] = [
  ["IP", ["TCP to the gateway of a Docker bridge", "UDP to the gateway of a Docker bridge", "The host’s address on its LAN", "The host’s address on docker0", "The gateway of another Docker bridge", "A port that the host publishes for a container", "An address of the internet", "A machine on another network of the host", "The metadata service of clouds, 169.254.169.254", "Docker Desktop’s 192.168.65.254 and host.docker.internal", "Data inside ICMP echo", "Broadcast and multicast", "SCTP, GRE and IPIP"]],
  ["DNS", ["A question to Docker’s resolver, 127.0.0.11", "Data in TXT questions to whichever resolver is named", "DNS over TCP", "A question straight to a public resolver", "DNS over HTTPS", "mDNS and LLMNR", "A name in the search domain, through the C library"]],
  ["IPv6", ["The link-local address of a Docker bridge", "All nodes of the link, ff02::1", "An outside router asked for a prefix (SLAAC)", "A rogue router advertisement outwards", "IPv6 inside IPv4 (6in4)", "An IPv4-mapped IPv6 address"]],
  ["Link layer and raw", ["ARP that claims the host’s addresses", "A raw frame to a bridge’s MAC address", "One-way UDP to another of the host’s addresses (weak host)", "A frame with a VLAN tag", "Somebody else’s MAC and IP addresses", "STP and LLDP outwards", "A macvlan child of the interface", "A default route of one’s own"]],
  ["Lab and daemon", ["A node of another lab", "Through a neighbour with a leg in two networks", "Docker’s socket, and its ports 2375 and 2376", "A socket to the hypervisor’s host (AF_VSOCK)", "An abstract Unix socket of the host", "After a firewall is flushed, as a restart of dockerd does: nothing may rest on rules"]],
];

const row = (id: string, group: string, technique: string, detail: string): IsolationRow => ({ id, group, technique, control: true, escaped: false, detail });

export const proof = (): IsolationRow[] =>
  WAYS.flatMap(([group, ways]) => ways.map((w, i) => row(`${group}-${i}`, group, w, "control heard by the host; from the lab nobody heard it (No route to host)")));

export const quick = (): IsolationRow[] => [
  row("node-interfaces", "By construction", "An interface of a node that is no link of the lab", "4 nodes hold their 9 wired interfaces and nothing that leads elsewhere"),
  row("node-routes", "By construction", "A node’s default route that leads out of the lab", "4 nodes looked at; every default route stays in the lab"),
  row("fabric-interfaces", "By construction", "An end of a link outside the lab’s own namespaces", "the fabric holds its 14 bridges and ports and nothing else"),
  row("fabric-routes", "By construction", "A way on from the lab’s bridges", "the fabric has no default route"),
  row("own-namespaces", "By construction", "A network namespace shared with the host or another node", "5 namespaces, each its own"),
  row("kernel-answers", "By construction", "An ICMP message that the host’s own kernel sends for a node", "the host’s packet filter refuses it as long as labs run"),
];

export function isolated(full = false): Isolation {
  const at = Date.now();
  const tried = full ? " 40 ways out tried: none led out, every control worked." : "";
  return { state: "isolated", detail: `No interface, route or namespace leads out of the lab.${tried}`, at, quick: quick(), full: full ? { at, ms: 9_400, rows: proof() } : null };
}
