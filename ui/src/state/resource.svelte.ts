/** Something read from the engine: value, error and whether a read is under way. A reload keeps the old value on show. */
import { HostError } from "../ipc/host";

export class Resource<T> {
  value = $state.raw<T | null>(null);
  error = $state.raw<HostError | null>(null);
  loading = $state(false);
  readonly #read: () => Promise<T>;
  #turn = 0;

  constructor(read: () => Promise<T>) {
    this.#read = read;
  }

  /** True until the first answer, good or bad. */
  get fresh(): boolean {
    return this.value === null && this.error === null;
  }

  /** Reads again; when two reads overlap, the later one's answer stays. */
  async load(): Promise<void> {
    const turn = ++this.#turn;
    this.loading = true;
    try {
      const value = await this.#read();
      if (turn !== this.#turn) return;
      this.value = value;
      this.error = null;
    } catch (error) {
      if (turn !== this.#turn) return;
      this.error = HostError.from(error);
    } finally {
      if (turn === this.#turn) this.loading = false;
    }
  }

  set(value: T): void {
    this.#turn += 1;
    this.loading = false;
    this.value = value;
    this.error = null;
  }
}
