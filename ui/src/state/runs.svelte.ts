/** Runs that are alive, and the actions on them that any view may offer. */
import type { RunSummary } from "../gen/api";
import { events } from "./events.svelte";
import { Resource } from "./resource.svelte";
import { router } from "./router.svelte";
import { session } from "./session.svelte";
import { attempt, toasts } from "./toasts.svelte";

const ALIVE: readonly RunSummary["state"][] = ["starting", "ready", "paused", "stopping"];

class Runs {
  readonly list = new Resource<RunSummary[]>(() => session.call("list_runs", { all: false }));
  /** The lab whose start was asked for and not yet answered. */
  starting = $state<string | null>(null);

  get alive(): RunSummary[] {
    return (this.list.value ?? []).filter((r) => ALIVE.includes(r.state));
  }

  /** Asks for a run and opens it; the request id makes a double click one run. */
  async start(lab: string, seed: string | null = null): Promise<void> {
    if (this.starting) return;
    this.starting = lab;
    const run = await attempt(() => session.call("start_lab", { lab, request_id: crypto.randomUUID(), seed }));
    this.starting = null;
    if (!run) return;
    void this.list.load();
    router.go("lab", run.run);
  }

  async stop(run: string): Promise<void> {
    const report = await attempt(() => session.call("stop_run", { run }));
    if (report?.cleared.length) toasts.show("ok", "Cleaned up", "It had failed before, and why is kept. What was left of it is gone.");
    else if (report?.already.length) toasts.show("info", "It was over already", "There was nothing left to stop.");
    else if (report) toasts.show("ok", "Lab stopped", "Its containers and networks are gone.");
    void this.list.load();
  }

  follow(): void {
    for (const kind of ["run.", "timer.", "check.report", "submit.done"]) events.on(kind, (event) => {
      if (event.kind !== "run.step") void this.list.load();
    });
  }
}

export const runs = new Runs();
