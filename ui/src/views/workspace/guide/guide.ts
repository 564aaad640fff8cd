/** From the engine's sanitized HTML to the guide on screen: anchors of its own, code with buttons, tables that scroll. */
import { WORDS } from "../../../words/workspace";

export interface Heading {
  id: string;
  level: number;
  text: string;
}
export interface Built {
  content: DocumentFragment;
  headings: Heading[];
  /** The node of the first command: where the learner will want a terminal. */
  firstNode: string | null;
}

const PREFIX = "guide-";
/** The engine lets none of these through; if one comes all the same it is not shown. */
const NEVER = "script, style, iframe, object, embed, link, meta, base, form, img, svg, math, template";

export function build(html: string): Built {
  const page = new DOMParser().parseFromString(html, "text/html");
  for (const element of page.querySelectorAll(NEVER)) element.remove();
  for (const element of page.body.querySelectorAll("*")) {
    for (const { name } of [...element.attributes]) if (name === "style" || name.startsWith("on")) element.removeAttribute(name);
    if (element.id !== "") element.id = PREFIX + element.id;
  }
  const headings = [...page.querySelectorAll<HTMLElement>("h1, h2, h3")].map((h, i) => {
    if (h.id === "") h.id = `${PREFIX}${i}`;
    h.tabIndex = -1;
    return { id: h.id, level: Number(h.tagName.slice(1)), text: h.textContent };
  });
  page.querySelectorAll("table").forEach((table, i) => wrap(table, "scroll", WORDS.guide.table(i + 1)));
  page.querySelectorAll<HTMLElement>("pre").forEach((pre, i) => withTools(page, pre, i + 1));
  const content = document.createDocumentFragment();
  content.append(...page.body.childNodes);
  return { content, headings, firstNode: content.querySelector<HTMLElement>("pre[data-node]")?.dataset["node"] ?? null };
}

/** The text of a block as it is typed: no final line break, so that the learner presses Enter. */
export function codeOf(block: Element): string {
  return (block.querySelector("code")?.textContent ?? "").replace(/\n+$/, "");
}

export function anchorId(hash: string): string {
  return PREFIX + decodeURIComponent(hash.replace(/^#/, ""));
}

function wrap(element: Element, className: string, label: string): HTMLElement {
  const box = element.ownerDocument.createElement("div");
  box.className = className;
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", label);
  element.replaceWith(box);
  box.append(element);
  return box;
}

function withTools(page: Document, pre: HTMLElement, n: number): void {
  const node = pre.dataset["node"] ?? null;
  const block = page.createElement("div");
  block.className = "block";
  const bar = page.createElement("div");
  bar.className = "bar";
  const where = page.createElement("span");
  where.textContent = node ?? pre.dataset["language"] ?? "";
  bar.append(where);
  const isShell = node !== null || /^(sh|bash|shell|console)$/.test(pre.dataset["language"] ?? "");
  if (isShell) bar.append(button(page, "type", WORDS.guide.type, node === null ? WORDS.guide.typeActive : WORDS.guide.typeInto(node)));
  bar.append(button(page, "copy", WORDS.guide.copy, WORDS.guide.copyCode));
  // A long line scrolls, so the keyboard must reach it.
  pre.tabIndex = 0;
  pre.setAttribute("role", "region");
  pre.setAttribute("aria-label", WORDS.guide.code(n, node));
  pre.replaceWith(block);
  block.append(bar, pre);
}

function button(page: Document, action: string, text: string, label: string): HTMLElement {
  const b = page.createElement("button");
  b.setAttribute("type", "button");
  b.dataset["action"] = action;
  b.textContent = text;
  b.title = label;
  b.setAttribute("aria-label", `${text}: ${label}`);
  return b;
}
