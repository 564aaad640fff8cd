/** The scoreboard: where it stands, and what can be done about it. */
import type { EnrolBoard, ResultSync, SyncPreview, SyncStatus } from "../gen/api";
import { SYNC } from "../words/sync";
import { events } from "./events.svelte";
import { Resource } from "./resource.svelte";
import { session } from "./session.svelte";
import { attempt, toasts } from "./toasts.svelte";

class Sync {
  readonly status = new Resource<SyncStatus>(() => session.call("sync_status", {}));
  preview = $state.raw<SyncPreview | null>(null);
  busy = $state<"enrol" | "send" | "preview" | "off" | null>(null);

  of(result: string): ResultSync | null {
    return this.status.value?.results.find((r) => r.result === result) ?? null;
  }

  /** True when it worked. */
  async enrol(request: EnrolBoard): Promise<boolean> {
    const status = await this.#during("enrol", () => session.call("enrol_board", request));
    if (status) this.status.set(status);
    return status !== null;
  }

  async send(retry_refused = false): Promise<void> {
    const report = await this.#during("send", () => session.call("sync_now", { retry_refused }));
    if (!report) return;
    const told = `${report.accepted} accepted, ${report.refused} refused, ${report.pending} waiting.`;
    await this.status.load();
    // What waits though the scoreboard took the others says why.
    const held = report.pending > 0 ? this.status.value?.results.find((r) => r.state === "pending" && r.why !== "")?.why : undefined;
    const why = report.error?.message ?? held;
    if (why !== undefined) toasts.show("warn", SYNC.stopped, `${why} ${told}`);
    else toasts.show(report.refused > 0 ? "warn" : "ok", SYNC.sent, told);
  }

  async show(): Promise<void> {
    this.preview = await this.#during("preview", () => session.call("preview_sync", {}));
  }

  async turnOff(): Promise<void> {
    const status = await this.#during("off", () => session.call("unenrol_board", {}));
    if (status) this.status.set(status);
  }

  async #during<T>(what: NonNullable<Sync["busy"]>, action: () => Promise<T>): Promise<T | null> {
    if (this.busy) return null;
    this.busy = what;
    const done = await attempt(action);
    this.busy = null;
    return done;
  }

  follow(): void {
    events.on("sync.raised", (event) => toasts.show("ok", SYNC.raised, event.text));
    for (const kind of ["sync.", "submit.done"]) events.on(kind, () => void this.status.load());
  }
}

export const sync = new Sync();
