import { beforeAll, describe, expect, it } from "vitest";
import { documentForXterm, openUnderCsp } from "./csp";

describe("xterm under a strict content security policy", () => {
  beforeAll(() => {
    // jsdom has no constructable style sheets; what is tested here is where the rules go.
    class Sheet {
      text = "";
      replaceSync(css: string) {
        this.text = css;
      }
    }
    Object.assign(globalThis, { CSSStyleSheet: Sheet });
    Object.defineProperty(document, "adoptedStyleSheets", { value: [], writable: true });
  });
  const rules = () => document.adoptedStyleSheets.map((s) => (s as unknown as { text: string }).text);

  it("makes style elements adopted sheets, and takes them away again", () => {
    const style = documentForXterm().createElement("style");
    expect(style.tagName).not.toBe("STYLE");
    document.body.append(style);
    style.textContent = ".a{color:red}";
    style.textContent = ".a{color:blue}";
    expect(rules()).toEqual([".a{color:blue}"]);
    expect(style.textContent).toBe(".a{color:blue}");
    style.remove();
    expect(rules()).toEqual([]);
    expect(style.isConnected).toBe(false);
  });
  it("writes a cell’s colours through the CSSOM and other attributes as they are", () => {
    openUnderCsp({ open: () => undefined }, document.body);
    const span = document.createElement("span");
    span.setAttribute("style", "color: rgb(1, 2, 3);");
    span.setAttribute("title", "t");
    expect([span.style.color, span.title]).toEqual(["rgb(1, 2, 3)", "t"]);
  });
  it("is the document in everything else", () => {
    const doc = documentForXterm();
    expect(doc instanceof Document).toBe(true);
    expect(doc.body).toBe(document.body);
    expect(doc.createElement("div").ownerDocument).toBe(document);
    expect(doc.createTextNode("x").data).toBe("x");
  });
  it("lends its createElement to open() alone, also when open() throws", () => {
    let made = "";
    openUnderCsp({ open: () => (made = document.createElement("style").tagName) }, document.body);
    expect(made).not.toBe("STYLE");
    expect(() => openUnderCsp({ open: () => { throw new Error("no"); } }, document.body)).toThrow("no");
    expect(document.createElement("style").tagName).toBe("STYLE");
    expect(Object.hasOwn(document, "createElement")).toBe(false);
  });
});
