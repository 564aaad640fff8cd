// Keys under a passphrase, in a real browser: the page asks for it, says when it was wrong, and goes on once it was right; then
// the settings change it, and the next start asks for the new one.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { FORGE, dataFolder, serve, underPassphrase } from "../lib/forge.mjs";
import { focusOf, open, shoot, violations } from "./browser.mjs";

const RIGHT = "four words of mine";
const OTHER = "other words of mine";
let data, server, tab;

function forge(...args) {
  return execFileSync(FORGE, ["--json", ...args], { env: { ...process.env, FORGE_HOME: data.home }, encoding: "utf8" });
}

before(async () => {
  data = dataFolder();
  underPassphrase(data.home, RIGHT);
  server = await serve(data.home);
  tab = await open();
});

after(async () => {
  await tab?.browser.close();
  await server?.stop();
  data?.remove();
});

test("the page asks for the passphrase, in both themes, and nothing else is to be seen", async () => {
  const { page } = tab;
  await page.goto(server.url);
  await page.getByRole("heading", { name: "Unlock your keys" }).waitFor();
  assert.equal(await page.getByRole("navigation").count(), 0);
  assert.equal((await focusOf(page)).tag, "input", "the field has the focus");
  for (const colorScheme of ["dark", "light"]) {
    await page.emulateMedia({ colorScheme });
    assert.deepEqual(await violations(page), [], colorScheme);
    await shoot(page, `unlock-${colorScheme}`);
  }
  // Keys of the app do nothing here.
  await page.keyboard.press("Control+k");
  assert.equal(await page.getByRole("dialog").count(), 0);
});

test("a wrong one is told, and the next is looked at after a pause", async () => {
  const { page } = tab;
  await page.getByLabel("Passphrase", { exact: true }).fill("four words of yours");
  await page.keyboard.press("Enter");
  await page.getByText("The passphrase of your keys is wrong.").waitFor();
  await page.getByText("You can try again in").waitFor();
  assert.equal(await page.getByLabel("Passphrase", { exact: true }).inputValue(), "", "it is typed anew");
  assert.equal(await page.getByRole("button", { name: "Unlock" }).isDisabled(), true);
  await page.getByText("I have forgotten it").click();
  await page.getByText("Nobody can recover it, us included").waitFor();
  for (const colorScheme of ["dark", "light"]) {
    await page.emulateMedia({ colorScheme });
    assert.deepEqual(await violations(page), [], colorScheme);
  }
});

test("the right one opens the library", async () => {
  const { page } = tab;
  const labs = page.waitForResponse((r) => r.url().endsWith("/api/call/list_labs") && r.status() === 200);
  await page.getByText("You can try again in").waitFor({ state: "detached" });
  await page.getByLabel("Passphrase", { exact: true }).fill(RIGHT);
  await page.keyboard.press("Enter");
  const [first] = await (await labs).json();
  // A new data folder begins with the first start's guide.
  await page.getByRole("button", { name: "Go to the library" }).click();
  await page.getByText(first.title, { exact: false }).first().waitFor();
  assert.deepEqual(await violations(page), []);
  await shoot(page, "unlocked");
  // A reload asks for nothing: the engine is open.
  await page.reload();
  await page.getByText(first.title, { exact: false }).first().waitFor();
});

test("settings change the passphrase and replace a key, and the next start asks for the new one", async () => {
  const { page } = tab;
  await page.goto(new URL("/#/settings", server.url).href);
  const before = JSON.parse(forge("keys")).place;
  assert.equal(before, "passphrase");
  await page.getByRole("button", { name: "Change the passphrase" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("The passphrase now").fill(RIGHT);
  await dialog.getByLabel("New passphrase").fill(OTHER);
  await dialog.getByLabel("Once more").fill(`${OTHER}, not`);
  await dialog.getByRole("button", { name: "Change it" }).click();
  await dialog.getByText("The two new passphrases differ.").waitFor();
  await dialog.getByLabel("Once more").fill(OTHER);
  assert.deepEqual(await violations(page), []);
  await dialog.getByRole("button", { name: "Change it" }).click();
  await page.getByText("The keys were moved").waitFor();
  const old = await page.getByRole("contentinfo").innerText();
  await page.getByRole("button", { name: "Replace the key: Your results" }).click();
  await dialog.getByRole("button", { name: "Replace the key" }).click();
  await page.getByText("One older key still verifies what it signed.").waitFor();
  await page.waitForFunction((was) => document.querySelector("footer")?.innerText !== was, old);
  // Nobody looks at a server that ends.
  await page.goto("about:blank");
  await server.stop();
  server = await serve(data.home);
  await page.goto(server.url);
  await page.getByLabel("Passphrase", { exact: true }).fill(OTHER);
  await page.keyboard.press("Enter");
  await page.getByRole("navigation").first().waitFor();
  assert.ok(forge("keys").includes("passphrase"));
});

test("the browser's console has only the refusal that was asked for", () => {
  // Chromium itself writes a line for each answer that is no success: the wrong passphrase is one.
  const others = tab.problems.filter((p) => !/status of (500|423)/.test(p));
  assert.deepEqual(others, []);
  assert.equal(tab.problems.filter((p) => p.includes("status of 500")).length, 1);
});
