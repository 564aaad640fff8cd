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
/** What the engine's renderer writes, and the attributes each may have. Whatever else came is shown as its text alone. */
const KNOWN = new Map<string, readonly string[]>(
  ["H1", "H2", "H3", "H4", "H5", "H6", "P", "BR", "HR", "EM", "STRONG", "DEL", "BLOCKQUOTE", "UL", "LI", "TABLE", "THEAD", "TBODY", "TR", "TH", "TD"].map((tag) => [tag, tag.startsWith("H") && tag !== "HR" ? ["id"] : []]),
)
  .set("OL", ["start"])
  .set("CODE", ["class"])
  .set("PRE", ["data-node", "data-language"])
  .set("A", ["href", "target", "rel"])
  .set("INPUT", ["type", "disabled", "checked"]);
/** Their text is code or data, not words. */
const SILENT = "script, style, template, noscript, iframe, object, embed, svg, math, textarea, select, title, head";

export function build(html: string, title = ""): Built {
  const page = new DOMParser().parseFromString(html, "text/html");
  for (const element of page.body.querySelectorAll(SILENT)) element.remove();
  for (const element of [...page.body.querySelectorAll("*")]) clean(element);
  // The window's header says the lab's title already.
  const [first] = page.body.children;
  if (first?.tagName === "H1" && first.textContent.trim() === title) first.remove();
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

function clean(element: Element): void {
  const allowed = KNOWN.get(element.tagName);
  if (!allowed || (element.tagName === "INPUT" && element.getAttribute("type") !== "checkbox")) {
    element.replaceWith(...element.childNodes);
    return;
  }
  for (const { name } of [...element.attributes]) if (!allowed.includes(name)) element.removeAttribute(name);
  if (element.id !== "") element.id = PREFIX + element.id;
  const href = element.getAttribute("href");
  if (href !== null && !/^(#|https:\/\/)/i.test(href)) element.removeAttribute("href");
  if (element.tagName === "CODE" && !/^language-[\w+-]*$/.test(element.className)) element.removeAttribute("class");
  if (element.tagName === "INPUT") element.setAttribute("disabled", "");
}

/** Not seen, and yet typed or copied: control characters, direction marks, zero-width characters. */
const UNSEEN = /[^\P{Cc}\n\t]|[\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

/** The text of a block as it is typed: what is seen and no more, no final line break, so that the learner presses Enter. */
export function codeOf(block: Element): string {
  return (block.querySelector("code")?.textContent ?? "").replace(UNSEEN, "").replace(/\n+$/, "");
}

export function anchorId(hash: string): string {
  const name = hash.replace(/^#/, "");
  try {
    return PREFIX + decodeURIComponent(name);
  } catch {
    return PREFIX + name;
  }
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
