// The main job in a real browser on a real Docker engine: from the first start to a verdict that verifies, with a reload in
// the middle of it and each view looked at.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { FORGE, dataFolder, serve } from "../lib/forge.mjs";
import { open, shoot, violations } from "./browser.mjs";

const LAB = "A DNS zone and its reverse";
let data, server, tab, page;

/** The same engine from the command line, on the same data at the same time. */
const forge = (...args) => JSON.parse(execFileSync(FORGE, ["--json", ...args], { env: { ...process.env, FORGE_HOME: data.home }, encoding: "utf8" }));

before(async () => {
  data = dataFolder();
  server = await serve(data.home);
  tab = await open();
  page = tab.page;
  page.setDefaultTimeout(30_000);
});

after(async () => {
  await tab?.browser.close();
  try {
    if (data) forge("stop", "--all");
  } finally {
    await server?.stop();
    data?.remove();
  }
});

test("a newcomer is led from nothing to a running lab", async () => {
  await page.goto(server.url);
  await page.getByRole("heading", { name: "Three steps to your first lab" }).waitFor();
  await shoot(page, "first-run");
  assert.deepEqual(await violations(page), []);
  await page.getByRole("button", { name: `Start ${LAB}` }).click();
  await page.getByText("Isolated", { exact: true }).waitFor({ timeout: 60_000 });
  await page.locator(".xterm").first().waitFor();
  await shoot(page, "workspace");
  assert.deepEqual(await violations(page), []);
});

test("a terminal works, and is as it was after a reload", async () => {
  const terminal = page.locator(".xterm").first();
  await terminal.click();
  await page.keyboard.type("echo forge-$((6*7))-grün");
  await page.keyboard.press("Enter");
  const shown = () => page.waitForFunction(() => document.querySelector(".xterm-rows, .xterm-accessibility")?.textContent?.includes("forge-42-grün"), null, { timeout: 15_000 });
  await shown();
  await page.reload();
  await page.locator(".xterm").first().waitFor();
  await shown();
});

test("checks turn green by themselves, and the submission verifies", async () => {
  const [run] = forge("ps");
  forge("solve", run.run);
  await page.getByText(/5 of 6 pass|6 of 6 pass/).first().waitFor({ timeout: 30_000 });
  await page.keyboard.press("Control+Shift+Escape");
  await page.getByRole("button", { name: /^Check/ }).first().click();
  await page.getByText("6 of 6 pass").first().waitFor({ timeout: 60_000 });
  await shoot(page, "all-green");
  await page.getByRole("button", { name: /^Submit/ }).first().click();
  await page.getByRole("button", { name: "Submit now" }).click();
  await page.waitForURL(/#\/results/, { timeout: 60_000 });
  await page.getByText("openssl pkeyutl", { exact: false }).first().waitFor();
  await shoot(page, "result");
  assert.deepEqual(await violations(page), []);
});

test("every view answers, has no violation and no console error", async () => {
  for (const view of ["library", "history", "images", "governance", "governance/gates", "governance/audit", "doctor", "settings"]) {
    await page.evaluate((v) => (location.hash = `#/${v}`), view);
    await page.locator("main#main").waitFor();
    await page.waitForTimeout(700);
    await shoot(page, view.replace("/", "-"));
    assert.deepEqual(await violations(page), [], view);
  }
  await page.keyboard.press("Control+k");
  await page.getByRole("dialog").waitFor();
  assert.deepEqual(await violations(page), [], "palette");
  assert.deepEqual(tab.problems, []);
});
