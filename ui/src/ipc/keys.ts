/**
 * Keeps what is typed in its order where each piece travels in a call of its own: the engine takes calls up side by side, so
 * two under way can overtake each other. One is sent at a time; what is typed meanwhile goes together with the next.
 */
export class InOrder {
  readonly #send: (bytes: Uint8Array) => Promise<void>;
  readonly #failed: (error: unknown) => void;
  #waiting: Uint8Array[] = [];
  #busy = false;
  #stopped = false;

  constructor(send: (bytes: Uint8Array) => Promise<void>, failed: (error: unknown) => void) {
    this.#send = send;
    this.#failed = failed;
  }

  push(bytes: Uint8Array): void {
    if (this.#stopped) return;
    this.#waiting.push(bytes);
    if (!this.#busy) void this.#drain();
  }

  /** Forgets what waits; nothing is sent any more. */
  stop(): void {
    this.#stopped = true;
    this.#waiting = [];
  }

  async #drain(): Promise<void> {
    this.#busy = true;
    try {
      while (this.#waiting.length > 0) await this.#send(this.#next());
    } catch (error) {
      // After a gap the rest would be another command than the one that was typed.
      const stopped = this.#stopped;
      this.stop();
      if (!stopped) this.#failed(error);
    } finally {
      this.#busy = false;
    }
  }

  /** What waits, joined up to `JOINED` bytes; one piece is never cut. */
  #next(): Uint8Array {
    let count = 1;
    let size = this.#waiting[0]?.length ?? 0;
    for (const more of this.#waiting.slice(1)) {
      if (size + more.length > JOINED) break;
      size += more.length;
      count += 1;
    }
    const taken = this.#waiting.splice(0, count);
    if (taken.length === 1 && taken[0]) return taken[0];
    const joined = new Uint8Array(size);
    let at = 0;
    for (const piece of taken) {
      joined.set(piece, at);
      at += piece.length;
    }
    return joined;
  }
}

/** Far below what the engine takes at once (1 MiB), far above what anybody types while a call is under way. */
const JOINED = 64 * 1024;
