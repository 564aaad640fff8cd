// The board's pages in a real browser: they show what was accepted, verify a signature themselves, and keep to their policy.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { open, shoot, violations } from "../browser/browser.mjs";
import { ROOT, dataFolder, start, until } from "../lib/forge.mjs";

const BIN = process.env.FORGE_SCOREBOARD_BIN ?? join(ROOT, "target/debug/forge-scoreboard");
let data, server, url, id;

before(async () => {
  data = dataFolder();
  const demo = start(BIN, ["bench", "demo", "--data", join(data.home, "board"), "--json"]);
  assert.equal(await demo.ended, 0, demo.said());
  id = JSON.parse(demo.said()).verdict;
  server = start(BIN, ["serve", "--listen", "127.0.0.1:0", "--data", join(data.home, "board"), "--json"], { env: { RUST_LOG: "error" } });
  await until("the board says where it is", () => server.said().includes("\n"));
  url = JSON.parse(server.said().split("\n")[0]).url;
});

after(async () => {
  await server?.stop();
  data?.remove();
});

for (const [name, options] of [
  ["dark", {}],
  ["light on a phone", { colorScheme: "light", viewport: { width: 360, height: 740 } }],
]) {
  test(`the board and a verdict, ${name}`, async () => {
    const { browser, page, problems } = await open(options);
    try {
      await page.goto(url);
      await page.getByRole("cell", { name: "Mara" }).waitFor();
      await page.getByText("live", { exact: true }).waitFor();
      assert.deepEqual(await violations(page), []);
      await shoot(page, `scoreboard-${name.split(" ")[0]}`);
      await page.getByRole("link", { name: /Mara/ }).first().click();
      await page.getByText("The signature holds.").waitFor();
      assert.ok(page.url().endsWith(`/v1/verdicts/${id}`));
      assert.deepEqual(await violations(page), []);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
      assert.equal(wide, false, "the page scrolls sideways");
      assert.deepEqual(problems, []);
    } finally {
      await browser.close();
    }
  });
}

test("a changed signature is told, and a browser without WebCrypto says so", async () => {
  const { browser, page } = await open();
  try {
    await page.route("**/verdict.sig", async (route) => {
      const answer = await route.fetch();
      const body = Buffer.from(await answer.body());
      body[3] ^= 1;
      await route.fulfill({ response: answer, body });
    });
    await page.goto(`${url}/v1/verdicts/${id}`);
    await page.getByText("The signature does not hold").waitFor();
    await page.unroute("**/verdict.sig");
    await page.route("**/verdict.pae", async (route) => {
      const answer = await route.fetch();
      const body = Buffer.from(await answer.body());
      body[body.length - 3] ^= 1;
      await route.fulfill({ response: answer, body });
    });
    await page.reload();
    await page.getByText("The id is not the digest of what was signed").waitFor();
    assert.equal(await page.locator("#signed").innerText(), "", "nothing is shown of what was not signed");
    await page.unroute("**/verdict.pae");
    await page.addInitScript(() => Object.defineProperty(globalThis.crypto, "subtle", { value: undefined }));
    await page.reload();
    await page.getByText("Not verified here.").waitFor();
  } finally {
    await browser.close();
  }
});
