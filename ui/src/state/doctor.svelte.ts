/** What this machine has and lacks. */
import type { DoctorReport, DoctorRow, Fix } from "../gen/api";
import type { CommandName, Request } from "../ipc/host";
import { events } from "./events.svelte";
import { jobs } from "./jobs.svelte";
import { Resource } from "./resource.svelte";
import { session } from "./session.svelte";
import { attempt } from "./toasts.svelte";

class Doctor {
  readonly report = new Resource<DoctorReport>(() => session.call("doctor", {}));
  fixing = $state<string | null>(null);

  row(id: string): DoctorRow | null {
    return this.report.value?.rows.find((r) => r.id === id) ?? null;
  }

  /** Fix commands come from the engine's own contract, so the name is one of ours. */
  async fix(row: DoctorRow, fix: Extract<Fix, { kind: "call" }>): Promise<void> {
    this.fixing = row.id;
    await attempt(() => session.call(fix.command as CommandName, fix.args as Request<CommandName>));
    this.fixing = null;
    await Promise.all([this.report.load(), jobs.list.load(), jobs.images.load()]);
  }

  follow(): void {
    events.on("job.done", () => void this.report.load());
  }
}

export const doctor = new Doctor();
