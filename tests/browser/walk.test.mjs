// The whole main job on a real engine by keyboard alone: from the first start to the library, a lab, its routers' terminals, a check,
// the submission, the result, the exported report. Nothing is solved behind the learner's back.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { statSync } from "node:fs";
import { after, before, test } from "node:test";
import { covered } from "../../ui/scripts/states.mjs";
import { FORGE, dataFolder, serve } from "../lib/forge.mjs";
import { focusOf, open, shoot, violations } from "./browser.mjs";

/** A router's own addresses say all that there is to configure; the mark at the end is not in what is typed. */
const OSPF = [
  "id=$(ip -4 -o address show dev lo | awk '$4 ~ /[/]32/ { sub(\"/.*\", \"\", $4); print $4 }')",
  "vtysh -c 'configure terminal' -c 'interface eth1' -c 'ip ospf network point-to-point' -c 'exit' -c 'interface eth2' " +
    "-c 'ip ospf network point-to-point' -c 'exit' -c 'interface eth3' -c 'ip ospf passive' -c 'exit' " +
    "-c 'router ospf' -c \"ospf router-id $id\" -c 'network 0.0.0.0/0 area 0' -c 'end' && echo routed-$((6*7))",
];
let data, server, tab, page;

const forge = (...args) => JSON.parse(execFileSync(FORGE, ["--json", ...args], { env: { ...process.env, FORGE_HOME: data.home }, encoding: "utf8" }));
const focus = () => focusOf(page);

before(async () => {
  data = dataFolder();
  server = await serve(data.home);
  tab = await open();
  page = tab.page;
  page.setDefaultTimeout(30_000);
  const refuse = () => assert.fail("no mouse here");
  Object.assign(page.mouse, { click: refuse, down: refuse, move: refuse, dblclick: refuse, wheel: refuse });
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

async function palette(words) {
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox", { name: "Find a lab or action" }).waitFor();
  await page.keyboard.type(words);
  await page.getByRole("dialog").getByRole("option").first().waitFor();
  await page.keyboard.press("Enter");
}
/** Tab until the focus is on what has this name; it must be seen there. */
async function tabTo(name, most) {
  for (let i = 0; i < most; i += 1) {
    const at = await focus();
    if (at.name.startsWith(name)) return assert.ok(at.seen && at.inView, `“${name}” has the focus and does not show it`);
    await page.keyboard.press("Tab");
  }
  assert.fail(`${most} steps of the Tab key did not come to “${name}”; the last was “${(await focus()).name}”`);
}
const inShell = () => page.waitForFunction(() => document.activeElement?.matches(".xterm-helper-textarea"));
/** The terminal that has the focus shows this. */
const printed = (text) =>
  page.waitForFunction((wanted) => document.activeElement?.closest(".xterm")?.querySelector(".xterm-rows")?.textContent.includes(wanted), text, { timeout: 30_000 });

test("from the first start to the library, and into a running lab", async () => {
  await page.goto(server.url);
  await page.getByRole("heading", { name: "Three steps to your first lab" }).waitFor();
  await page.keyboard.press("g");
  await page.keyboard.press("l");
  await page.locator("[role=option]").first().waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("ospf in a single area");
  await page.getByText(/^1 of \d+$/).waitFor();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Control+Enter");
  await page.waitForFunction(() => location.hash.startsWith("#/lab/"));
  await page.getByText("Isolated", { exact: true }).waitFor({ timeout: 90_000 });
  await inShell();
});

test("the map shows every node, with nothing on top of one", async () => {
  await page.locator(".pane-map svg[role=group]").waitFor();
  assert.equal(await page.locator('.pane-map [data-stop^="node "]').count(), 5);
  for (const [width, height] of [[1920, 1080], [1280, 800]]) {
    await page.setViewportSize({ width, height });
    await page.waitForTimeout(300);
    assert.deepEqual(await page.evaluate(covered), [], `${width}×${height}`);
  }
});

test("three routers are configured in their terminals", async () => {
  for (const router of ["r1", "r2", "r3"]) {
    // Ctrl+K is the shell's while a terminal has the keys.
    await page.keyboard.press("Control+Shift+Escape");
    await palette(`open a terminal on ${router}`);
    await inShell();
    await printed(`@${router}:`);
    for (const line of OSPF) await page.keyboard.type(`${line}\n`);
    await printed("routed-42");
  }
  await shoot(page, "walk-terminals");
});

test("checked, submitted, and the verdict verifies", async () => {
  await page.keyboard.press("Control+Shift+Escape");
  const all = /\b(\d+) of \1 pass/;
  for (let tries = 0; tries < 6; tries += 1) {
    await page.keyboard.press("Control+Enter");
    try {
      await page.getByText(all).first().waitFor({ timeout: 20_000 });
      break;
    } catch (error) {
      // Routes may take a moment after the last adjacency: a learner presses it again.
      if (tries === 5) throw new Error(`${error.message}\n${await page.locator(".pane-right").innerText()}`);
    }
  }
  await palette("submit the run");
  await page.getByRole("dialog").getByText("Submit this run?").waitFor();
  await tabTo("Submit now", 6);
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => location.hash.startsWith("#/results/"), null, { timeout: 60_000 });
  await page.getByText("The verdict verifies").waitFor();
  assert.deepEqual(await violations(page), []);
});

test("the report is exported, and the result is in the history", async () => {
  await tabTo("Export report", 40);
  await page.keyboard.press("Enter");
  const [result] = forge("results");
  await page.getByText(`${result.dir}.html`).first().waitFor();
  assert.equal(result.score, result.max);
  assert.ok(statSync(`${result.dir}.html`).size > 10_000);
  assert.equal(forge("verify", result.dir, "--regrade").ok, true);
  await page.keyboard.press("g");
  await page.keyboard.press("h");
  await page.getByRole("heading", { name: "History", level: 1 }).waitFor();
  await page.getByRole("row").filter({ hasText: "OSPF in a single area" }).first().waitFor();
  assert.deepEqual(tab.problems, []);
});
