/** What there is: labs, images, runs, jobs, results, and the log of all that happens to them. */
import type { EgressProfile, Event, JobInfo, ResultSummary, Settings } from "../../gen/api";
import { HostError } from "../host";
import type { Sink } from "../host";
import { allOf, crowd } from "./crowd";
import { makeImages, makeLabs, makeResults, type FakeLab } from "./data";
import { FakeGovernance } from "./governance";
import { FakeKeys } from "./keys";
import { planted } from "./planted";
import { FakeRun } from "./run";
import { FakeSessions } from "./sessions";
import { FakeSync } from "./sync";
import type { FakeTerminal } from "./terminal";

export const missing = (what: string) => new HostError("not_found", `There is no ${what}.`);

export class World {
  readonly scene: string;
  readonly labs: FakeLab[];
  readonly images = makeImages();
  results: ResultSummary[] = makeResults(Date.now());
  readonly runs = new Map<string, FakeRun>();
  readonly jobs = new Map<string, JobInfo>();
  readonly terminals = new Map<string, FakeTerminal>();
  readonly events: Event[] = [];
  readonly followers = new Set<Sink<Event>>();
  settings: Settings = { theme: "system", terminal_font_size: 13, continuous_checks: true, idle_pause_minutes: 0, first_run_done: true, results_dir: "", plan: "", billing_url: "", billing_key: "" };
  readonly governance: FakeGovernance;
  readonly keys: FakeKeys;
  readonly sync: FakeSync;
  readonly sessions: FakeSessions;
  readonly profiles: EgressProfile[] = [
    { name: "none", title: "A gateway that lets nothing through", built_in: true, digest: "5a".repeat(32), allow: [], problem: "" },
    { name: "package-updates", title: "Debian’s package archives", built_in: true, digest: "b7".repeat(32), allow: [{ names: ["deb.debian.org", "security.debian.org"], ports: ["tcp/80", "tcp/443"] }], problem: "" },
  ];
  made = 0;
  /** The run whose isolation was proven last. */
  proved: string | null = null;

  constructor(scene: string) {
    const texts = scene === "texts" ? planted() : undefined;
    this.scene = scene;
    this.governance = new FakeGovernance(Date.now(), scene === "full" || scene === "tampered", scene === "tampered", texts?.texts ?? []);
    this.keys = new FakeKeys(scene);
    this.sync = new FakeSync(scene === "well" || /^(teach|class|texts)/.test(scene), /^(teach|texts)/.test(scene));
    this.labs = scene === "crowd" ? crowd() : texts ? allOf(texts.texts, texts.guide) : makeLabs(Date.now());
    this.sessions = new FakeSessions(scene, this.labs, texts?.texts ?? []);
  }

  readonly emit = (kind: string, run: string | null, text: string, data: unknown = null, level: Event["level"] = "info"): void => {
    const event: Event = { seq: this.events.length + 1, at: Date.now(), correlation: "c0ffee0000000000", run, kind, level, text, data: structuredClone(data) };
    this.events.push(event);
    for (const f of this.followers) f.item(event);
  };

  add(id: string, request: string, seed: string): FakeRun {
    const lab = this.labs.find((l) => l.summary.id === id);
    if (!lab) throw new HostError("unknown_lab", `There is no lab named “${id}”.`);
    const run = new FakeRun(lab, `k3v9q2x7${(this.made++).toString(32).padStart(2, "a")}`, request, seed, this.emit);
    this.runs.set(run.summary.run, run);
    lab.summary.active_run = run.summary.run;
    return run;
  }

  run(id: string): FakeRun {
    const run = this.runs.get(id);
    if (!run) throw new HostError("unknown_run", `There is no run “${id}”.`);
    return run;
  }

  result(id: string): ResultSummary {
    const found = this.results.find((r) => r.id === id);
    if (!found) throw missing("such result");
    return found;
  }

  async build(names: string[]): Promise<void> {
    const job: JobInfo = { job: `job-${++this.made}`, kind: "prepare_images", steps: [], done: false, error: null };
    this.jobs.set(job.job, job);
    for (const name of names.flatMap((n) => [`base for ${n}`, n])) {
      const base = name.startsWith("base");
      const detail = base ? "debian:bookworm-slim from the local store" : "Step 3/7: apt-get install";
      const step = { name, state: "running" as JobInfo["steps"][number]["state"], ms: 0, detail, percent: 0 };
      job.steps.push(step);
      while (step.percent < 100) {
        await new Promise((done) => setTimeout(done, 400));
        if (job.done) return;
        step.percent = Math.min(100, step.percent + (base ? 34 : 2));
        step.ms += 400;
        this.emit("job.step", null, `${name}: ${step.percent} %`, { job: job.job, step });
      }
      step.state = "done";
    }
    this.prepared(names);
    this.unlock();
    job.done = true;
    this.emit("job.done", null, "Images are ready", { job: job.job });
  }

  prepared(names: readonly string[]): void {
    for (const image of this.images) if (!image.ready && names.includes(image.name)) Object.assign(image, { ready: true, reason: "", bytes: 141e6, digest: "sha256:77aa0c3d99e10b55" });
  }

  /** No lab waits for an image any more. */
  unlock(): void {
    for (const { summary } of this.labs) if (!summary.ready) Object.assign(summary, { ready: true, blockers: [] });
  }
}
