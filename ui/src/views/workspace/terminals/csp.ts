/**
 * xterm under a content security policy with `style-src 'self'`.
 *
 * xterm writes its rules into `<style>` elements, and the colours of a cell with `setAttribute("style", …)`; the policy blocks
 * both. What the policy allows is the CSSOM: constructable style sheets and `element.style`. So:
 * - through its own `documentOverride` option xterm gets this page's document with another `createElement`, where a "style"
 *   element is an inert `<template>` whose text becomes a sheet in `document.adoptedStyleSheets`, and which takes the sheet
 *   away when it is removed;
 * - spans, which the DOM renderer makes with the global document whatever the option says, take their `style` attribute
 *   through `style.cssText`: the same outcome by the permitted way.
 */
export function documentForXterm(real: Document = document): Document {
  const create = creator(real);
  return new Proxy(real, {
    get(target, name) {
      if (name === "createElement") return create;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
    set: (target, name, value) => Reflect.set(target, name, value, target),
  });
}

/** `term.open`, whose viewport takes `window.document` for its one style element whatever `documentOverride` says. */
export function openUnderCsp(term: { open(host: HTMLElement): void }, host: HTMLElement): void {
  const create = creator(document);
  HTMLSpanElement.prototype.setAttribute = setAttribute;
  Object.defineProperty(document, "createElement", { value: create, configurable: true });
  try {
    term.open(host);
  } finally {
    // What the prototype has shows again.
    Reflect.deleteProperty(document, "createElement");
  }
}

function creator(real: Document): (tag: string, options?: ElementCreationOptions) => HTMLElement {
  const create = Document.prototype.createElement.bind(real) as (tag: string, options?: ElementCreationOptions) => HTMLElement;
  return (tag, options) => {
    if (tag === "style") return sheetElement(real, create("template"));
    return create(tag, options);
  };
}

function setAttribute(this: HTMLSpanElement, name: string, value: string): void {
  if (name === "style") this.style.cssText = value;
  else Element.prototype.setAttribute.call(this, name, value);
}

function sheetElement(real: Document, element: HTMLElement): HTMLElement {
  const sheet = new CSSStyleSheet();
  let text = "";
  Object.defineProperty(element, "textContent", {
    get: () => text,
    set: (css: string) => {
      text = css;
      sheet.replaceSync(css);
      if (!real.adoptedStyleSheets.includes(sheet)) real.adoptedStyleSheets = [...real.adoptedStyleSheets, sheet];
    },
  });
  element.remove = () => {
    real.adoptedStyleSheets = real.adoptedStyleSheets.filter((s) => s !== sheet);
    Element.prototype.remove.call(element);
  };
  return element;
}
