import { describe, expect, it } from "vitest";
import { anchorId, build, codeOf } from "./guide";

const dom = (html: string) => {
  const built = build(html);
  const div = document.createElement("div");
  div.append(built.content);
  return { ...built, div };
};

describe("guide", () => {
  it("gives headings anchors that meet no id of the window", () => {
    const { headings, div } = dom('<h1>Zone</h1><h2 id="look">1. Look</h2><p id="app">x</p>');
    expect(headings).toEqual([{ id: "guide-0", level: 1, text: "Zone" }, { id: "guide-look", level: 2, text: "1. Look" }]);
    expect(div.querySelector("#app")).toBeNull();
    expect(div.querySelector(`#${anchorId("#look")}`)?.textContent).toBe("1. Look");
  });
  it("puts copy and type beside a command and finds the first node", () => {
    const { div, firstNode } = dom('<pre data-node="ns" data-language="sh"><code>dig @10.0.0.1\nls\n</code></pre><pre data-language="yaml"><code>a: 1\n</code></pre>');
    const [shell, yaml] = [...div.querySelectorAll(".block")];
    expect(firstNode).toBe("ns");
    expect([...(shell?.querySelectorAll("button") ?? [])].map((b) => b.dataset["action"])).toEqual(["type", "copy"]);
    expect([...(yaml?.querySelectorAll("button") ?? [])].map((b) => b.dataset["action"])).toEqual(["copy"]);
    expect(shell && codeOf(shell)).toBe("dig @10.0.0.1\nls");
  });
  it("shows nothing that could run or be fetched, should the engine ever let it through", () => {
    const { div } = dom('<p onclick="x()" style="color:red">a</p><script>x()</script><img src="https://example.org/x.png"><iframe></iframe>');
    expect(div.innerHTML).toBe("<p>a</p>");
  });
  it("keeps only what the engine's renderer writes; of the rest the words stay", () => {
    const shown = (html: string) => dom(html).div.innerHTML;
    expect(shown('<p><font color="red">a<u>b</u></font></p>')).toBe("<p>ab</p>");
    expect(shown('<p><a href="javascript:x()">a</a> <a href="HTTPS://a.example/" onclick="x()">b</a></p>')).toBe('<p><a>a</a> <a href="HTTPS://a.example/">b</a></p>');
    expect(shown('<p><input type="image" src="x"><input type="checkbox"></p>')).toBe('<p><input type="checkbox" disabled=""></p>');
    expect(shown("<p>a<button formaction='x'>b</button></p>")).toBe("<p>ab</p>");
    expect(shown("<form><math><mtext></form><form><mglyph><style></math><img src onerror=x()>")).not.toMatch(/img|form|math|style/);
  });
  it("copies and types what is seen, and no more", () => {
    const { div } = dom("<pre data-node=\"ns\"><code>ls\u001b[201~\u202e\u200b -l\u{e0041}\tx\ny\n</code></pre>");
    expect(codeOf(div)).toBe("ls[201~ -l\tx\ny");
  });
  it("drops a first heading that repeats the lab's title", () => {
    expect(build("<h1>Zone</h1><h2>1. Look</h2>", "Zone").headings.map((h) => h.text)).toEqual(["1. Look"]);
  });
  it("takes an anchor that is no address", () => {
    expect(anchorId("#50%")).toBe("guide-50%");
  });
});
