// The served UI in a real browser: it lets one browser in, lists the labs, and keeps to its own policy.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { dataFolder, serve } from "../lib/forge.mjs";
import { open, shoot, violations } from "./browser.mjs";

let data, server, tab;

before(async () => {
  data = dataFolder();
  server = await serve(data.home);
  tab = await open();
});

after(async () => {
  await tab?.browser.close();
  await server?.stop();
  data?.remove();
});

test("the one-time address opens the library with the built-in labs", async () => {
  const { page } = tab;
  const [answer] = await Promise.all([page.waitForResponse((r) => r.url().endsWith("/api/call/list_labs")), page.goto(server.url)]);
  assert.equal(answer.status(), 200);
  const labs = await answer.json();
  assert.ok(labs.length >= 3, `only ${labs.length} labs`);
  assert.match(await page.title(), /FrostGate Forge$/);
  assert.equal(new URL(page.url()).search, "", "the token must leave the address bar");
  await page.getByText(labs[0].title, { exact: false }).first().waitFor();
  await shoot(page, "library");
});

test("it has no accessibility violation", async () => {
  assert.deepEqual(await violations(tab.page), []);
});

test("nothing inline may run, and nothing went wrong on the console", async () => {
  const ran = await tab.page.evaluate(async () => {
    const script = document.createElement("script");
    script.textContent = "globalThis.inlineRan = true";
    document.head.append(script);
    await new Promise((done) => setTimeout(done, 50));
    return globalThis.inlineRan === true;
  });
  assert.equal(ran, false, "an inline script ran");
  const others = tab.problems.filter((p) => !p.includes("inline script"));
  assert.deepEqual(others, []);
  assert.ok(tab.problems.length > others.length, "the browser must have said that it refused our inline script");
});

test("the address lets nobody else in", async () => {
  const stranger = await open();
  try {
    const answer = await stranger.page.goto(server.url);
    assert.equal(answer.status(), 403);
    const call = await stranger.page.request.post(new URL("/api/call/list_labs", server.url).href, { data: {} });
    assert.equal(call.status(), 401);
  } finally {
    await stranger.browser.close();
  }
});
