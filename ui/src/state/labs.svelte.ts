/** The library: labs, their details as they are asked for, and results so far. */
import { untrack } from "svelte";
import type { History, LabDetail, LabSummary, ResultSummary } from "../gen/api";
import { events } from "./events.svelte";
import { Resource } from "./resource.svelte";
import { session } from "./session.svelte";

class Labs {
  readonly list = new Resource<LabSummary[]>(() => session.call("list_labs", {}));
  readonly results = new Resource<ResultSummary[]>(() => session.call("list_results", {}));
  #details = new Map<string, Resource<LabDetail>>();

  /** The same resource for the same lab; the caller loads it. */
  detail(id: string): Resource<LabDetail> {
    let found = this.#details.get(id);
    if (!found) {
      // Made outside of the reaction that asks: Svelte does not track state a reaction has made itself.
      found = untrack(() => new Resource<LabDetail>(() => session.call("get_lab", { lab: id })));
      this.#details.set(id, found);
    }
    return found;
  }

  history(dark: boolean): Promise<History> {
    return session.call("history", { dark });
  }

  refresh(): void {
    void this.list.load();
    for (const detail of this.#details.values()) if (!detail.fresh) void detail.load();
  }

  follow(): void {
    events.on("run.state", () => this.refresh());
    events.on("job.done", () => this.refresh());
    events.on("submit.done", () => {
      this.refresh();
      void this.results.load();
    });
  }
}

export const labs = new Labs();
