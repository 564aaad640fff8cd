/** The private keys: whether they are open, where they are, and what can be done with them. */
import type { KeyPlace, KeyRotated, KeyUse, KeysStatus } from "../gen/api";
import { HostError } from "../ipc/host";
import { doctor } from "./doctor.svelte";
import { events } from "./events.svelte";
import { Resource } from "./resource.svelte";
import { session } from "./session.svelte";

/** Somebody may unlock them elsewhere: another window, another program. */
const LOOK = 3_000;

export class Keys {
  readonly status = new Resource<KeysStatus>(() => session.call("keys_status", {}));
  busy = $state<"unlock" | "move" | "rotate" | null>(null);
  /** Why the last attempt failed. */
  error = $state.raw<HostError | null>(null);
  /** No attempt is looked at before. */
  next = $state(0);
  rotated = $state.raw<KeyRotated | null>(null);
  #opened: () => void = () => undefined;

  get locked(): boolean {
    return this.status.value?.locked === true;
  }

  /** Resolves once they are open; also when nobody can say, because what is asked next says why. */
  async opened(): Promise<void> {
    await this.#look();
    while (this.locked) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      await new Promise<void>((done) => {
        this.#opened = done;
        timer = setTimeout(done, LOOK);
      });
      clearTimeout(timer);
      if (this.locked && this.busy === null) await this.#look();
    }
  }

  async #look(): Promise<void> {
    await this.status.load();
    const wait = this.status.value?.wait_ms ?? 0;
    if (wait > 0) this.next = Math.max(this.next, Date.now() + wait);
  }

  /** None: the system's store is asked. True when they are open. */
  async unlock(passphrase: string | null): Promise<boolean> {
    const status = await this.#during("unlock", () => session.call("unlock_keys", { passphrase }));
    if (status) this.#opened();
    return status !== null;
  }

  /** True when it worked. */
  async move(to: KeyPlace, passphrase: string | null, current: string | null): Promise<boolean> {
    const status = await this.#during("move", () => session.call("protect_keys", { to, passphrase, current }));
    if (status) this.#changed();
    return status !== null;
  }

  async rotate(name: KeyUse): Promise<boolean> {
    let done: KeyRotated | null = null;
    await this.#during("rotate", async () => {
      done = await session.call("rotate_key", { name });
      return session.call("keys_status", {});
    });
    if (done === null) return false;
    this.rotated = done;
    this.#changed();
    return true;
  }

  /** A dialog opens: what an earlier one said is no longer of interest. */
  forget(): void {
    this.error = null;
  }

  #changed(): void {
    void session.about.load();
    void doctor.report.load();
  }

  async #during(what: NonNullable<Keys["busy"]>, action: () => Promise<KeysStatus>): Promise<KeysStatus | null> {
    if (this.busy) return null;
    this.busy = what;
    this.error = null;
    try {
      const status = await action();
      this.status.set(status);
      return status;
    } catch (cause) {
      const error = HostError.from(cause);
      this.error = error;
      this.next = Date.now() + pause(error.details);
      return null;
    } finally {
      this.busy = null;
    }
  }

  follow(): void {
    events.on("keys.", () => void this.status.load());
  }
}

/** Milliseconds, where the engine says some. */
export function pause(details: unknown): number {
  if (typeof details !== "object" || details === null || !("wait_ms" in details)) return 0;
  const wait = details.wait_ms;
  return typeof wait === "number" && wait > 0 ? wait : 0;
}

export const keys = new Keys();
