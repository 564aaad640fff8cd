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

/** One state in a page of its own; what is wrong with it. The layout is the same in both themes, the colours are not. */
async function look(page, [name, scene, hash, act]) {
  const bad = [];
  page.on("console", (m) => m.type() === "error" && bad.push(`${name}: console: ${m.text()}`));
  page.on("pageerror", (e) => bad.push(`${name}: ${e.message}`));
  await page.goto(ui.at(scene, hash));
  await page.locator("main").waitFor();
  await page.waitForTimeout(300);
  await act?.(page);
  await page.waitForTimeout(150);
  for (const violation of await violations(page)) bad.push(`${name}, dark: ${violation}`);
  for (const text of await page.evaluate(cutOff)) bad.push(`${name}: cut off without a title: ${text}`);
  for (const what of await page.evaluate(covered)) bad.push(`${name}: map: ${what}`);
  if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth || document.documentElement.scrollHeight > innerHeight)) bad.push(`${name}: the frame scrolls`);
  await page.emulateMedia({ colorScheme: "light" });
  await page.waitForFunction(() => document.documentElement.dataset.theme === "light", null, { polling: 50 });
  // Colours fade into each other.
  await page.waitForTimeout(150);
  for (const violation of await violations(page, ["color-contrast"])) bad.push(`${name}, light: ${violation}`);
  return bad;
}

test(`${PAGES.length} states in both themes`, { timeout: 480_000 }, async () => {
  const tab = await open({ colorScheme: "dark" });
  const waiting = [...PAGES];
  const bad = [];
  const worker = async () => {
    for (let state = waiting.shift(); state; state = waiting.shift()) {
      const page = await tab.context.newPage();
      bad.push(...(await look(page, state)));
      await page.close();
    }
  };
  try {
    // Two at once: one waits while the other draws.
    await Promise.all([worker(), worker()]);
  } finally {
    await tab.browser.close();
  }
  assert.deepEqual(bad, []);
});
