/** Gates, decisions and the audit log of the fake engine. Texts are those of the real policies; the answers are made up. */
import type { AuditEntry, AuditReport, Decision, DecisionDetail, GateAnswer, GateInfo, ListAudit, ListDecisions } from "../../gen/api";
import { HostError } from "../host";

const DIGEST = "d1d71c5b0d7f0c2c0f3a6a4a1a5b9a3c7f4e8b6d2c9a1e5f3b7d8c6a4e2f1b0d";
const TEMPLATE = { id: "ospf-single-area", version: "1.0.0", digest: "ab".repeat(32), pin: "ab".repeat(32) };
const SPAWN = { mode: "practice", plan: null, subject: "local", tenant: "local", track: "ccna", tier: "foundation", template: TEMPLATE };
const TRAINING = { track: "ccna", attacker_max_exploits: 0, egress: { mode: "deny" }, approved_profiles: [] };
const QUOTA = {
  mode: "practice", plan: null, blocked: false, request: { cpu: 2, memory_mb: 640 }, machine: { cpus: 2, memory_mb: 8192 },
  usage: { today: 3, last_minute: 1, concurrent: 1, cpu: 2, memory_mb: 640 }, machine_usage: { memory_mb: 640 },
};
const CAPABILITIES = { track: "ccna", tier: "foundation", nodes: [{ name: "r1", role: "router", caps: ["NET_ADMIN", "NET_RAW", "SYS_ADMIN"], seccomp: "router" }] };

const gate = (name: string, asks: string, input: string, cases: number, example: unknown, rules: string[]): GateInfo => ({
  name, asks, input, cases, example, rules,
  source: `# ${asks}\n# input: ${input}\npackage frostgate.forge.${name}\n\nimport rego.v1\n\ndefault allow := false\n\nallow if count(reasons) == 0\n\ndecision := {"allow": allow, "reasons": reasons}\n`,
});

export const GATES: GateInfo[] = [
  gate("spawn", "May this lab be started for this subject?", "mode (practice | plan), plan, subject, tenant, track, tier, template {id, version, digest, pin}", 70, SPAWN, [
    "It must be known whether this machine is used for practice or under a plan.", "There is no track named “…”; known are netplus, ccna and cissp.", "There is no tier named “…”.",
    "Nobody is named as the one who starts this lab.", "Labs of tier … are not part of the … plan.", "The lab's files are not those that were pinned for this version; a changed lab needs a new version.",
  ]),
  gate("training", "Does the lab keep to what its track may do? (Asked at intake and again when it is launched.)", "track, attacker_max_exploits, egress {mode, profile}, approved_profiles", 17, TRAINING, [
    "For the track “…” there are no training rules.", "An attacker may run at most … exploits in a lab of the … track; this one allows ….", "A lab must be closed to the outside (egress: deny) or open to an approved list only.",
  ]),
  gate("quota", "Is there room for one more run?", "mode (practice | plan), plan, blocked, request {cpu, memory_mb}, machine {cpus, memory_mb}, usage {today, last_minute, concurrent, cpu, memory_mb}, machine_usage {memory_mb}", 70, QUOTA, [
    "It cannot be told what is in use, so nothing more is started.", "… labs are alive already, and … at once are allowed here. Stop one first.", "… labs were started within a minute; wait a little.",
    "The lab needs … MiB of memory; with those that are alive that would be … of the … MiB allowed here.",
  ]),
  gate("capabilities", "Which Linux capabilities may the lab's nodes have?", "track, tier, nodes [{name, role, caps, seccomp}] (caps: all the node gets, without CAP_)", 46, CAPABILITIES, [
    "Node … asks for …, which no lab node ever gets: it reaches beyond the container.", "Node … may have SYS_ADMIN only together with the router's seccomp profile.", "Node … asks for …, which a node of role … in the … track does not get.",
  ]),
  gate("action", "May this actor do this in a run?", "actor {subject, role}, action {name, class, command}, spent (points used in this run so far)", 42, { actor: { subject: "learner", role: "learner" }, action: { name: "check", class: "read_only", command: "" }, spent: 0 }, [
    "It is not known who wants to do this.", "Only an instructor, the grader or the app itself may take privileged actions.", "The run's budget of … points is used up: … spent, this would cost ….", "The command ….",
  ]),
  gate("llm", "May a change that a language model proposes be applied to this lab?", "proposal {digest, run, model, summary, risk, touches [], commands [{node, class, command}]}, signature, canary, approval, spent", 127, { proposal: { risk: "low", commands: [{ node: "r1", class: "read_only", command: "ip route show" }] } }, [
    "A critical change is never applied, whoever approves it.", "A change of high risk needs the approval of a person.", "It has not been tried in a throw-away copy of the lab.", "Command … touches …, which no model changes.",
  ]),
  gate("access", "May the holder of an access token use this part of Forge?", "token {capability, expires, tenant, tracks}, wanted {capability, track}, now, blocked_tenants", 22, { now: 1000, token: { capability: "labs.run", expires: 2000, tenant: "school", tracks: ["ccna"] }, wanted: { capability: "labs.run", track: "ccna" }, blocked_tenants: [] }, [
    "The token has expired; ask for a new one.", "This organisation has been blocked.", "The token is not for the track “…”.",
  ]),
];

interface Kept {
  decision: Decision;
  input: unknown;
  micros: number;
}

const number = (value: unknown, ...path: string[]): number => {
  let at = value;
  for (const key of path) at = typeof at === "object" && at !== null ? (at as Record<string, unknown>)[key] : undefined;
  return typeof at === "number" ? at : 0;
};

export class FakeGovernance {
  readonly #kept: Kept[] = [];
  readonly #entries: AuditEntry[] = [];
  readonly #tampered: boolean;

  /** Newest last; empty for scenes without a past. Each of `texts` is every word of a decision. */
  constructor(now: number, past: boolean, tampered = false, texts: readonly string[] = []) {
    this.#tampered = tampered;
    for (const text of texts) {
      const data = { allow: false, reasons: [text], input: { [text]: [text] }, policy_digest: text, micros: 90, lab: text, correlation: text };
      const id = this.#add(now, `gate.${text}`, text, data);
      this.#kept.push({ input: data.input, micros: 90, decision: { id, at: now, gate: text, allow: false, reasons: [text], run: text, lab: text, correlation: text } });
    }
    if (!past) return;
    const minute = 60_000;
    this.#occasion(now - 26 * 60 * minute, "dns-zone-reverse", "h4m2c9r6ka", {});
    this.#add(now - 25 * 60 * minute, "check", "h4m2c9r6ka", { score: 60_000, max: 100_000, correlation: "c1" });
    this.#add(now - 25 * 60 * minute, "verdict.sealed", "h4m2c9r6ka", { verdict: "5a".repeat(32), score: 85_000, max: 100_000, key_id: "SHA256:9f2c41d07be8" });
    this.#add(now - 5 * 60 * minute, "settings", null, { settings: { theme: "dark" }, correlation: "c2" });
    this.#occasion(now - 48 * minute, "ssh-hardening", null, {
      training: ["An attacker may run at most 5 exploits in a lab of the cissp track; this one allows 8."],
      quota: ["The lab needs 7168 MiB of memory; with those that are alive that would be 7808 of the 6144 MiB allowed here.", "All labs together would need 7808 MiB, more than the 6144 MiB this machine can give them."],
    });
    this.#occasion(now - 12 * minute, "ospf-single-area", "k3v9q2x700", {});
    this.#add(now - 11 * minute, "check", "k3v9q2x700", { score: 20_000, max: 100_000, correlation: "c3" });
  }

  #add(at: number, kind: string, run: string | null, data: unknown): number {
    const id = this.#entries.length;
    this.#entries.push({ id, at, run, kind, data, hash: (id * 2654435761).toString(16).padStart(8, "0").repeat(8).slice(0, 64) });
    return id;
  }

  #occasion(at: number, lab: string, run: string | null, refusals: Record<string, string[]>): void {
    const correlation = `c0ffee${at.toString(16)}`;
    const inputs = { spawn: { ...SPAWN, template: { ...TEMPLATE, id: lab } }, training: TRAINING, quota: QUOTA, capabilities: CAPABILITIES };
    for (const [name, input] of Object.entries(inputs)) {
      const reasons = refusals[name] ?? [];
      const data = { allow: reasons.length === 0, reasons, input, policy_digest: DIGEST, micros: 80 + name.length * 7, lab, correlation };
      const id = this.#add(at, `gate.${name}`, run, data);
      this.#kept.push({ input, micros: data.micros, decision: { id, at, gate: name, allow: data.allow, reasons, run, lab, correlation } });
    }
    if (run !== null) this.#add(at, "token.spent", run, { claims: { lab }, correlation });
  }

  gates() {
    return { policy_digest: DIGEST, gates: GATES };
  }

  decisions({ gate: name, run, allow, before, limit }: ListDecisions) {
    const all = this.#kept.map((k) => k.decision).filter((d) => (name === null || d.gate === name) && (run === null || d.run === run) && (allow === null || d.allow === allow) && (before === null || d.id < before)).reverse();
    const decisions = all.slice(0, Math.min(limit ?? 50, 8));
    return { decisions, next: all.length > decisions.length ? (decisions.at(-1)?.id ?? null) : null, unreadable: 0 };
  }

  decision(id: number): DecisionDetail {
    const found = this.#kept.find((k) => k.decision.id === id);
    if (!found) throw new HostError("not_found", `Entry ${id} of the audit log is no decision of a gate.`, ["The list of decisions shows their numbers."]);
    const others = this.#kept.map((k) => k.decision).filter((d) => d.correlation === found.decision.correlation && d.id !== id);
    return { decision: found.decision, input: found.input, policy_digest: DIGEST, current: true, micros: found.micros, others };
  }

  /** Knows a few rules, enough to see both answers. */
  try(name: string, input: unknown): GateAnswer {
    if (!GATES.some((g) => g.name === name)) throw new HostError("not_found", `There is no gate named “${name}”.`);
    const reasons: string[] = [];
    const track = (input as { track?: unknown } | null)?.track;
    if (typeof track === "string" && !["netplus", "ccna", "cissp"].includes(track)) reasons.push(`There is no track named “${track}”; known are netplus, ccna and cissp.`);
    if (number(input, "attacker_max_exploits") > 0) reasons.push(`An attacker may run at most 0 exploits in a lab of the ccna track; this one allows ${number(input, "attacker_max_exploits")}.`);
    if (number(input, "usage", "concurrent") >= 16) reasons.push(`${number(input, "usage", "concurrent")} labs are alive already, and 16 at once are allowed here. Stop one first.`);
    return { allow: reasons.length === 0, reasons, policy_digest: DIGEST, micros: 94 };
  }

  verify(): AuditReport {
    const report = { entries: this.#entries.length, checkpoints: 3, outside: 2, ignored: [], at: Date.now(), ms: 4 };
    if (!this.#tampered) return { ...report, ok: true, broken: null };
    return { ...report, ok: false, broken: { entry: 6, damage: "edited", detail: "Entry 6 was changed after it was written." } };
  }

  audit({ kind, run, before, limit }: ListAudit) {
    const all = this.#entries.filter((e) => (kind === null || e.kind.startsWith(kind)) && (run === null || e.run === run) && (before === null || e.id < before)).reverse();
    const entries = all.slice(0, limit ?? 50);
    return { entries, next: all.length > entries.length ? (entries.at(-1)?.id ?? null) : null, size: this.#entries.length };
  }
}
