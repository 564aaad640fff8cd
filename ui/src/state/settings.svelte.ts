/** The learner's settings; a change shows at once and is put back when the engine refuses it. */
import type { Settings, Theme } from "../gen/api";
import { Resource } from "./resource.svelte";
import { session } from "./session.svelte";
import { attempt } from "./toasts.svelte";

const DARK = "(prefers-color-scheme: dark)";

class SettingsState {
  readonly data = new Resource<Settings>(() => session.call("get_settings", {}));
  #systemDark = $state(matchMedia(DARK).matches);

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

  async change(part: Partial<Settings>): Promise<void> {
    const before = this.data.value;
    if (!before) return;
    this.data.set({ ...before, ...part });
    const saved = await attempt(() => session.call("set_settings", { ...before, ...part }));
    this.data.set(saved ?? before);
  }

  toggleTheme(): Promise<void> {
    return this.change({ theme: this.dark ? "light" : "dark" });
  }
}

export const settings = new SettingsState();
