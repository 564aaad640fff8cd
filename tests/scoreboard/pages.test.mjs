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
      await page.getByRole("region", { name: "Leaderboard" }).getByRole("rowheader", { name: "Mara" }).waitFor();
      await page.getByText("Live", { exact: true }).waitFor();
      assert.deepEqual(await violations(page), []);
      await shoot(page, `scoreboard-${name.split(" ")[0]}`);
      await page.getByRole("region", { name: "Newest verdicts" }).getByRole("row", { name: /Mara/ }).first().getByRole("link").click();
      await page.getByText("The signature holds.").waitFor();
      await page.getByText("The key is enrolled for Mara in").waitFor();
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

test("what is shown is in the address, and a class can be looked at alone", async () => {
  const { browser, page, problems } = await open();
  try {
    await page.goto(url);
    const board = page.getByRole("region", { name: "Leaderboard" });
    await board.getByRole("link").first().click();
    await page.getByText(/^Only .*\. Show all classes$/).waitFor();
    const newest = page.getByRole("region", { name: "Newest verdicts" });
    await newest.getByRole("rowheader", { name: "Mara" }).first().waitFor();
    assert.ok(new URL(page.url()).searchParams.get("class"));
    await page.getByLabel("Trust, at least").selectOption("re-executed");
    await page.getByText("Nobody is on this board with that choice.").waitFor();
    await page.reload();
    await page.getByText("Nobody is on this board with that choice.").waitFor();
    assert.equal(await page.getByLabel("Trust, at least").inputValue(), "re-executed");
    await page.goto(`${url}/?track=ccna&class=Nobody`);
    await page.getByText("Nobody is on this board with that choice.").waitFor();
    await page.getByText("No verdict of this class is among the newest 20,000.").waitFor();
    assert.equal(await newest.isVisible(), false, "verdicts of other classes stand on a class's board");
    assert.deepEqual(problems, []);
  } finally {
    await browser.close();
  }
});

test("a board that cannot be had says so, and comes by itself", async () => {
  const { browser, page } = await open();
  try {
    let away = true;
    const gone = (route) => (away ? route.fulfill({ status: 503 }) : route.continue());
    await page.route("**/v1/tracks", gone);
    await page.route("**/v1/live", gone);
    await page.goto(url);
    await page.getByText("The board cannot be shown now.").waitFor();
    assert.equal(await page.getByRole("region", { name: "Leaderboard" }).isVisible(), false, "an empty table would say that there is nobody");
    away = false;
    await page.getByRole("region", { name: "Leaderboard" }).getByRole("rowheader", { name: "Mara" }).waitFor({ timeout: 15_000 });
    await page.getByText("Live", { exact: true }).waitFor({ timeout: 15_000 });
    assert.equal(await page.getByText("The board cannot be shown now.").isVisible(), false);
  } finally {
    await browser.close();
  }
});

/** The page of the verdict, with one of its files answered otherwise. */
async function tampered(page, file, change) {
  await page.unrouteAll();
  await page.route(`**/${file}`, async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, ...change(Buffer.from(await answer.body())) });
  });
  await page.goto(`${url}/v1/verdicts/${id}`);
}
const flip = (at) => (body) => {
  body[at < 0 ? body.length + at : at] ^= 1;
  return { body };
};

test("what was changed is told, and nothing of it is shown", async () => {
  const { browser, page } = await open();
  try {
    const changes = [
      ["verdict.sig", flip(3), "The signature does not hold"],
      ["verdict.pae", flip(-3), "The id is not the digest of what was signed"],
      ["verdict.pub.pem", () => ({ body: "-----BEGIN PUBLIC KEY-----\n!\n" }), "The key cannot be read"],
      ["verdict.pub.pem", flip(60), "The key is not the one that the statement names"],
    ];
    for (const [file, change, words] of changes) {
      await tampered(page, file, change);
      await page.getByText("Do not trust this.").waitFor();
      await page.getByText(words).waitFor();
      assert.equal(await page.locator("#signed").innerText(), "", `${words}: something of it is shown`);
      assert.equal(await page.locator("#tier").innerText(), "", `${words}: the server’s word is shown beside it`);
    }
  } finally {
    await browser.close();
  }
});

test("what cannot be checked is neither good nor bad", async () => {
  const { browser, page } = await open();
  try {
    await tampered(page, "verdict.sig", () => ({ status: 503, body: "" }));
    await page.getByText("Not verified here.").waitFor();
    await page.getByText("The server does not give it out now (503).").waitFor();
    await tampered(page, `verdicts/${id}/reexecutions`, () => ({ status: 503, body: "" }));
    await page.getByText("The signature holds.").waitFor();
    await page.getByText("It cannot be shown now.").waitFor();
    await page.unrouteAll();
    await page.addInitScript(() => Object.defineProperty(globalThis.crypto, "subtle", { value: undefined }));
    await page.reload();
    await page.getByText("Not verified here.").waitFor();
  } finally {
    await browser.close();
  }
});

test("who executed it again is shown, and which criterion came out otherwise", async () => {
  const { browser, page, problems } = await open({ viewport: { width: 360, height: 740 } });
  try {
    const statement = (criteria, score) => ({ body: { version: 1, verdict: id, lab: "l", template_digest: "d", seed: "s", score, max: 3000, criteria, at: Date.now() }, key_id: "k".repeat(32), signature: "" });
    const same = [{ id: "ssh", submitted: "pass", reexecuted: "pass" }, { id: "<b>http", submitted: "fail", reexecuted: "fail" }];
    const other = [same[0], { id: "<b>http", submitted: "pass", reexecuted: "fail" }];
    await tampered(page, `verdicts/${id}/reexecutions`, () => ({ json: [statement(same, 2000), statement(other, 1000)] }));
    await page.getByText("All came out as submitted").waitFor();
    await page.getByText("1 of 2 came out otherwise").waitFor();
    await page.getByText("<b>http: submitted pass, now fail").waitFor();
    assert.deepEqual(await violations(page), []);
    await shoot(page, "scoreboard-again");
    assert.deepEqual(problems, []);
  } finally {
    await browser.close();
  }
});

test("without JavaScript it says so, and how to verify by hand; an address that leads nowhere says so too", async () => {
  const { browser } = await open();
  try {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto(url);
    await page.locator("noscript strong", { hasText: "JavaScript is off." }).waitFor();
    await page.goto(`${url}/v1/verdicts/${id}`);
    await page.locator("noscript strong", { hasText: "Not verified here." }).waitFor();
    assert.equal(await page.getByText("Checking").isVisible(), false);
    assert.equal(await page.getByRole("link", { name: "verdict.pae" }).getAttribute("href"), `/v1/verdicts/${id}/verdict.pae`);
    const answer = await page.goto(`${url}/v1/verdicts/${"0".repeat(64)}`);
    assert.equal(answer.status(), 404);
    await page.getByRole("heading", { name: "There is no such verdict here" }).waitFor();
  } finally {
    await browser.close();
  }
});
