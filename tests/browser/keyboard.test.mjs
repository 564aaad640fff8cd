// The main job without a mouse: find a lab, start it, type in its terminal, leave the terminal, check, submit, read the result.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { focusOf, open, violations } from "./browser.mjs";
import { serveFake } from "./fake.mjs";

let ui, tab, page;
before(async () => {
  ui = await serveFake();
  tab = await open();
  page = tab.page;
  page.setDefaultTimeout(20_000);
  // A mouse that does nothing, so that no step can lean on it.
  page.mouse.click = () => assert.fail("no mouse here");
});
after(async () => {
  await tab?.browser.close();
  await ui?.stop();
});

const focus = () => focusOf(page);
const status = async () => page.locator("main").innerText();

test("from the library to a running lab", async () => {
  await page.goto(ui.at("well"));
  await page.locator("[role=option]").first().waitFor();
  await page.keyboard.press("/");
  assert.equal((await focus()).name, "Search labs");
  await page.keyboard.type("ospf");
  await page.getByText("1 of 3").waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Control+Enter");
  await page.waitForFunction(() => location.hash.startsWith("#/lab/"));
  await page.getByText("Isolated", { exact: true }).waitFor();
});

test("the focus lands in the first terminal, and comes back out of it", async () => {
  await page.waitForFunction(() => document.activeElement?.matches(".xterm-helper-textarea"));
  await page.keyboard.type("ping\n");
  await page.waitForFunction(() => document.querySelector(".xterm-rows")?.textContent.includes("64 bytes from"));
  assert.match(await status(), /Ctrl\s*Shift\s*Esc\s*leaves the terminal/);
  // Tab belongs to the shell.
  await page.keyboard.press("Tab");
  assert.equal((await focus()).tag, "textarea");
  await page.keyboard.press("Control+Shift+Escape");
  const out = await focus();
  assert.equal(out.tag, "button");
  assert.ok(out.seen, "the focus must be seen");
  await page.keyboard.press("Control+1");
  assert.equal((await focus()).tag, "textarea");
});

test("every stop of the Tab key is named and seen, and the way round is not endless", async () => {
  await page.keyboard.press("Control+Shift+Escape");
  const names = [];
  for (let i = 0; i < 90; i += 1) {
    await page.keyboard.press("Tab");
    const at = await focus();
    assert.notEqual(at.tag, "textarea", "Tab walked into a shell, which would not give it back");
    // The end of the page; the next step begins at its top.
    if (at.tag === "body") continue;
    if (at.name === "Skip to the view" && names.includes(at.name)) break;
    assert.notEqual(at.name, "", `stop ${i} (${at.tag}) has no name`);
    assert.ok(at.seen, `“${at.name}” (${at.tag}) has the focus and does not show it`);
    names.push(at.name);
  }
  for (const wanted of ["Pause", "Submit", "Stop the lab", "Guide text"]) assert.ok(names.some((n) => n.includes(wanted)), `${wanted} is not on the way: ${names.join(" | ")}`);
});

test("the terminal follows the system from dark to light", async () => {
  const shades = () => page.evaluate(() => [document.querySelector(".xterm .xterm-scrollable-element"), document.querySelector(".screen")].map((e) => getComputedStyle(e).backgroundColor));
  const before = await shades();
  assert.equal(before[0], before[1]);
  await page.emulateMedia({ colorScheme: "light" });
  await page.waitForFunction((was) => getComputedStyle(document.querySelector(".screen")).backgroundColor !== was, before[1]);
  await page.waitForTimeout(200);
  const now = await shades();
  assert.equal(now[0], now[1], "the terminal has the colours of the theme before");
  await page.emulateMedia({ colorScheme: "dark" });
});

test("checked, submitted, read", async () => {
  await page.keyboard.press("Control+Enter");
  await page.getByText("1 of 5 pass").waitFor();
  await page.keyboard.press("Control+k");
  await page.keyboard.type("submit the run");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").getByText("Submit this run?").waitFor();
  for (let i = 0; i < 6 && (await focus()).name !== "Submit now"; i += 1) await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => location.hash.startsWith("#/results/"));
  await page.getByText("The verdict verifies").waitFor();
  assert.deepEqual(await violations(page), []);
});

test("the palette reaches every action there is, and ? shows the keys", async () => {
  await page.goto(ui.at("full", "#/lab/k3v9q2x7a0"));
  await page.waitForFunction(() => document.activeElement?.matches(".xterm-helper-textarea"));
  await page.keyboard.press("Control+Shift+Escape");
  for (const [words, title] of [
    ["extend", "Extend the time by 15 minutes"], ["pause", "Pause or resume"], ["stop", "Stop the lab"], ["split", "Split the terminal"], ["search terminal", "Search the terminal’s output"],
    ["terminal on r2", "Open a terminal on r2"], ["guide", "Go to the guide"], ["timeline", "Go to the timeline"], ["telemetry", "Go to the telemetry"], ["ports", "Go to the ports"], ["log", "Go to the log"],
    ["map", "Go to the map"], ["restart r2", "Restart r2"], ["dark light", "Switch between dark and light"], ["doctor", "Doctor"], ["settings", "Settings"], ["history", "History"], ["images", "Images"],
  ]) {
    await page.keyboard.press("Control+k");
    await page.getByRole("combobox", { name: "Find a lab or action" }).waitFor();
    await page.keyboard.type(words);
    const found = await page.getByRole("option").allInnerTexts();
    assert.ok(found.some((f) => f.startsWith(title)), `“${words}” does not find “${title}”: ${found.slice(0, 4).join(" | ")}`);
    await page.keyboard.press("Escape");
  }
  await page.keyboard.press("?");
  await page.getByRole("dialog").getByText("Check the lab").waitFor();
  await page.keyboard.press("Escape");
  assert.deepEqual(tab.problems, []);
});

test("an instructor's hour by keyboard alone: board, hint, projector, freeze", async () => {
  await page.goto(ui.at("teach", "#/library"));
  await page.locator("[role=option]").first().waitFor();
  await page.keyboard.press("g");
  await page.keyboard.press("c");
  const first = page.getByRole("link", { name: /Monday, first hour/ });
  await first.waitFor();
  await first.focus();
  await page.keyboard.press("Enter");
  await page.getByRole("rowheader", { name: "Mara Lindqvist" }).waitFor();
  await page.keyboard.press("m");
  await page.getByRole("dialog").waitFor();
  assert.equal((await focus()).tag, "textarea", "the hint can be typed at once");
  await page.keyboard.type("Look at port 80");
  await page.keyboard.press("Control+Enter");
  await page.getByText("Hint sent").waitFor();
  await page.getByText("Look at port 80").waitFor();
  await page.keyboard.press("p");
  await page.getByText("Standings").waitFor();
  assert.equal(await page.getByText("Mara Lindqvist").count(), 0, "names are off until they are asked for");
  await page.keyboard.press("Escape");
  await page.getByRole("rowheader", { name: "Mara Lindqvist" }).waitFor();
  await page.keyboard.press("Control+k");
  await page.keyboard.type("freeze the session");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").getByText("nobody gets a lab").waitFor();
  await page.keyboard.press("Escape");
  assert.equal(await page.getByText("Frozen", { exact: true }).count(), 0, "Escape froze nothing");
  assert.deepEqual(tab.problems, []);
});
