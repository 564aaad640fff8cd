// At 200 % in a window of 1280 × 800, which is 640 × 400 to the layout: no text lies under another one, and the frame does not scroll.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { PAGES } from "../../ui/scripts/states.mjs";
import { open } from "./browser.mjs";
import { serveFake } from "./fake.mjs";

const STATES = ["welcome-ready", "library", "results", "history", "doctor", "governance-denied", "settings", "sessions-teach", "class", "board", "lab-stopped"];
let ui, tab;
before(async () => {
  ui = await serveFake();
  tab = await open({ viewport: { width: 640, height: 400 } });
});
after(async () => {
  await tab?.browser.close();
  await ui?.stop();
});

/** Runs in the page: words whose middle is in the window and under something that is not around them. */
function under() {
  const bad = [];
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = words.nextNode(); node; node = words.nextNode()) {
    const element = node.parentElement;
    if (node.data.trim() === "" || element.closest(".sr-only, .skip, script, style, .xterm")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getClientRects()[0];
    if (!box) continue;
    const on = document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
    // What scrolled out of its pane is under the pane's neighbour, and what stays in view while a table scrolls lies on the table.
    if (!on || element.contains(on) || on.contains(element) || getComputedStyle(on.closest("th, td") ?? on).position === "sticky" || out(element, box)) continue;
    bad.push(`“${node.data.trim().slice(0, 40)}” is under ${on.localName}.${on.getAttribute("class")} “${on.textContent.trim().slice(0, 40)}”`);
  }
  return bad;
  function out(element, box) {
    for (let pane = element.parentElement; pane; pane = pane.parentElement) {
      if (getComputedStyle(pane).overflow === "visible") continue;
      const edge = pane.getBoundingClientRect();
      const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
      if (x < edge.left || x > edge.right || y < edge.top || y > edge.bottom) return true;
    }
    return false;
  }
}

for (const name of STATES) {
  test(`nothing lies on a word: ${name}`, async () => {
    const [, scene, hash, act] = PAGES.find(([n]) => n === name);
    const page = await tab.context.newPage();
    try {
      await page.goto(ui.at(scene, hash));
      await page.locator("main").waitFor();
      await page.waitForTimeout(500);
      await act?.(page);
      assert.deepEqual(await page.evaluate(under), []);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth || document.documentElement.scrollHeight > innerHeight), false, "the frame scrolls");
    } finally {
      await page.close();
    }
  });
}

test("a run that is over offers nothing that would be refused", async () => {
  const [, scene, hash] = PAGES.find(([n]) => n === "lab-stopped");
  await tab.page.goto(ui.at(scene, hash));
  await tab.page.getByRole("heading", { name: "This run is over" }).waitFor();
  for (const name of [/^Check/, /^Submit/, "Stop the lab", /hint/i]) assert.equal(await tab.page.getByRole("button", { name }).count(), 0, `${name} is still there`);
  await tab.page.getByRole("button", { name: "Start again" }).waitFor();
});
