/** Labs in number or of one text: what the size of things and the hostility of texts are tried with. */
import type { Role } from "../../gen/api";
import { criterion, lab, net, objective, type FakeLab } from "./data";

const TRACKS = ["netplus", "ccna", "cissp"] as const;
const TOPICS = ["vlan", "trunk", "ospf", "bgp", "acl", "nat", "dns", "dhcp", "ssh", "tls", "ipsec", "snmp"];
const ROLES: Role[] = ["router", "switch", "server", "client"];

/** A hundred labs; the first has twenty-five nodes in a tree of switches. */
export function crowd(): FakeLab[] {
  return Array.from({ length: 100 }, (_, i) => {
    const topic = TOPICS[i % TOPICS.length] ?? "vlan";
    const nodes: [string, Role][] = Array.from({ length: i === 0 ? 25 : 3 + (i % 6) }, (_, n) => [`n${n + 1}`, ROLES[n % ROLES.length] ?? "client"]);
    const links = nodes.slice(1).map(([name], n): [string, string[], string] => {
      const up = nodes[Math.floor(n / 3)]?.[0] ?? "n1";
      return [`${up}-${name}`, [up, name], `10.${i}.${n}.0/30`];
    });
    return {
      summary: lab({
        id: `crowd-${String(i).padStart(3, "0")}`, track: TRACKS[i % 3] ?? "ccna", tier: i % 4 ? "core" : "advanced", title: `${topic.toUpperCase()} exercise ${i + 1}`, minutes: 15 + (i % 7) * 10, nodes: nodes.length,
        summary: `Set up ${topic} between ${nodes.length} nodes and show that it holds when a link is cut.`, topics: [topic, TOPICS[(i + 5) % TOPICS.length] ?? "dns"],
        objectives: [objective("200-301", `${1 + (i % 6)}.${1 + (i % 9)}`, `Configure and verify ${topic}`)],
      }),
      topology: net(nodes, links),
      criteria: Array.from({ length: 12 }, (_, n) => criterion(`c${n}`, `Criterion ${n + 1} of ${topic} holds`, 10)),
      expected: Array.from({ length: 12 }, (_, n) => ({ expected: `10.${i}.${n}.1 answers`, seen: `10.${i}.${n}.1 is silent`, advice: "Look at the neighbour’s interface." })),
      guide: `<h1>${topic}</h1>${Array.from({ length: 20 }, (_, n) => `<h2>${n + 1}. Step</h2><p>Look, then change one thing.</p><pre data-node="n1" data-language="sh"><code>ip a\n</code></pre>`).join("")}`,
    };
  });
}

/** One lab for each text, in which every word of an author is that text; nodes and segments are named by it as well. */
export function allOf(texts: readonly string[], guide: string): FakeLab[] {
  return texts.map((text, i) => ({
    summary: lab({ id: `t${i}-${text}`.slice(0, 60), track: text, tier: text, title: text, summary: text, topics: [text], objectives: [objective(text, text, text)], blockers: i % 2 ? [text] : [], ready: i % 2 === 0, version: text }),
    topology: net([[text, "router"], [`${text}2`, "server"], [`${text}3`, "client"]], [[text, [text, `${text}2`], text], [`${text}b`, [text, `${text}2`, `${text}3`], text]]),
    criteria: [criterion(text, text, 10), criterion("b", text, 10, true)],
    expected: [{ expected: text, seen: text, advice: text }, { expected: text, seen: text, advice: text }],
    guide,
  }));
}
