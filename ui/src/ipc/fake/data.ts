/** What the fake engine knows: three labs and a history. Values are made up; shapes are the contract's. */
import type { CriterionInfo, EgressState, ImageInfo, LabSummary, LinkInfo, NodeInfo, Objective, QuotaReport, ResultSummary, Role, Topology } from "../../gen/api";

const hex = (text: string): string => {
  let h = 0x811c9dc5;
  let out = "";
  for (const c of text) h = Math.imul(h ^ c.charCodeAt(0), 0x01000193) >>> 0;
  for (let i = 0; out.length < 64; i += 1) {
    h = Math.imul(h ^ text.charCodeAt(i % text.length), 0x01000193) >>> 0;
    out += h.toString(16).padStart(8, "0");
  }
  return out.slice(0, 64);
};

export interface FakeLab {
  summary: LabSummary;
  topology: Topology;
  criteria: CriterionInfo[];
  expected: { expected: string; seen: string; advice: string }[];
  guide: string;
  /** The way out of labs that have one. */
  egress?: EgressState;
}

export function net(nodes: [string, Role][], links: [string, string[], string, boolean?][]): Topology {
  const infos: NodeInfo[] = nodes.map(([name, role]) => ({ name, role, container: "", state: "absent", enter: role !== "attacker", interfaces: [], ports: name === "www" ? [{ port: 80, label: "web page" }] : [] }));
  const list: LinkInfo[] = links.map(([id, ends, subnet, segment]) => ({
    id, subnet, segment: segment ?? ends.length > 2,
    endpoints: ends.map((name, i) => {
      const node = infos.find((n) => n.name === name);
      const iface = `eth${node?.interfaces.length ?? 0}`;
      node?.interfaces.push({ name: iface, link: id, addresses: [subnet.replace(/\.\d+\/(\d+)$/, `.${i + 1}/$1`)] });
      return { node: name, interface: iface };
    }),
  }));
  return { nodes: infos, links: list };
}

export const objective = (exam: string, id: string, text: string): Objective => ({ exam, id, text });
export const lab = (s: Partial<LabSummary> & Pick<LabSummary, "id" | "track" | "tier" | "title" | "summary" | "objectives">): LabSummary => ({
  origin: "built_in", topics: [], minutes: 30, version: "1.0.0", digest: hex(s.id), nodes: 4, ready: true, blockers: [], best: null, last_run: null, active_run: null, ...s,
});
export const criterion = (id: string, title: string, weight: number, disturbs = false): CriterionInfo => ({ id, title, weight, disturbs });

export function makeLabs(now: number): FakeLab[] {
  const day = 86_400_000;
  return [
    {
      summary: lab({
        id: "dns-zone-reverse", track: "netplus", tier: "core", title: "DNS zone and reverse", minutes: 30, nodes: 4,
        summary: "Publish a zone on BIND, add its reverse zone, and hand it to a secondary that keeps answering when the primary is gone.",
        topics: ["dns", "bind", "ptr", "zone transfer"],
        objectives: [objective("N10-009", "3.4", "Implement DNS records and zone types"), objective("N10-009", "5.5", "Troubleshoot name resolution")],
        best: { score: 85_000, max: 100_000 }, last_run: now - 2 * day,
      }),
      topology: net([["client", "client"], ["ns1", "server"], ["ns2", "server"], ["www", "server"]], [["lan", ["client", "ns1", "ns2", "www"], "10.20.30.0/24"]]),
      criteria: [criterion("a", "www resolves to its address", 25), criterion("ptr", "The address resolves back", 25), criterion("axfr", "Only ns2 may transfer the zone", 20), criterion("survive", "ns2 answers while ns1 is down", 30, true)],
      expected: [
        {
          expected: ["acorn", "granite", "mail", "www"].map((n, i) => `10.20.30.2 answers ${n}.hoarfrost.lab A with exactly 10.20.30.${i + 4}, authoritatively`).join("; "),
          seen: ["acorn", "granite", "mail", "www"].map((n, i) => `10.20.30.2 answers ${n}.hoarfrost.lab A with 10.20.30.${i + 4}, authoritatively`).join("; "), advice: "",
        },
        { expected: "PTR www.hoarfrost.lab.", seen: "NXDOMAIN from ns1", advice: "The reverse zone is not loaded. Look at named.conf on ns1, then at rndc status." },
        { expected: "transfer refused for client", seen: "transfer of 9 records to client", advice: "allow-transfer is open to all; name ns2’s address in it." },
        { expected: "answer from ns2 within 2 s", seen: "SERVFAIL from ns2", advice: "ns2 has no copy of the zone. Look at its log for the transfer." },
      ],
      guide: "<h1>DNS zone and reverse</h1><p>Your company has bought <code>hoarfrost.lab</code>. <strong>ns1</strong> is to be its primary name server, <strong>ns2</strong> the secondary.</p><h2>1. Publish the zone</h2><p>On <code>ns1</code>, write the zone file and declare it:</p><pre data-language=\"named\"><code class=\"language-named\">zone \"hoarfrost.lab\" {\n    type primary;\n    file \"/etc/bind/db.hoarfrost.lab\";\n};</code></pre><p>Give <code>www</code> the address <code>10.20.30.4</code>, then reload:</p><pre data-node=\"ns1\" data-language=\"sh\"><code>rndc reload\ndig @10.20.30.2 www.hoarfrost.lab +short</code></pre><h2>2. Name the way back</h2><p>Add the reverse zone <code>30.20.10.in-addr.arpa</code> with a PTR record for each host.</p><h2>3. Share it with ns2</h2><ul><li>Only ns2 may transfer the zone.</li><li>A change on ns1 reaches ns2 within seconds.</li></ul>",
    },
    {
      summary: lab({
        id: "ospf-single-area", track: "ccna", tier: "core", title: "OSPF single area", minutes: 45, nodes: 5,
        summary: "Bring up OSPF on four FRR routers in a ring, choose the path by cost, and prove it to a peer you cannot see into.",
        topics: ["ospf", "routing", "frr", "cost"],
        objectives: [objective("200-301", "3.4", "Configure and verify single-area OSPFv2"), objective("200-301", "3.1", "Interpret the routing table")],
        best: { score: 100_000, max: 100_000 }, last_run: now - 3 * 3_600_000,
      }),
      topology: net([["r1", "router"], ["r2", "router"], ["r3", "router"], ["r4", "router"], ["judge", "aux"]], [["r1-r2", ["r1", "r2"], "10.0.12.0/30"], ["r2-r3", ["r2", "r3"], "10.0.23.0/30"], ["r3-r4", ["r3", "r4"], "10.0.34.0/30"], ["r4-r1", ["r4", "r1"], "10.0.41.0/30"], ["r3-judge", ["r3", "judge"], "10.0.99.0/30"]]),
      criteria: [criterion("adjacency", "All four adjacencies are Full", 30), criterion("reach", "Every loopback answers from every router", 30), criterion("cost", "r1 reaches r3 through r2", 20), criterion("judge", "The peer learns every prefix", 10), criterion("failover", "A cut link is routed around within 5 s", 10, true)],
      expected: [
        { expected: "4 neighbours in state Full", seen: "4 neighbours in state Full", advice: "" },
        { expected: "12 of 12 pings answered", seen: "9 of 12 pings answered", advice: "r4 has no route to 10.0.23.0/30. Look at its OSPF neighbours." },
        { expected: "next hop 10.0.12.2 on r1", seen: "two equal paths: 10.0.12.2, 10.0.41.1", advice: "Both ways cost the same. Raise the cost of r1’s link to r4." },
        { expected: "4 prefixes on the peer", seen: "2 prefixes on the peer: 10.0.23.0/30, 10.0.34.0/30", advice: "Only what r3 is connected to is announced. Look at r3’s neighbours." },
        { expected: "loss ≤ 5 s when r1–r2 is cut", seen: "loss for 12 s", advice: "No second way was known when the link went down." },
      ],
      guide: "<h1>OSPF single area</h1><p>Four routers form a ring. Nothing is routed yet.</p><h2>1. Start OSPF</h2><pre data-node=\"r1\" data-language=\"sh\"><code>vtysh\nconfigure terminal\nrouter ospf\n network 10.0.0.0/8 area 0</code></pre><h2>2. Watch the neighbours</h2><pre data-node=\"r1\" data-language=\"sh\"><code>show ip ospf neighbor</code></pre><p>The state goes from <code>Init</code> over <code>ExStart</code> to <code>Full</code>.</p><table><tr><th>State</th><th>Meaning</th></tr><tr><td>2-Way</td><td>Hellos seen in both directions</td></tr><tr><td>Full</td><td>The databases agree</td></tr></table><h2>3. Prefer r2</h2><p>Traffic from r1 to r3 should pass r2. Use the interface cost.</p>",
    },
    {
      summary: lab({
        id: "ssh-hardening", track: "cissp", tier: "advanced", title: "Hardening SSH while it is under attack", minutes: 25, nodes: 3,
        summary: "Close an SSH server to a live attacker without locking out the people who need it.",
        topics: ["ssh", "hardening", "access control"],
        objectives: [objective("CISSP", "5.2", "Design identification and authentication strategy"), objective("CISSP", "7.7", "Operate detection and preventative measures")],
        ready: false, blockers: ["Image forge/tools is not prepared yet."],
      }),
      topology: net([["admin", "learner"], ["bastion", "server"], ["mallory", "attacker"]], [["dmz", ["admin", "bastion", "mallory"], "172.18.7.0/24"]]),
      criteria: [criterion("keys", "Passwords are refused", 30), criterion("root", "root cannot log in", 20), criterion("attack", "The attacker’s 200 tries all fail", 30), criterion("access", "admin still gets in with the key", 20)],
      expected: [
        { expected: "publickey only", seen: "publickey,password", advice: "PasswordAuthentication is still on." },
        { expected: "root refused", seen: "root refused", advice: "" },
        { expected: "0 of 200 tries succeed", seen: "0 of 200 tries succeed", advice: "" },
        { expected: "exit 0 from admin", seen: "exit 0 from admin", advice: "" },
      ],
      egress: { profile: "package-updates", allow: [{ names: ["deb.debian.org", "security.debian.org"], ports: ["tcp/80", "tcp/443"] }], dropped: 3, reasons: { private: 2, name: 1 } },
      guide: "<h1>SSH hardening</h1><p><strong>mallory</strong> is trying passwords on <code>bastion</code> right now.</p>",
    },
  ];
}

export function makeImages(): ImageInfo[] {
  const image = (name: string, purpose: string, ready: boolean, mb: number, labs: string[]): ImageInfo => ({
    name: `forge/${name}`, purpose, ready, reason: ready ? "" : "Never built on this machine.", digest: ready ? `sha256:${hex(name)}` : null, bytes: ready ? mb * 1_048_576 : null, labs,
  });
  return [
    image("host", "An end station: shell, ping, dig, curl", true, 112, ["dns-zone-reverse", "ospf-single-area"]),
    image("router", "FRR: OSPF, BGP, static routes, nftables", true, 168, ["ospf-single-area"]),
    image("server", "BIND, nginx, sshd", true, 151, ["dns-zone-reverse", "ssh-hardening"]),
    image("tools", "nmap, hydra, tcpdump for attackers and analysts", false, 0, ["ssh-hardening"]),
  ];
}

export function makeResults(now: number): ResultSummary[] {
  const day = 86_400_000;
  const rows: [string, string, string, number, number, number][] = [
    ["ospf-single-area", "OSPF single area", "ccna", 3 / 24, 100_000, 31],
    ["dns-zone-reverse", "DNS zone and reverse", "netplus", 2, 85_000, 24],
    ["ospf-single-area", "OSPF single area", "ccna", 5, 80_000, 44],
    ["dns-zone-reverse", "DNS zone and reverse", "netplus", 9, 45_000, 30],
    ["ospf-single-area", "OSPF single area", "ccna", 12, 30_000, 45],
  ];
  return rows.map(([lab, lab_title, track, days, score, minutes], i) => ({
    id: hex(`${lab}${days}`), run: `q7d2k9xm${i}a`, lab, lab_title, track, version: "1.0.0", at: now - days * day, score, max: 100_000, duration_ms: minutes * 60_000 + 7_000 * i,
    tier: i === 1 ? "instructor-seeded" : "self-attested", established: null, key_id: "SHA256:9f2c41d07be8", dir: `/home/ada/.local/share/forge/results/q7d2k9xm${i}a`,
  }));
}

/** Stands in for the engine's charts. */
export function chart(values: readonly number[], label: string, dark: boolean): string {
  const [bg, ink, line, grid] = dark ? ["#171c22", "#aab6c3", "#7fb2d9", "#262e38"] : ["#fbfcfd", "#43505e", "#215f8f", "#dbe2e9"];
  const max = Math.max(1, ...values);
  const at = values.map((v, i) => [48 + (i / Math.max(1, values.length - 1)) * 500, 150 - (v / max) * 110]);
  const rows = [40, 95, 150].map((y) => `<line x1="48" x2="548" y1="${y}" y2="${y}" stroke="${grid}"/>`).join("");
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 580 180" font-family="sans-serif" font-size="11"><rect width="580" height="180" fill="${bg}"/>${rows}<text x="48" y="20" fill="${ink}">${label}</text><polyline fill="none" stroke="${line}" stroke-width="2" points="${at.map((p) => p.join(",")).join(" ")}"/>${at.map((p) => `<circle cx="${p[0]}" cy="${p[1]}" r="3.5" fill="${line}"/>`).join("")}</svg>`;
}

export const openssl = "openssl pkeyutl -verify -pubin -inkey verdict.pub.pem -rawin -in verdict.pae -sigfile verdict.sig";

const row = (id: string, title: string, machine: boolean, used: number, limit: number, unit = "") => ({ id, title, machine, used, limit, unit });

export const QUOTA: QuotaReport = {
  subject: "local", tenant: "local", mode: "practice", plan: "practice", plan_from: "no plan is set: this machine’s own size is the limit",
  billing: { gateway: false, detail: "stub: nobody is asked and nothing is charged", url: null, key_id: null, charges: [] },
  blocked: null,
  rows: [row("runs", "Labs at once", false, 1, 16), row("memory", "Memory promised", false, 512, 6144, "MiB"), row("pids", "Processes promised", true, 1024, 16384)],
  runs: [], disk: { free_mb: 50_000, floor_mb: 1024 }, holders: [], blocks: [],
};
