/** Short notices in the corner, each also spoken by the live region. Errors stay until dismissed. */
import { HostError } from "../ipc/host";
import { wordsOf } from "../words/errors";
import { GOVERNANCE } from "../words/governance";
import { decisionOf } from "./decision";
import { href } from "./router.svelte";

export interface Toast {
  id: number;
  tone: "ok" | "info" | "warn" | "fail";
  title: string;
  detail: string;
  /** Where to read more. */
  link: { href: string; text: string } | null;
}

class Toasts {
  list = $state.raw<readonly Toast[]>([]);
  #next = 1;

  show(tone: Toast["tone"], title: string, detail = "", link: Toast["link"] = null): void {
    const toast = { id: this.#next++, tone, title, detail, link };
    this.list = [...this.list.slice(-3), toast];
    if (tone === "ok" || tone === "info") setTimeout(() => this.dismiss(toast.id), 6000);
  }

  /** What a failed action says. A cancellation was asked for, so it says nothing. */
  error(cause: unknown): void {
    const error = HostError.from(cause);
    const words = wordsOf(error);
    if (words.severity === "quiet") return;
    const decision = decisionOf(error.details);
    const link = decision === null ? null : { href: href("governance", String(decision)), text: GOVERNANCE.why };
    this.show(words.severity, words.title, [error.message, ...error.hints.slice(0, 1)].join(" "), link);
  }

  dismiss(id: number): void {
    this.list = this.list.filter((t) => t.id !== id);
  }
}

export const toasts = new Toasts();

/** Runs an action started by a click or key; a failure becomes a toast. Resolves to null when it failed. */
export async function attempt<T>(action: () => Promise<T>): Promise<T | null> {
  try {
    return await action();
  } catch (error) {
    toasts.error(error);
    return null;
  }
}
