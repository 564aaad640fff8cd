/** One run in memory: its start step by step, its checks turning green, its load, its life. */
import type { CheckReport, EgressState, Forward, HintInfo, Isolation, IsolationRow, JobInfo, RunDetail, RunState, RunSummary, Step, Telemetry, TerminalInfo } from "../../gen/api";
import type { FakeLab } from "./data";
import { isolated, proof } from "./isolation";

const STEPS: [string, string, number][] = [
  ["admit", "Plan practice: within its limits", 12], ["token", "Launch token minted and spent", 6], ["images", "All images are here", 18],
  ["create", "5 nodes", 420], ["start", "5 nodes", 610], ["wire", "5 nodes", 180], ["startup", "5 nodes", 700], ["ready", "5 nodes", 240],
  ["isolation", "Nothing outside the lab can be reached", 160],
];

export type Emit = (kind: string, run: string | null, text: string, data?: unknown, level?: "info" | "warn") => void;

export class FakeRun {
  readonly lab: FakeLab;
  readonly summary: RunSummary;
  readonly steps: Step[] = [];
  readonly hints: HintInfo[];
  readonly terminals: TerminalInfo[] = [];
  readonly forwards: Forward[] = [];
  readonly results: string[] = [];
  isolation: Isolation = { state: "unknown", detail: "Not probed yet.", at: null, quick: [], full: null };
  egress: EgressState | null = null;
  passed = 0;
  readonly #emit: Emit;

  constructor(lab: FakeLab, run: string, request: string, seed: string, emit: Emit) {
    this.lab = lab;
    this.#emit = emit;
    const { id, title, track, nodes } = lab.summary;
    this.summary = { run, lab: id, lab_title: title, track, seed, request_id: request, state: "starting", reason: "", created: Date.now(), deadline: null, remaining_ms: null, ready_ms: null, last_check: null, nodes };
    this.hints = lab.criteria.slice(0, 3).map((c) => ({ id: `hint-${c.id}`, criterion: c.id, cost: 5_000, text: null }));
  }

  state(state: RunState, text: string): void {
    this.summary.state = state;
    // Paused containers tell so themselves.
    const [from, to] = state === "paused" ? ["running", "paused"] as const : ["paused", "running"] as const;
    if (state === "paused" || state === "ready") for (const n of this.lab.topology.nodes.filter((n) => n.state === from)) {
      n.state = to;
      this.#emit("node.state", this.summary.run, `${n.name} is ${to}`, { node: n.name, state: to });
    }
    this.#emit("run.state", this.summary.run, text, { state });
  }

  async launch(): Promise<void> {
    for (const [name, detail, ms] of STEPS) {
      const step: Step = { name, state: "running", ms: 0, detail, percent: null };
      this.steps.push(step);
      this.#emit("run.step", this.summary.run, detail, { ...step });
      await new Promise((done) => setTimeout(done, ms));
      if (this.summary.state !== "starting") return;
      if (name === "startup" && this.summary.seed === "fail") return this.#fail(step);
      if (name === "start" || name === "wire") for (const n of this.lab.topology.nodes) {
        n.state = name === "start" ? "created" : "running";
        this.#emit("node.state", this.summary.run, `${n.name} is ${n.state}`, { node: n.name, state: n.state });
      }
      step.state = "done";
      step.ms = ms;
      this.#emit("run.step", this.summary.run, detail, { ...step });
    }
    this.ready();
  }

  /** Stands in the middle of its start: `at` steps are done, the next one is under way. */
  hold(at: number): void {
    STEPS.slice(0, at + 1).forEach(([name, detail, ms], i) => this.steps.push({ name, detail, ms, state: i < at ? "done" : "running", percent: null }));
    // What is under way has nothing to tell yet.
    const last = this.steps.at(-1);
    if (last) last.detail = "";
    this.lab.topology.nodes.forEach((n, i) => (n.state = i % 3 === 2 ? "created" : "running"));
    for (const step of this.steps) this.#emit("run.step", this.summary.run, step.detail, { ...step });
  }

  /** Fails in the step that is under way. */
  fail(): void {
    const step = this.steps.at(-1);
    if (step) this.#fail(step);
  }

  #fail(step: Step): void {
    const error = {
      code: "docker_failed", message: "The startup of ns1 ended with 1: named: /etc/bind/named.conf:12: unknown option 'recurson'", details: null,
      hints: ["Open a terminal on the image and run its startup by hand: forge labs --try dns-zone-reverse", "The full output is in the log, under this run’s correlation id."],
    };
    Object.assign(step, { state: "failed", ms: 700, detail: "ns1: exit code 1" });
    this.#emit("run.step", this.summary.run, step.detail, { ...step });
    this.summary.state = "failed";
    this.summary.reason = error.message;
    this.#emit("run.state", this.summary.run, error.message, { state: "failed", error });
  }

  ready(): void {
    const { summary } = this;
    if (this.steps.length === 0) for (const [name, detail, ms] of STEPS) this.steps.push({ name, detail, ms, state: "done", percent: null });
    for (const n of this.lab.topology.nodes) {
      n.state = "running";
      n.container = `c${summary.run}${n.name}`;
    }
    summary.ready_ms = this.steps.reduce((sum, s) => sum + s.ms, 0);
    summary.deadline = Date.now() + this.lab.summary.minutes * 60_000;
    this.isolation = isolated();
    if (this.lab.egress) this.egress = { ...this.lab.egress, reasons: { ...this.lab.egress.reasons } };
    this.state("ready", "The lab is ready");
    if (this.egress) this.#emit("egress.drop", summary.run, "Egress refused: admin → tcp 172.17.0.1:22: private, local and LAN addresses are never open", { node: "admin", target: "tcp 172.17.0.1:22", reason: "private", total: this.egress.dropped });
  }

  check(): CheckReport {
    this.passed = Math.min(this.lab.criteria.length, this.passed + 1);
    const criteria = this.lab.criteria.map((c, i) => {
      const e = this.lab.expected[i];
      const pass = i < this.passed;
      return { id: c.id, title: c.title, outcome: pass ? "pass" as const : "fail" as const, expected: e?.expected ?? "", seen: pass ? e?.expected ?? "" : e?.seen ?? "", advice: pass ? "" : e?.advice ?? "", points: pass ? c.weight * 1000 : 0, max: c.weight * 1000, ms: 40 + i * 23 };
    });
    const sum = (key: "points" | "max") => criteria.reduce((n, c) => n + c[key], 0);
    const report: CheckReport = { run: this.summary.run, at: Date.now(), score: sum("points"), max: sum("max"), criteria };
    this.summary.last_check = report;
    this.#emit("check.report", this.summary.run, `Checked: ${this.passed} of ${criteria.length} passed`, report);
    return report;
  }

  /** Step by step, as long as `going` says so; what it found otherwise. */
  async prove(job: JobInfo, going: () => boolean): Promise<void> {
    for (const [name, ms] of [["networks", 300], ["nodes", 900], ["try", 1600], ["clear", 500]] as const) {
      const step: Step = { name, state: "running", ms: 0, detail: "", percent: null };
      job.steps.push(step);
      this.#emit("job.step", this.summary.run, name, { job: job.job, step: { ...step } });
      await new Promise((done) => setTimeout(done, ms));
      Object.assign(step, { state: going() ? "done" : "failed", ms });
      this.#emit("job.step", this.summary.run, name, { job: job.job, step: { ...step } });
      if (!going()) return;
    }
    this.isolation = isolated(true);
    this.#emit("isolation.report", this.summary.run, this.isolation.detail, { state: "isolated" });
  }

  rows(): IsolationRow[] {
    return this.isolation.full?.rows ?? proof();
  }

  telemetry(): Telemetry {
    const t = Date.now() / 1000;
    const wave = (seed: number, top: number) => Math.max(0, (Math.sin(t / 3 + seed) + 1.1) * top * (0.7 + 0.3 * Math.random()));
    return {
      run: this.summary.run, at: Date.now(),
      nodes: this.lab.topology.nodes.map((n, i) => ({ node: n.name, cpu_percent: wave(i, 4), memory_bytes: 24e6 + i * 6e6 + wave(i, 1e6), pids: 6 + i })),
      links: this.lab.topology.links.flatMap((l, i) => l.endpoints.map((e) => ({ link: l.id, node: e.node, interface: e.interface, rx_bps: wave(i, 240e3), tx_bps: wave(i + 1, 180e3), rx_pps: wave(i, 90), tx_pps: wave(i + 1, 70), up: true }))),
    };
  }

  detail(): RunDetail {
    return {
      run: this.current(), nodes: this.lab.topology.nodes, links: this.lab.topology.links, steps: this.steps, criteria: this.lab.criteria, hints: this.hints,
      guide_html: this.lab.guide, guide: "", forwards: this.forwards, terminals: this.terminals, isolation: this.isolation, egress: this.egress, results: this.results,
    };
  }

  current(): RunSummary {
    const { deadline } = this.summary;
    return { ...this.summary, remaining_ms: deadline === null ? null : Math.max(0, deadline - Date.now()) };
  }
}
