import { untrack } from "svelte";
/** Everything a key or the palette can do. Views add their own while they are shown. */
export interface Action {
  id: string;
  title: string;
  group: string;
  /** As written on the key help, e.g. "Mod+K", "G then L", "?" . */
  keys?: string;
  /** More words to find it by. */
  also?: string;
  enabled?: () => boolean;
  run: () => void;
}

class Actions {
  list = $state.raw<readonly Action[]>([]);
  paletteOpen = $state(false);
  keysOpen = $state(false);

  /** Returns the way to take them back; made for `$effect(() => actions.add([...]))`. */
  add(more: Action[]): () => void {
    // Read without tracking: an effect that adds must not run again because it added.
    this.list = [...untrack(() => this.list), ...more];
    return () => {
      this.list = untrack(() => this.list).filter((a) => !more.includes(a));
    };
  }
}

export const actions = new Actions();

export const isMac = /Mac|iPhone|iPad/.test(navigator.userAgent);

/** "Mod+Shift+K" of an event; Mod is ⌘ on a Mac, Ctrl elsewhere. A bare printable key is itself. */
export function chord(e: KeyboardEvent): string {
  const key = e.key.length === 1 ? e.key.toUpperCase() : e.key;
  const mod = isMac ? e.metaKey : e.ctrlKey;
  const shift = e.shiftKey && (e.key.length > 1 || /[a-z]/i.test(e.key));
  return [mod ? "Mod" : "", e.altKey ? "Alt" : "", shift ? "Shift" : "", key].filter(Boolean).join("+");
}

/** Where letters are meant for the text, not for us. Chords with Mod still reach us. */
export function typing(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

/** Single keys wait for a second one after "G"; `feed` returns the action to run, if the chord completes one. */
export class Sequencer {
  #first: { key: string; at: number } | null = null;

  feed(pressed: string, at: number, list: readonly Action[]): Action | null {
    const enabled = list.filter((a) => a.enabled?.() ?? true);
    if (this.#first && at - this.#first.at < 1200) {
      const both = `${this.#first.key} then ${pressed}`;
      this.#first = null;
      const found = enabled.find((a) => a.keys === both);
      if (found) return found;
    }
    this.#first = enabled.some((a) => a.keys?.startsWith(`${pressed} then `)) ? { key: pressed, at } : null;
    return enabled.find((a) => a.keys === pressed) ?? null;
  }
}

/** Letters in order score; starts of words score more. Null when a letter is missing. */
export function match(query: string, text: string): number | null {
  const q = query.toLowerCase().trim();
  const t = text.toLowerCase();
  if (q === "") return 0;
  const at = t.indexOf(q);
  if (at >= 0) return 100 - at + (at === 0 || t[at - 1] === " " ? 50 : 0);
  let from = 0;
  let score = 0;
  for (const letter of q) {
    if (letter === " ") continue;
    const found = t.indexOf(letter, from);
    if (found < 0) return null;
    score += found === 0 || /[\s\-/]/.test(t[found - 1] ?? "") ? 4 : found === from ? 2 : 0;
    from = found + 1;
  }
  return score;
}
