/**
 * An engine in memory, for development, screenshots and tests. Scenes: `full` (a run under way, images building), `fresh` (first
 * start), `empty` (no lab, nothing done), `loading` (no answer ever), `error` (Docker is gone), `well` (nothing runs, all is
 * prepared), `images-failed`, the states of a run (`starting`, `paused`, `last-minute`, `stopped`, `failed`, `lost`), `crowd` (a
 * hundred labs, 25 nodes, 10,000 events), `texts` (every text is one that the page was given), `tampered` (somebody changed the
 * audit log), `locked`, `locked-os`, `locked-new`, `under-passphrase` (keys.ts). Of a class: `teach`, `teach-new`, `teach-empty`, `teach-crowd`, `teach-away`, `class`, `class-frozen` (sessions.ts).
 */
import type { DoctorRow, EgressProfile, Event, Health, JobInfo, Settings, Telemetry } from "../../gen/api";
import type { Commands } from "../../gen/commands";
import { HostError } from "../host";
import type { CommandName, Host, Request, Response, Sink, Stream, TerminalSink, TerminalStream } from "../host";
import { QUOTA, chart, makeImages, makeLabs, makeResults, openssl, type FakeLab } from "./data";
import { allOf, crowd } from "./crowd";
import { FakeGovernance } from "./governance";
import { isolated, quick } from "./isolation";
import { FakeKeys } from "./keys";
import { FakeRun } from "./run";
import { FakeSessions } from "./sessions";
import { FakeSync } from "./sync";
import { FakeTerminal } from "./terminal";

type Handlers = { [C in CommandName]: (request: Commands[C]["request"]) => Commands[C]["response"] | Promise<Commands[C]["response"]> };

/** What a test lays down before the page's own scripts run, and reads afterwards. */
interface Planted {
  texts: string[];
  guide: string;
  /** Where each lab has a guide of its own, by its title. */
  guides?: Record<string, string>;
  /** The labs made of the texts, with a run and a result of each. */
  labs?: () => { lab: string; run: string | null; result: string | null }[];
  /** Terminal output, as bytes in Latin-1 letters. */
  output: string;
  calls: { name: string; request: unknown }[];
  typed: string[];
}
const planted = (): Planted | undefined => (globalThis as { forgeFake?: Planted }).forgeFake;

const missing = (what: string) => new HostError("not_found", `There is no ${what}.`);

export class FakeHost implements Host {
  readonly kind = "fake";
  readonly scene: string;
  readonly #labs: FakeLab[];
  readonly #images = makeImages();
  #results = makeResults(Date.now());
  readonly #runs = new Map<string, FakeRun>();
  readonly #jobs = new Map<string, JobInfo>();
  readonly #terminals = new Map<string, FakeTerminal>();
  readonly #events: Event[] = [];
  readonly #followers = new Set<Sink<Event>>();
  #settings: Settings = { theme: "system", terminal_font_size: 13, continuous_checks: true, idle_pause_minutes: 0, first_run_done: true, results_dir: "", plan: "", billing_url: "", billing_key: "" };
  readonly #governance: FakeGovernance;
  readonly #keys: FakeKeys;
  readonly #sync: FakeSync;
  readonly #sessions: FakeSessions;
  readonly #profiles: EgressProfile[] = [
    { name: "none", title: "A gateway that lets nothing through", built_in: true, digest: "5a".repeat(32), allow: [], problem: "" },
    { name: "package-updates", title: "Debian’s package archives", built_in: true, digest: "b7".repeat(32), allow: [{ names: ["deb.debian.org", "security.debian.org"], ports: ["tcp/80", "tcp/443"] }], problem: "" },
  ];
  #made = 0;
  /** The run whose isolation was proven last. */
  #proved: string | null = null;
  readonly #latency: number;

  constructor(scene: string, latency = 40) {
    this.scene = scene;
    this.#latency = latency;
    const given = planted();
    this.#governance = new FakeGovernance(Date.now(), scene === "full" || scene === "tampered", scene === "tampered", scene === "texts" ? (given?.texts ?? []) : []);
    this.#keys = new FakeKeys(scene);
    this.#sync = new FakeSync(scene === "well" || /^(teach|class|texts)/.test(scene), /^(teach|texts)/.test(scene));
    this.#settings.first_run_done = scene !== "fresh";
    this.#labs = scene === "crowd" ? crowd() : scene === "texts" && given ? allOf(given.texts, given.guide) : makeLabs(Date.now());
    this.#sessions = new FakeSessions(scene, this.#labs, scene === "texts" ? (given?.texts ?? []) : []);
    if (scene === "fresh" || scene === "empty") this.#results = [];
    if (scene === "empty") this.#labs.length = 0;
    if (scene === "fresh") for (const l of this.#labs) Object.assign(l.summary, { best: null, last_run: null });
    if (["well", "starting", "paused", "last-minute", "stopped", "failed", "lost", "crowd", "texts", "under-passphrase"].includes(scene) || scene.startsWith("locked") || /^(teach|class)/.test(scene)) this.#prepared();
    this.#stage();
  }

  /** What has happened before the window was opened. */
  #stage(): void {
    const [first] = this.#labs;
    const ospf = this.#labs.find((l) => l.summary.id === "ospf-single-area") ?? first;
    if (!first || !ospf) return;
    if (this.scene === "full") {
      this.#goingOn(this.#ready(ospf));
      void this.#build(["forge/tools"]);
    } else if (this.scene === "images-failed") {
      this.#failedBuild();
    } else if (this.scene === "starting") {
      this.#add(ospf.summary.id, "demo", "a91f27").hold(6);
    } else if (this.scene === "failed") {
      const run = this.#add(first.summary.id, "demo", "a91f27");
      first.summary.active_run = null;
      run.hold(6);
      run.fail();
    } else if (["paused", "last-minute", "stopped", "lost", "class", "class-frozen"].includes(this.scene)) {
      const run = this.#ready(ospf);
      if (this.scene === "paused") run.state("paused", "Paused");
      if (this.scene === "last-minute") run.summary.deadline = Date.now() + 42_000;
      if (this.scene === "stopped") {
        ospf.summary.active_run = null;
        run.summary.reason = "The time was up.";
        run.state("stopped", "The lab was stopped: the time was up");
      }
    } else if (this.scene === "crowd") {
      const run = this.#ready(first);
      for (let i = 0; i < 10_000; i += 1) this.#emit(i % 3 ? "node.state" : "log", run.summary.run, `n${1 + (i % 25)}: line ${i} of what a busy lab has to say`);
    } else if (this.scene === "texts") {
      this.#results = makeResults(Date.now()).flatMap((r, i) => this.#labs.filter((_, n) => n % 5 === i).map((l) => ({ ...r, id: `${r.id}${l.summary.id}`, lab: l.summary.id, lab_title: l.summary.title, track: l.summary.track, version: l.summary.version })));
      const given = planted();
      if (given) given.labs = () => this.#labs.map(({ summary: s }) => ({ lab: s.id, run: s.active_run, result: this.#results.find((r) => r.lab === s.id)?.id ?? null }));
      for (const l of this.#labs) {
        l.guide = given?.guides?.[l.summary.title] ?? l.guide;
        const run = this.#add(l.summary.id, "texts", l.summary.title);
        run.ready();
        for (const n of l.topology.nodes) n.ports = [{ port: 80, label: l.summary.title }];
        run.check();
        for (const level of ["info", "warn"] as const) this.#emit("log", run.summary.run, l.summary.title, JSON.parse(`{"__proto__":{"polluted":1},"text":${JSON.stringify(l.summary.title)}}`), level);
        this.#emit("node.state", run.summary.run, l.summary.title, { node: l.summary.title, state: "running" });
      }
    }
  }

  #ready(lab: FakeLab): FakeRun {
    const run = this.#add(lab.summary.id, "demo", "a91f27");
    run.ready();
    run.check();
    return run;
  }

  /** Checks that turn green one after another. */
  #goingOn(run: FakeRun): void {
    const timer = setInterval(() => {
      if (run.summary.state === "ready" && run.passed < 4) run.check();
      else if (run.summary.state !== "ready") clearInterval(timer);
    }, 9000);
  }

  #prepared(): void {
    for (const image of this.#images) if (!image.ready) Object.assign(image, { ready: true, reason: "", bytes: 141e6, digest: "sha256:77aa0c3d99e10b55" });
    if (this.scene !== "texts") for (const { summary } of this.#labs) if (!summary.ready) Object.assign(summary, { ready: true, blockers: [] });
  }

  #failedBuild(): void {
    const error = { code: "image_build_failed" as const, message: "Step 3 of 7 (apt-get install nmap hydra tcpdump) failed: no package mirror answers.", hints: ["Connect this machine to the internet once, then prepare the images again: finished steps are kept.", "Behind a proxy, set http_proxy before you start the app."], details: null };
    const step = (name: string, state: "done" | "failed", ms: number, detail: string) => ({ name, state, ms, detail, percent: state === "done" ? 100 : 42 });
    this.#jobs.set("job-1", { job: "job-1", kind: "prepare_images", done: true, error, steps: [step("base for forge/tools", "done", 4200, "debian:bookworm-slim from the local store"), step("forge/tools", "failed", 31_400, "Step 3/7: apt-get install")] });
  }

  async call<C extends CommandName>(name: C, request: Request<C>): Promise<Response<C>> {
    planted()?.calls.push({ name, request });
    await new Promise((done) => setTimeout(done, this.#latency));
    if (this.scene === "loading" && name !== "get_settings" && name !== "keys_status") return new Promise(() => undefined);
    if (this.scene === "error" && !["get_settings", "set_settings", "about", "doctor", "keys_status", "protect_keys", "rotate_key"].includes(name)) {
      throw new HostError("docker_unavailable", "Docker does not answer on /var/run/docker.sock: connection refused.", ["Start Docker, then try again.", "On Linux: sudo systemctl start docker"]);
    }
    this.#keys.admit(name);
    return structuredClone(await this.#commands[name](request)) as Response<C>;
  }

  events(run: string | null, since: number, sink: Sink<Event>): Stream {
    const filtered: Sink<Event> = { ...sink, item: (e) => { if (run === null || e.run === run) sink.item(e); } };
    sink.state?.(["error", "lost"].includes(this.scene) ? "reconnecting" : "live");
    for (const e of this.#events) if (e.seq > since) filtered.item(e);
    this.#followers.add(filtered);
    return { close: () => void this.#followers.delete(filtered) };
  }

  telemetry(run: string, sink: Sink<Telemetry>): Stream {
    sink.state?.("live");
    const timer = setInterval(() => {
      const found = this.#runs.get(run);
      if (found?.summary.state === "ready" && this.scene !== "texts") sink.item(found.telemetry());
    }, 1000);
    return { close: () => clearInterval(timer) };
  }

  terminal(id: string, from: number, sink: TerminalSink): TerminalStream {
    const terminal = this.#terminals.get(id);
    if (!terminal) {
      sink.closed("There is no such terminal.");
      return { write: () => false, close: () => undefined };
    }
    const detach = terminal.attach(from, sink);
    const write = (bytes: Uint8Array) => {
      planted()?.typed.push(new TextDecoder("latin1").decode(bytes));
      if (this.scene !== "texts") terminal.input(bytes);
      return true;
    };
    return { write, close: detach };
  }

  readonly #emit = (kind: string, run: string | null, text: string, data: unknown = null, level: Event["level"] = "info"): void => {
    const event: Event = { seq: this.#events.length + 1, at: Date.now(), correlation: "c0ffee0000000000", run, kind, level, text, data: structuredClone(data) };
    this.#events.push(event);
    for (const f of this.#followers) f.item(event);
  };

  #add(id: string, request: string, seed: string): FakeRun {
    const lab = this.#labs.find((l) => l.summary.id === id);
    if (!lab) throw new HostError("unknown_lab", `There is no lab named “${id}”.`);
    const run = new FakeRun(lab, `k3v9q2x7${(this.#made++).toString(32).padStart(2, "a")}`, request, seed, this.#emit);
    this.#runs.set(run.summary.run, run);
    lab.summary.active_run = run.summary.run;
    return run;
  }

  #run(id: string): FakeRun {
    const run = this.#runs.get(id);
    if (!run) throw new HostError("unknown_run", `There is no run “${id}”.`);
    return run;
  }

  async #build(names: string[]): Promise<void> {
    const job: JobInfo = { job: `job-${++this.#made}`, kind: "prepare_images", steps: [], done: false, error: null };
    this.#jobs.set(job.job, job);
    for (const name of names.flatMap((n) => [`base for ${n}`, n])) {
      const step = { name, state: "running" as JobInfo["steps"][number]["state"], ms: 0, detail: "Step 3/7: apt-get install", percent: 0 };
      job.steps.push(step);
      while (step.percent < 100) {
        await new Promise((done) => setTimeout(done, 400));
        if (job.done) return;
        step.percent = Math.min(100, step.percent + (name.startsWith("base") ? 34 : 2));
        step.ms += 400;
        this.#emit("job.step", null, `${name}: ${step.percent} %`, { job: job.job, step });
      }
      step.state = "done";
    }
    for (const image of this.#images) if (names.includes(image.name)) Object.assign(image, { ready: true, reason: "", bytes: 141e6, digest: "sha256:77aa0c3d" });
    for (const { summary } of this.#labs) if (!summary.ready) Object.assign(summary, { ready: true, blockers: [] });
    job.done = true;
    this.#emit("job.done", null, "Images are ready", { job: job.job });
  }

  #result(id: string) {
    const found = this.#results.find((r) => r.id === id);
    if (!found) throw missing("such result");
    return found;
  }

  #doctor(): DoctorRow[] {
    const gone = this.scene === "error";
    const row = (id: string, title: string, state: Health, detail: string, why: string, fix: DoctorRow["fix"] = null): DoctorRow => ({ id, title, state, detail, why, fix });
    return [
      gone ? row("docker", "Docker", "fail", "Nothing answers on /var/run/docker.sock.", "Labs run in Docker containers.", { kind: "shell", label: "Start Docker", command: "sudo systemctl start docker" })
        : row("docker", "Docker", "ok", "Docker Engine 20.10.24, overlay2, 2 CPUs", "Labs run in Docker containers."),
      row("memory", "Memory", "ok", "22.1 GiB free of 23.5 GiB", "The largest lab needs 1.2 GiB."),
      row("disk", "Disk space", "ok", "61 GiB free", "Images take about 600 MiB."),
      row("veth", "Network links (veth, bridge)", "ok", "Kernel 6.1: present", "Each link of a lab is a veth pair."),
      this.scene === "well" ? row("netem", "Delay and loss (sch_netem)", "ok", "Kernel 6.1: present", "Labs with slow or lossy links need it.") : row("netem", "Delay and loss (sch_netem)", "warn", "The kernel has no sch_netem module.", "Labs with slow or lossy links use a user-space variant instead.", { kind: "shell", label: "Install the module", command: "sudo apt-get install linux-modules-extra-$(uname -r)" }),
      row("images", "Lab images", this.#images.every((i) => i.ready) ? "ok" : "warn", `${this.#images.filter((i) => i.ready).length} of ${this.#images.length} prepared`, "A lab starts in seconds when its images are here.", { kind: "call", label: "Prepare images", command: "prepare_images", args: { images: [] } }),
      row("keys", "Signing key", this.#keys.kept.warning ? "warn" : "ok", this.#keys.kept.warning ?? this.#keys.kept.told, "Your key signs your verdicts: it proves where they come from.", this.#keys.kept.command ? { kind: "shell", label: "Keep the keys better", command: "forge keys protect --passphrase" } : null),
    ];
  }

  readonly #commands: Handlers = {
    about: () => ({ version: "0.1.0", home: "/home/ada/.local/share/forge", key_id: "SHA256:9f2c41d07be8", keys: this.#keys.kept, docker: this.scene === "error" ? null : "20.10.24", platform: "linux x86_64", shell: "serve" }),
    doctor: () => ({ ready: this.scene !== "error", rows: this.#doctor() }),
    list_labs: () => this.#labs.map((l) => l.summary),
    get_lab: ({ lab }) => {
      const found = this.#labs.find((l) => l.summary.id === lab);
      if (!found) throw new HostError("unknown_lab", `There is no lab named “${lab}”.`, ["It may have been renamed; look in the library."]);
      return {
        lab: found.summary, topology: found.topology, criteria: found.criteria, expected_seconds: 2.4, history: this.#results.filter((r) => r.lab === lab),
        requirements: [
          { title: "Docker", met: true, detail: "20.10.24" }, { title: "Memory", met: true, detail: "needs 480 MiB, 22 GiB free" },
          { title: "Images", met: found.summary.ready, detail: found.summary.ready ? "all prepared" : "forge/tools is not prepared yet" },
        ],
      };
    },
    list_images: () => this.#images,
    prepare_images: ({ images }) => {
      void this.#build(images.length ? images : this.#images.filter((i) => !i.ready).map((i) => i.name));
      return { job: `job-${this.#made}` };
    },
    get_job: ({ job }) => this.#jobs.get(job) ?? Promise.reject(missing("such job")),
    list_jobs: () => [...this.#jobs.values()],
    cancel_job: ({ job }) => {
      const found = this.#jobs.get(job);
      if (!found) throw missing("such job");
      for (const s of found.steps) if (s.state === "running") s.state = "failed";
      Object.assign(found, { done: true, error: { code: "cancelled", message: "Cancelled as asked; nothing was left behind.", hints: [], details: null } });
      const proof = found.kind === "isolation";
      this.#emit("job.done", proof ? this.#proved : null, "Cancelled as asked", { job, error: found.error });
      return {};
    },
    start_lab: ({ lab, request_id, seed }) => {
      const same = [...this.#runs.values()].find((r) => request_id !== null && r.summary.request_id === request_id);
      if (same) return same.current();
      if (seed === "denied") {
        const reasons = ["The lab needs 7168 MiB of memory; with those that are alive that would be 7808 of the 6144 MiB allowed here."];
        throw new HostError("denied", `This lab may not be started: ${reasons.join(" ")}`, [], { reasons, gates: ["quota"], decisions: [10] });
      }
      const run = this.#add(lab, request_id ?? "made", seed ?? "5d03be");
      void run.launch();
      return run.current();
    },
    list_runs: ({ all }) => [...this.#runs.values()].map((r) => r.current()).filter((r) => all || !["stopped", "failed"].includes(r.state)),
    get_run: ({ run }) => this.#run(run).detail(),
    stop_run: ({ run }) => {
      const found = this.#run(run);
      found.lab.summary.active_run = null;
      found.state("stopped", "The lab was stopped");
      return { stopped: [run], ms: 310 };
    },
    stop_all: () => ({ stopped: [...this.#runs.values()].map((r) => { r.lab.summary.active_run = null; r.state("stopped", "Stopped"); return r.summary.run; }), ms: 400 }),
    pause_run: ({ run }) => { const r = this.#run(run); r.state("paused", "Paused"); return r.current(); },
    resume_run: ({ run }) => { const r = this.#run(run); r.state("ready", "Resumed"); return r.current(); },
    extend_run: ({ run, minutes }) => { const r = this.#run(run); if (r.summary.deadline !== null) r.summary.deadline += minutes * 60_000; r.state(r.summary.state, `${minutes} minutes more`); return r.current(); },
    restart_node: ({ run, node }) => {
      const found = this.#run(run).lab.topology.nodes.find((n) => n.name === node);
      if (!found) throw new HostError("unknown_node", `There is no node “${node}”.`);
      found.state = "rewiring";
      this.#emit("node.state", run, `${node} restarts`, { node, state: "rewiring" });
      setTimeout(() => { found.state = "running"; this.#emit("node.state", run, `${node} is wired again`, { node, state: "running" }); }, 900);
      return {};
    },
    probe_isolation: async ({ run, full }) => {
      const found = this.#run(run);
      if (found.summary.state !== "ready") throw new HostError("wrong_state", `Run ${run} is ${found.summary.state}.`, ["Resume it first."]);
      if (!full) return quick();
      const job: JobInfo = { job: `job-${++this.#made}`, kind: "isolation", steps: [], done: false, error: null };
      this.#jobs.set(job.job, job);
      this.#proved = run;
      await found.prove(job, () => !job.done);
      if (job.error) throw new HostError("cancelled", job.error.message);
      job.done = true;
      this.#emit("job.done", run, "The isolation is proven", { job: job.job, error: null });
      return found.rows();
    },
    check_run: ({ run }) => this.#run(run).check(),
    watch_run: () => ({}),
    reveal_hint: ({ run, hint }) => {
      const found = this.#run(run).hints.find((h) => h.id === hint);
      if (!found) throw missing("such hint");
      found.text = "Look at what the neighbour says about itself, not only at your own side.";
      this.#emit("hint.revealed", run, `Hint for ${found.criterion}`, { hint });
      return found;
    },
    submit_run: ({ run }) => {
      const r = this.#run(run);
      const report = r.summary.last_check ?? r.check();
      const first = makeResults(Date.now())[0];
      if (!first) throw missing("result");
      const result = { ...first, id: `${run}${"0".repeat(54)}`, run, lab: r.summary.lab, lab_title: r.summary.lab_title, track: r.summary.track, at: Date.now(), score: report.score, max: report.max };
      this.#results = [result, ...this.#results];
      r.results.push(result.id);
      this.#emit("submit.done", run, `Submitted: ${report.score / 1000} of ${report.max / 1000}`, { id: result.id });
      return { id: result.id, dir: result.dir, score: result.score, max: result.max, key_id: result.key_id, result };
    },
    solve_run: () => Promise.reject(new HostError("denied", "“solve_run” is for instructors.")),
    reexecute: ({ verdict, report }) => {
      const result = this.#results.find((r) => r.id === verdict || r.run === verdict || r.dir === verdict);
      if (!result) return Promise.reject(new HostError("not_found", `There is no verdict “${verdict}” here.`));
      return { verdict: result.id, lab: result.lab, seed: "5eed".repeat(8), score: result.score, max: result.max, criteria: [], agrees: true, tier: "re-executed", reported: report, statement: "{}", ms: 48_000 };
    },
    ask_reexecution: ({ verdict }) => this.#sessions.again(verdict),
    list_reexecutions: () => this.#sessions.jobs(),
    list_results: () => this.#results,
    get_result: ({ id, dark }) => {
      const summary = this.#result(id);
      const lab = this.#labs.find((l) => l.summary.id === summary.lab);
      let left = summary.score;
      const criteria = (lab?.criteria ?? []).map((c, i) => {
        const max = c.weight * 1000;
        const pass = left >= max;
        if (pass) left -= max;
        const e = lab?.expected[i];
        return { id: c.id, title: c.title, outcome: pass ? "pass" as const : "fail" as const, expected: e?.expected ?? "", seen: pass ? e?.expected ?? "" : e?.seen ?? "", advice: pass ? "" : e?.advice ?? "", points: pass ? max : 0, max, ms: 30 + i * 17 };
      });
      return {
        summary, criteria, openssl, score_chart_svg: chart(this.#results.filter((r) => r.lab === summary.lab).map((r) => r.score / 1000).reverse(), "Score, this lab", dark),
        verified: this.#verify(summary.id), isolation: { ...isolated(true), at: summary.at },
      };
    },
    verify_result: () => this.#verify("0"),
    export_report: ({ id }) => ({ path: `${this.#result(id).dir}/report.html`, bytes: 48_211 }),
    history: ({ dark }) => ({
      results: this.#results,
      scores_svg: chart(this.#results.map((r) => r.score / 1000).reverse(), "Score in points", dark),
      times_svg: chart(this.#results.map((r) => r.duration_ms / 60_000).reverse(), "Time in minutes", dark),
    }),
    list_gates: () => this.#governance.gates(),
    list_decisions: (asked) => this.#governance.decisions(asked),
    get_decision: ({ id }) => this.#governance.decision(id),
    try_gate: ({ gate, input }) => this.#governance.try(gate, input),
    verify_audit: () => this.#governance.verify(),
    list_audit: (asked) => this.#governance.audit(asked),
    open_terminal: ({ run, node, cols, rows }) => {
      const info = { id: `t${++this.#made}`, run, node, cols, rows, open: true, from: 0, next: 0 };
      this.#run(run).terminals.push(info);
      this.#terminals.set(info.id, new FakeTerminal(info, planted()?.output));
      this.#emit("terminal.opened", run, `Terminal on ${node}`, { id: info.id });
      return info;
    },
    list_terminals: ({ run }) => this.#run(run).terminals,
    resize_terminal: () => ({}),
    close_terminal: ({ id }) => {
      const found = this.#terminals.get(id);
      if (!found) throw missing("such terminal");
      found.close();
      return {};
    },
    forward_port: ({ run, node, port }) => {
      const forward = { id: `f${++this.#made}`, run, node, port, local: `127.0.0.1:${49000 + this.#made}`, url: `http://127.0.0.1:${49000 + this.#made}/`, connections: 0 };
      this.#run(run).forwards.push(forward);
      this.#emit("forward.opened", run, `${node}:${port} on ${forward.local}`, forward);
      return forward;
    },
    list_forwards: ({ run }) => this.#run(run).forwards,
    close_forward: ({ id }) => {
      for (const r of this.#runs.values()) {
        const at = r.forwards.findIndex((f) => f.id === id);
        if (at < 0) continue;
        r.forwards.splice(at, 1);
        this.#emit("forward.closed", r.summary.run, "A port was closed", { id });
      }
      return {};
    },
    list_egress: () => this.#profiles,
    approve_egress: ({ text }) => {
      const name = /^name: (\S+)$/m.exec(text)?.[1] ?? "custom";
      const profile = { name, title: name, built_in: false, digest: "c0ffee".repeat(10), allow: [], problem: "" };
      this.#profiles.push(profile);
      return profile;
    },
    list_events: ({ run, since, limit }) => this.#events.filter((e) => e.seq > since && (run === null || e.run === run)).slice(-(limit ?? 1000)),
    get_quota: () => QUOTA,
    block_subject: ({ subject, reason }) => ({ block: { subject, reason, at: Date.now() }, stopped: [] }),
    unblock_subject: () => ({}),
    pin_lab: ({ lab }) => ({ lab, version: "1.0.0", digest: "00", new: true, key_id: "00" }),
    sync_status: () => this.#sync.status(this.#results),
    enrol_board: (request) => {
      this.#sync.enrol(request);
      return this.#sync.status(this.#results);
    },
    unenrol_board: () => {
      this.#sync.leave();
      return this.#sync.status(this.#results);
    },
    sync_now: () => this.#sync.send(this.#results),
    create_session: (request) => this.#sessions.create(request),
    join_session: ({ code }) => this.#sessions.join(code),
    session_status: ({ session }) => ({ session: this.#sessions.get(session), board: null }),
    list_sessions: () => this.#sessions.list(this.#sync.on),
    session_board: ({ session, seen }) => this.#sessions.board(session, seen),
    session_messages: ({ session }) => this.#sessions.said(session),
    say_session: ({ text, learner }) => this.#sessions.say(text, learner),
    freeze_session: ({ session, frozen }) => this.#sessions.freeze(session, frozen),
    export_session: ({ session, kind }) => ({ path: kind === "csv" ? `/home/ada/.local/share/forge/results/sessions/${session}.csv` : `/home/ada/.local/share/forge/results/sessions/${session}-1795396380000/report.html`, bytes: 18_204 }),
    run_session: ({ run }) => this.#sessions.ofRun(this.#run(run).summary.lab),
    take_challenge: ({ lab }) => ({ lab, request_id: crypto.randomUUID(), seed: "5eed".repeat(8) }),
    preview_sync: () => this.#sync.preview(this.#results),
    keys_status: () => this.#keys.status(),
    unlock_keys: (request) => this.#keys.unlock(request),
    protect_keys: (request) => this.#keys.protect(request),
    rotate_key: ({ name }) => this.#keys.rotate(name, this.#sync.on),
    get_settings: () => this.#settings,
    set_settings: (s) => (this.#settings = s),
  };

  #verify(id: string) {
    const check = (name: string, detail: string) => ({ name, ok: true, detail });
    return {
      ok: true, key_id: "SHA256:9f2c41d07be8", verdict_id: id, tier: "self-attested" as const,
      checks: [check("Envelope", "one signature, Ed25519, strict"), check("score.json", "canonical, digest as signed"), check("evidence.tar.zst", "41 files, digests as signed"), check("Audit checkpoint", "entry 318, consistent")],
    };
  }
}
