/** A tooltip for any control: `{@attach tip("words")}`. One element serves the window; it is also read out. */
import type { Attachment } from "svelte/attachments";

const DELAY_MS = 400;
let bubble: HTMLElement | null = null;
let owner: HTMLElement | null = null;
let tabbed = false;
let timer: ReturnType<typeof setTimeout> | undefined;

addEventListener("keydown", (e) => (tabbed = e.key === "Tab" || e.key.startsWith("Arrow")), true);
addEventListener("pointerdown", () => (tabbed = false), true);

function hide(): void {
  clearTimeout(timer);
  owner?.removeAttribute("aria-describedby");
  owner = null;
  bubble?.remove();
}

function show(anchor: HTMLElement, text: string): void {
  hide();
  bubble ??= Object.assign(document.createElement("div"), { className: "tip", id: "tip", role: "tooltip" });
  bubble.textContent = text;
  // Inside an open dialog the tooltip has to be in the same top layer.
  (anchor.closest("dialog") ?? document.body).append(bubble);
  const a = anchor.getBoundingClientRect();
  const b = bubble.getBoundingClientRect();
  const below = a.bottom + 6 + b.height < innerHeight;
  bubble.style.left = `${Math.max(6, Math.min(innerWidth - b.width - 6, a.left + a.width / 2 - b.width / 2))}px`;
  bubble.style.top = `${below ? a.bottom + 6 : a.top - b.height - 6}px`;
  owner = anchor;
  anchor.setAttribute("aria-describedby", "tip");
}

export function tip(text: string): Attachment<HTMLElement> {
  return (anchor) => {
    if (text === "") return;
    const later = () => {
      clearTimeout(timer);
      timer = setTimeout(() => show(anchor, text), DELAY_MS);
    };
    const focus = () => {
      // A dialog that opens puts the focus somewhere; only a step with Tab asks for words.
      if (tabbed && anchor.matches(":focus-visible")) show(anchor, text);
    };
    const key = (e: KeyboardEvent) => {
      if (e.key === "Escape") hide();
    };
    anchor.addEventListener("pointerenter", later);
    anchor.addEventListener("pointerleave", hide);
    anchor.addEventListener("pointerdown", hide);
    anchor.addEventListener("focus", focus);
    anchor.addEventListener("blur", hide);
    anchor.addEventListener("keydown", key);
    return () => {
      if (owner === anchor) hide();
      anchor.removeEventListener("pointerenter", later);
      anchor.removeEventListener("pointerleave", hide);
      anchor.removeEventListener("pointerdown", hide);
      anchor.removeEventListener("focus", focus);
      anchor.removeEventListener("blur", hide);
      anchor.removeEventListener("keydown", key);
    };
  };
}
