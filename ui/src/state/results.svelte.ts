/** One result as it is looked at: its detail, and what verifying it again said. */
import type { ResultDetail, VerifyReport } from "../gen/api";
import { Resource } from "./resource.svelte";
import { session } from "./session.svelte";
import { attempt, toasts } from "./toasts.svelte";

class OpenResult {
  #id = "";
  #dark = false;
  readonly detail = new Resource<ResultDetail>(() => session.call("get_result", { id: this.#id, dark: this.#dark }));
  /** Newer than the detail's own report. */
  report = $state.raw<VerifyReport | null>(null);
  regraded = $state(false);
  busy = $state<"verify" | "regrade" | "export" | null>(null);

  /** Another theme reads the chart again and leaves the rest on show. */
  open(id: string, dark: boolean): void {
    if (id !== this.#id) {
      this.detail.value = null;
      this.detail.error = null;
      this.report = null;
      this.regraded = false;
    }
    this.#id = id;
    this.#dark = dark;
    void this.detail.load();
  }

  get verified(): VerifyReport | null {
    return this.report ?? this.detail.value?.verified ?? null;
  }

  async verify(regrade: boolean): Promise<void> {
    const dir = this.detail.value?.summary.dir;
    const id = this.#id;
    if (!dir || this.busy) return;
    this.busy = regrade ? "regrade" : "verify";
    const report = await attempt(() => session.call("verify_result", { dir, regrade }));
    this.busy = null;
    if (!report || id !== this.#id) return;
    this.report = report;
    this.regraded = regrade;
  }

  async export(title: string): Promise<void> {
    if (this.busy) return;
    this.busy = "export";
    const written = await attempt(() => session.call("export_report", { id: this.#id, dark: false }));
    this.busy = null;
    if (written) toasts.show("ok", title, written.path);
  }
}

export const openResult = new OpenResult();
