/** The learner's settings; a change shows at once and is put back when the engine refuses it. */
import type { Settings, Theme } from "../gen/api";
import { Resource } from "./resource.svelte";
import { session } from "./session.svelte";
import { attempt } from "./toasts.svelte";

const DARK = "(prefers-color-scheme: dark)";

class SettingsState {
  readonly data = new Resource<Settings>(() => session.call("get_settings", {}));
  #systemDark = $state(matchMedia(DARK).matches);
  /** As the engine has them, while changes wait. */
  #kept: Settings | null = null;
  #waiting = 0;
  #saved: Promise<void> = Promise.resolve();

  constructor() {
    matchMedia(DARK).addEventListener("change", (e) => {
      this.#systemDark = e.matches;
    });
  }

  get theme(): Theme {
    return this.data.value?.theme ?? "system";
  }

  get dark(): boolean {
    return this.theme === "system" ? this.#systemDark : this.theme === "dark";
  }

  /** Each save carries all settings, so the next one waits for the one before: two at once could undo each other. */
  change(part: Partial<Settings>): Promise<void> {
    const shown = this.data.value;
    if (!shown) return Promise.resolve();
    if (this.#waiting === 0) this.#kept = shown;
    this.#waiting += 1;
    this.data.set({ ...shown, ...part });
    this.#saved = this.#saved.then(() => this.#save(part));
    return this.#saved;
  }

  async #save(part: Partial<Settings>): Promise<void> {
    const kept = this.#kept;
    if (kept) this.#kept = (await attempt(() => session.call("set_settings", { ...kept, ...part }))) ?? kept;
    this.#waiting -= 1;
    // Only the last one says what is shown: the learner may have gone on meanwhile.
    if (this.#waiting === 0 && this.#kept) this.data.set(this.#kept);
  }

  toggleTheme(): Promise<void> {
    return this.change({ theme: this.dark ? "light" : "dark" });
  }
}

export const settings = new SettingsState();
