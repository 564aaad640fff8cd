/** One run as the workspace shows it: read once, then kept up to date by one event stream. */
import type { CheckReport, Event, Forward, RunDetail, RunSession, SubmitReport, Telemetry } from "../gen/api";
import type { Stream, StreamState } from "../ipc/host";
import { HostError } from "../ipc/host";
import { append, failure, needsReload, proving, reduce, remaining, withReport, withSteps } from "./run.reduce";
import { session } from "./session.svelte";
import { attempt } from "./toasts.svelte";

/** Events kept for the timeline and the log. */
export const KEPT = 10_000;
/** Seconds of telemetry kept for the charts. */
const SECONDS = 900;
const WATCH_MS = 10_000;

export type Doing = "check" | "submit" | "pause" | "stop" | "extend" | "restart" | "hint" | "forward";

export class RunModel {
  readonly id: string;
  detail = $state.raw<RunDetail | null>(null);
  error = $state.raw<HostError | null>(null);
  events = $state.raw<readonly Event[]>([]);
  telemetry = $state.raw<readonly Telemetry[]>([]);
  /** The class session it is bound to, if it is, and when that ends by this machine's clock. */
  bound = $state.raw<RunSession | null>(null);
  boundEnds = $state(0);
  stream = $state<StreamState>("connecting");
  why = $state("");
  doing = $state<Doing | null>(null);
  /** Becomes true when the run turns ready while it is being watched. */
  becameReady = $state(false);

  readonly left = $derived(this.detail ? remaining(this.detail, session.now) : null);
  readonly failure = $derived(failure(this.events));
  readonly proving = $derived(proving(this.events));
  /** Why the last proof of isolation could not even begin, or ended. */
  proofError = $state.raw<HostError | null>(null);
  proofAsked = $state(false);
  readonly latest = $derived(this.telemetry.at(-1) ?? null);
  readonly alive = $derived(["starting", "ready", "paused", "stopping"].includes(this.detail?.run.state ?? ""));

  #pending: Event[] = [];
  #frame = 0;
  #streams: Stream[] = [];
  #loads: Stream | null = null;
  #reload: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setInterval> | undefined;
  #closed = false;

  constructor(id: string) {
    this.id = id;
  }

  /** History first, then the run as it is, then what happens from there on. */
  async open(): Promise<void> {
    this.error = null;
    try {
      const events = await session.call("list_events", { run: this.id, since: 0, limit: KEPT });
      const detail = await session.call("get_run", { run: this.id });
      if (this.#closed) return;
      this.events = events;
      this.detail = withSteps(detail, events);
    } catch (error) {
      this.error = HostError.from(error);
      return;
    }
    const sink = {
      item: (event: Event) => this.#take(event),
      state: (state: StreamState, why?: string) => {
        this.stream = state;
        this.why = why ?? "";
      },
    };
    void this.#session();
    this.#streams.push(session.host.events(this.id, this.events.at(-1)?.seq ?? 0, sink));
    this.#follow();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#reload);
    clearInterval(this.#watch);
    cancelAnimationFrame(this.#frame);
    this.#loads?.close();
    for (const stream of this.#streams) stream.close();
  }

  check(): Promise<CheckReport | null> {
    return this.#do("check", async () => {
      const report = await session.call("check_run", { run: this.id, criteria: [], gentle: false });
      if (this.detail) this.detail = withReport(this.detail, report);
      return report;
    });
  }

  submit(): Promise<SubmitReport | null> {
    return this.#do("submit", () => session.call("submit_run", { run: this.id }));
  }

  async togglePause(): Promise<void> {
    const command = this.detail?.run.state === "paused" ? "resume_run" : "pause_run";
    await this.#do("pause", async () => this.#keep(await session.call(command, { run: this.id })));
  }

  async extend(minutes: number): Promise<void> {
    await this.#do("extend", async () => this.#keep(await session.call("extend_run", { run: this.id, minutes })));
  }

  async stop(): Promise<boolean> {
    return (await this.#do("stop", () => session.call("stop_run", { run: this.id }))) !== null;
  }

  async restart(node: string): Promise<void> {
    await this.#do("restart", () => session.call("restart_node", { run: this.id, node }));
  }

  async reveal(hint: string): Promise<void> {
    await this.#do("hint", async () => {
      const shown = await session.call("reveal_hint", { run: this.id, hint });
      if (this.detail) this.detail = { ...this.detail, hints: this.detail.hints.map((h) => (h.id === hint ? shown : h)) };
    });
  }

  forward(node: string, port: number): Promise<Forward | null> {
    return this.#do("forward", async () => {
      const forward = await session.call("forward_port", { run: this.id, node, port });
      await this.#forwards();
      return forward;
    });
  }

  async closeForward(id: string): Promise<void> {
    await this.#do("forward", async () => {
      await session.call("close_forward", { id });
      await this.#forwards();
    });
  }

  /** Takes some ten seconds; its steps come as events. Failures are shown where it was asked for. */
  async proveIsolation(): Promise<void> {
    this.proofAsked = true;
    this.proofError = null;
    try {
      await session.call("probe_isolation", { run: this.id, full: true });
    } catch (error) {
      const failed = HostError.from(error);
      if (failed.code !== "cancelled") this.proofError = failed;
    } finally {
      this.proofAsked = false;
    }
  }

  async lookAtIsolation(): Promise<void> {
    await attempt(() => session.call("probe_isolation", { run: this.id, full: false }));
  }

  async cancelProof(): Promise<void> {
    const job = this.proving;
    if (job && !job.done) await attempt(() => session.call("cancel_job", { job: job.job }));
  }

  async #forwards(): Promise<void> {
    const forwards = await session.call("list_forwards", { run: this.id });
    if (this.detail) this.detail = { ...this.detail, forwards };
  }

  async #do<T>(what: Doing, action: () => Promise<T>): Promise<T | null> {
    this.doing = what;
    const result = await attempt(action);
    if (this.doing === what) this.doing = null;
    return result;
  }

  #keep(run: RunDetail["run"]): void {
    if (this.detail) this.detail = { ...this.detail, run };
  }

  #take(event: Event): void {
    this.#pending.push(event);
    // A burst becomes one change per frame.
    this.#frame ||= requestAnimationFrame(() => this.#drain());
  }

  #drain(): void {
    this.#frame = 0;
    const fresh = this.#pending;
    this.#pending = [];
    this.events = append(this.events, fresh, KEPT);
    if (!this.detail) return;
    const before = this.detail.run.state;
    this.detail = fresh.reduce(reduce, this.detail);
    if (before === "starting" && this.detail.run.state === "ready") this.becameReady = true;
    if (fresh.some(needsReload)) this.#reloadSoon();
    if (fresh.some((e) => e.kind.startsWith("session."))) void this.#session();
    this.#follow();
  }

  #reloadSoon(): void {
    clearTimeout(this.#reload);
    this.#reload = setTimeout(() => {
      session.call("get_run", { run: this.id }).then(
        (detail) => {
          if (this.#closed) return;
          const before = this.detail?.run.state;
          this.detail = withSteps(detail, this.events);
          if (before === "starting" && detail.run.state === "ready") this.becameReady = true;
          this.#follow();
        },
        (error: unknown) => {
          // The view keeps what it has; the stream's own state says that the engine is away.
          this.why = HostError.from(error).message;
        },
      );
    }, 30);
  }

  async #session(): Promise<void> {
    try {
      const bound = await session.call("run_session", { run: this.id });
      if (this.#closed) return;
      this.bound = bound;
      if (bound.session) this.boundEnds = Date.now() + bound.session.remaining_ms;
    } catch (error) {
      // Asks nobody outside: whatever fails here is the engine, whose absence the stream shows.
      this.why = HostError.from(error).message;
    }
  }

  /** Telemetry and continuous checks while there is something to measure, and not otherwise. */
  #follow(): void {
    const ready = this.detail?.run.state === "ready";
    if (ready && !this.#loads) {
      this.#loads = session.host.telemetry(this.id, {
        item: (second) => {
          this.telemetry = [...this.telemetry.slice(1 - SECONDS), second];
        },
      });
      this.#watchNow();
      this.#watch = setInterval(() => this.#watchNow(), WATCH_MS);
    } else if (!ready && this.#loads) {
      this.#loads.close();
      this.#loads = null;
      clearInterval(this.#watch);
    }
  }

  #watchNow(): void {
    if (document.hidden) return;
    session.call("watch_run", { run: this.id }).catch((error: unknown) => {
      this.why = HostError.from(error).message;
    });
  }
}
