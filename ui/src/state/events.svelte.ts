/** The one event stream of this window; other state listens here and refreshes what an event says has changed. */
import type { Event } from "../gen/api";
import type { StreamState } from "../ipc/host";
import { session } from "./session.svelte";

const KEPT = 2000;
type Listener = (event: Event) => void;

class Events {
  /** Newest last, at most 2000. */
  recent = $state.raw<readonly Event[]>([]);
  stream = $state<StreamState>("connecting");
  why = $state("");
  readonly #listeners = new Set<Listener>();
  #pending: Event[] = [];
  #frame = 0;

  /** Begins with the newest persisted events, then follows. */
  async follow(): Promise<void> {
    let since = 0;
    try {
      const recent = await session.call("list_events", { run: null, since: 0, limit: 200 });
      this.recent = recent;
      since = recent.at(-1)?.seq ?? 0;
    } catch {
      // The stream below reports the same trouble as its state, and replays what could not be listed.
    }
    session.host.events(null, since, {
      item: (event) => this.#take(event),
      state: (state, why) => {
        this.stream = state;
        this.why = why ?? "";
      },
    });
  }

  /** Called for each live event of a kind that starts with `prefix`. Returns the way to stop. */
  on(prefix: string, listener: Listener): () => void {
    const wrapped: Listener = (event) => {
      if (event.kind.startsWith(prefix)) listener(event);
    };
    this.#listeners.add(wrapped);
    return () => this.#listeners.delete(wrapped);
  }

  #take(event: Event): void {
    for (const listener of this.#listeners) listener(event);
    // A burst of thousands of lines becomes one change per frame.
    this.#pending.push(event);
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.recent = [...this.recent, ...this.#pending].slice(-KEPT);
      this.#pending = [];
    });
  }
}

export const events = new Events();
