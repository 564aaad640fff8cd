/**
 * xterm under a content security policy with `style-src 'self'`.
 *
 * xterm writes its rules into `<style>` elements, and two inline colours with `setAttribute("style", …)`; the policy blocks
 * both. What the policy allows is the CSSOM: constructable style sheets and `element.style`. So xterm gets, through its own
 * `documentOverride` option, this page's document with another `createElement`:
 * - a "style" element is an inert `<template>` whose text becomes a sheet in `document.adoptedStyleSheets`, and which takes
 *   the sheet away when it is removed;
 * - a "span" (what the DOM renderer draws cells with) takes its `style` attribute through `style.cssText`.
 * Everything else goes to the real document.
 */
export function documentForXterm(real: Document = document): Document {
  const create = (tag: string, options?: ElementCreationOptions): HTMLElement => {
    if (tag === "style") return sheetElement(real);
    const element = real.createElement(tag, options);
    if (tag === "span") element.setAttribute = setAttribute;
    return element;
  };
  return new Proxy(real, {
    get(target, name) {
      if (name === "createElement") return create;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
    set: (target, name, value) => Reflect.set(target, name, value, target),
  });
}

function setAttribute(this: HTMLElement, name: string, value: string): void {
  if (name === "style") this.style.cssText = value;
  else Element.prototype.setAttribute.call(this, name, value);
}

function sheetElement(real: Document): HTMLElement {
  const element = real.createElement("template");
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
