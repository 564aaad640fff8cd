// Every view × empty, loading, full, error and what else it has, in both themes: no accessibility violation, no word on the
// console, nothing that scrolls the frame, nothing cut off that can be read nowhere, no node of a map that is covered.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { PAGES, covered, cutOff } from "../../ui/scripts/states.mjs";
import { open, violations } from "./browser.mjs";
import { serveFake } from "./fake.mjs";

let ui;
before(async () => {
  ui = await serveFake();
});
after(() => ui?.stop());

for (const colorScheme of ["dark", "light"]) {
  test(`${PAGES.length} states, ${colorScheme}`, { timeout: 480_000 }, async () => {
    const tab = await open({ colorScheme });
    const bad = [];
    try {
      for (const [name, scene, hash, act] of PAGES) {
        const page = await tab.context.newPage();
        page.on("console", (m) => m.type() === "error" && bad.push(`${name}: console: ${m.text()}`));
        page.on("pageerror", (e) => bad.push(`${name}: ${e.message}`));
        await page.goto(ui.at(scene, hash));
        await page.locator("main").waitFor();
        await page.waitForTimeout(300);
        await act?.(page);
        await page.waitForTimeout(150);
        for (const violation of await violations(page)) bad.push(`${name}: ${violation}`);
        for (const text of await page.evaluate(cutOff)) bad.push(`${name}: cut off without a title: ${text}`);
        for (const what of await page.evaluate(covered)) bad.push(`${name}: map: ${what}`);
        if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth || document.documentElement.scrollHeight > innerHeight)) bad.push(`${name}: the frame scrolls`);
        await page.close();
      }
    } finally {
      await tab.browser.close();
    }
    assert.deepEqual(bad, []);
  });
}
