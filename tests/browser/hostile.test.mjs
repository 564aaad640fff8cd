// Sixty hostile texts through every channel that brings text into the window: fields of a template, the guide as the engine's
// renderer makes it, terminal output, events, node names. Each page is compared with the same page about harmless words: no
// element or attribute more, no call, no request, no navigation, no clipboard, no question.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ROOT } from "../lib/forge.mjs";
import { open } from "./browser.mjs";
import { serveFake } from "./fake.mjs";

const read = (name) => JSON.parse(readFileSync(join(ROOT, "tests/hostile", name), "utf8"));
const payloads = read("payloads.json");
const guides = read("guides.json");
/** What looking at things asks the engine for. */
const READS = new Set([
  "about", "doctor", "get_job", "get_lab", "get_result", "get_run", "get_settings", "history", "keys_status", "list_events", "list_forwards", "list_images", "list_jobs",
  "list_labs", "list_results", "list_runs", "list_terminals", "watch_run", "list_gates", "list_decisions", "get_decision", "list_audit", "sync_status",
  "list_sessions", "session_board", "session_messages", "run_session",
]);
/** The workspace opens its first terminal by itself. */
const OPENS = new Set(["open_terminal", "resize_terminal"]);

let ui;
before(async () => {
  ui = await serveFake();
});
after(() => ui?.stop());

/** A page that writes down whatever it is made to do. */
async function watched(planted) {
  const tab = await open();
  const { page } = tab;
  const did = [];
  page.on("request", (r) => {
    const url = r.url();
    if (!url.startsWith(`${ui.origin}/`) && !url.startsWith("data:image/svg+xml")) did.push(`request ${url.slice(0, 120)}`);
  });
  page.on("framenavigated", (f) => {
    if (f !== page.mainFrame() || new URL(f.url()).origin !== ui.origin) did.push(`navigation ${f.url().slice(0, 120)}`);
  });
  page.on("popup", (p) => did.push(`window ${p.url()}`));
  page.on("download", () => did.push("download"));
  page.on("dialog", (d) => {
    did.push(`dialog ${d.message()}`);
    void d.dismiss();
  });
  await page.addInitScript((given) => {
    globalThis.forgeFake = { ...given, calls: [], typed: [] };
    globalThis.did = [];
    addEventListener("securitypolicyviolation", (e) => globalThis.did.push(`policy ${e.violatedDirective} ${e.blockedURI} ${e.sample}`));
    const write = (...args) => {
      globalThis.did.push(`clipboard ${JSON.stringify(args).slice(0, 80)}`);
      return Promise.resolve();
    };
    Object.defineProperty(navigator, "clipboard", { value: { writeText: write, write, readText: write, read: write } });
    document.execCommand = (...args) => write(...args);
    globalThis.open = (...args) => void globalThis.did.push(`open ${args}`);
  }, planted);
  const report = async () => {
    const inside = await page.evaluate(() => ({ did: globalThis.did, ran: "hostileRan" in globalThis, polluted: "polluted" in {}, title: document.title }));
    return { ...inside, did: [...did, ...inside.did, ...tab.problems] };
  };
  return { ...tab, report };
}

/** Elements by name with their attributes' names, and how many there are of those whose number texts do not decide. */
const shape = (page) =>
  page.evaluate(() => {
    const kinds = new Set();
    const counts = {};
    // Values in a sentence become code, and labels that would cover something are left out: both depend on the words.
    const free = new Set(["code", "p", "text", "br", "span", "path", "rect", "circle", "li"]);
    for (const element of document.querySelectorAll("*")) {
      if (element.closest("article.prose, .xterm")) continue;
      const tag = element.localName;
      const attributes = [...element.attributes].map((a) => a.name).filter((a) => !["style", "class", "title", "aria-describedby", "aria-disabled"].includes(a));
      for (const attribute of ["", ...attributes]) kinds.add(`${tag} ${attribute}`.trim());
      // A row's picture is drawn when the row comes into sight, and long titles let fewer of them.
      if (!free.has(tag) && !element.closest("[role=option] svg")) counts[tag] = (counts[tag] ?? 0) + 1;
    }
    return { kinds: [...kinds].sort(), counts };
  });

/** Every place where a lab's words stand, looked at in turn. */
async function walk(page, texts, each) {
  const go = async (hash, selector) => {
    await page.evaluate((h) => (location.hash = h), hash);
    await page.locator(selector).first().waitFor();
    await page.waitForTimeout(60);
  };
  const ids = await page.evaluate(() => globalThis.forgeFake.labs());
  for (let i = 0; i < texts.length; i += 1) {
    await go(`#/library/${encodeURIComponent(ids[i].lab)}`, ".detail-pane .criteria li");
    await each(`${i} library`);
    await go(`#/lab/${ids[i].run}`, ".checks > ul > li");
    for (const button of await page.locator('.checks > ul > li > button[aria-expanded="false"]').all()) await button.click();
    await each(`${i} checks`);
    for (const tab of ["timeline", "ports", "log"]) {
      await page.locator(`#right-tab-${tab}`).click();
      await page.waitForTimeout(40);
      await each(`${i} ${tab}`);
    }
    await page.getByRole("button", { name: "list", exact: false }).first().click();
    await page.waitForTimeout(40);
    await each(`${i} map list`);
    if (ids[i].result) {
      await go(`#/results/${encodeURIComponent(ids[i].result)}`, "article h4");
      await each(`${i} result`);
    }
    await go(`#/governance/${i}`, ".why li");
    // The one before may still have stood there.
    await page.locator(".why li").first().waitFor();
    await each(`${i} decision`);
  }
  await go("#/governance/audit", "tbody tr");
  await each("0 audit");
  // A class whose every name, message, question, title and criterion is one of the texts.
  await go("#/sessions", "main li a");
  await each("0 sessions");
  await go("#/sessions/0198c2a4-aaaa-7000-8000-0123456789ab", "tbody tr");
  await each("0 board");
  await go("#/sessions/projector-0198c2a4-aaaa-7000-8000-0123456789ab", "ol li");
  await page.getByRole("button", { name: "Show names" }).click();
  await each("0 projector");
  await go("#/library", "[role=option]");
}

async function shapes(texts) {
  const tab = await watched({ texts, guide: "<p>x</p>", output: "" });
  try {
    const { page } = tab;
    await page.goto(ui.at("texts", "#/library"));
    await page.locator("[role=option]").first().waitFor();
    const seen = [];
    await walk(page, texts, async (where) => seen.push({ where, ...(await shape(page)) }));
    await page.keyboard.press("Control+k");
    await page.getByRole("combobox", { name: "Find a lab or action" }).fill(texts[0].slice(0, 20));
    await page.waitForTimeout(100);
    seen.push({ where: "palette", kinds: (await shape(page)).kinds, counts: {} });
    return { seen, report: await tab.report(), calls: await page.evaluate(() => globalThis.forgeFake.calls.map((c) => c.name)) };
  } finally {
    await tab.browser.close();
  }
}

test("there are fifty and more, each with a guide of its own", () => {
  assert.ok(payloads.length >= 50, `${payloads.length} payloads`);
  assert.equal(new Set(payloads.map((p) => p.id)).size, payloads.length);
  assert.deepEqual(payloads.map((p) => p.id).sort(), Object.keys(guides).sort());
});

test("in template fields, node names, events and results they are words and nothing else", { timeout: 600_000 }, async () => {
  const half = Math.ceil(payloads.length / 2);
  for (const part of [payloads.slice(0, half), payloads.slice(half)]) {
    const [harmless, hostile] = await Promise.all([shapes(part.map((_, i) => `words${i} of 10.0.0.${i} and \`code\``)), shapes(part.map((p) => p.text))]);
    assert.deepEqual(harmless.report.did, [], "the harmless walk itself");
    assert.deepEqual(hostile.report, harmless.report);
    assert.equal(hostile.seen.length, harmless.seen.length);
    hostile.seen.forEach((page, n) => {
      const like = harmless.seen[n];
      const who = part[parseInt(page.where, 10)]?.id ?? "";
      assert.deepEqual(page.kinds.filter((k) => !like.kinds.includes(k)), [], `${who}: ${page.where} has something new`);
      assert.deepEqual(page.counts, like.counts, `${who}: ${page.where}`);
    });
    assert.deepEqual([...new Set(hostile.calls)].filter((name) => !READS.has(name) && !OPENS.has(name)), []);
  }
});

test("in a guide they are words and nothing else, even when each link is followed", { timeout: 300_000 }, async () => {
  const KINDS = /^(h[1-6]( id| tabindex)?|(p|br|hr|em|strong|del|blockquote|ul|ol|li|table|thead|tbody|tr|th|td)|ol start|a( href| rel| target)?|code( class)?|pre( data-node| data-language| tabindex| role| aria-label)?|div( class| tabindex| role| aria-label)?|span|button( type| data-action| title| aria-label)?|input( type| disabled| checked)?)$/;
  const tab = await watched({ texts: payloads.map((p) => p.id), guide: "", output: "", guides: Object.fromEntries(payloads.map((p) => [p.id, guides[p.id]])) });
  try {
    const { page } = tab;
    await page.goto(ui.at("texts", "#/library"));
    await page.locator("[role=option]").first().waitFor();
    const ids = await page.evaluate(() => globalThis.forgeFake.labs());
    for (const [i, { id }] of payloads.entries()) {
      await page.evaluate((run) => (location.hash = `#/lab/${run}`), ids[i].run);
      await page.waitForFunction((run) => location.hash.endsWith(run) && document.querySelector("article.prose")?.childElementCount, ids[i].run);
      const found = await page.evaluate(() => {
        const kinds = new Set();
        for (const e of document.querySelectorAll("article.prose *")) for (const a of ["", ...[...e.attributes].map((x) => x.name)]) kinds.add(`${e.localName} ${a}`.trim());
        const links = [...document.querySelectorAll("article.prose a[href]")].map((a) => a.getAttribute("href"));
        for (const e of document.querySelectorAll("article.prose *")) for (const name of ["mouseover", "focus", "toggle"]) e.dispatchEvent(new Event(name, { bubbles: true }));
        for (const a of document.querySelectorAll('article.prose a[href^="#"], article.prose a:not([href])')) a.click();
        return { kinds: [...kinds], links, hash: location.hash };
      });
      assert.deepEqual(found.kinds.filter((k) => !KINDS.test(k)), [], id);
      assert.deepEqual(found.links.filter((l) => !/^(#|https:\/\/)/i.test(l)), [], id);
      assert.equal(found.hash, `#/lab/${ids[i].run}`, `${id} moved the window`);
    }
    const report = await tab.report();
    assert.deepEqual(report.did, []);
    assert.equal(report.ran, false);
    const calls = await page.evaluate(() => globalThis.forgeFake.calls.map((c) => c.name));
    assert.deepEqual([...new Set(calls)].filter((name) => !READS.has(name) && !OPENS.has(name)), []);
  } finally {
    await tab.browser.close();
  }
});

test("in terminal output they set no title, open nothing, copy nothing, and type nothing but xterm's own answers", { timeout: 120_000 }, async () => {
  const output = payloads.map((p) => Buffer.from(`${p.text}\r\n`, "utf8").toString("latin1")).join("") + "\x1b[!p\x1b[?1049l\x1b[H\x1b]8;;https://evil.example/\x07CLICKME\x1b]8;;\x07";
  const tab = await watched({ texts: ["words"], guide: "<p>x</p>", output });
  try {
    const { page } = tab;
    await page.goto(ui.at("texts", "#/library"));
    await page.locator("[role=option]").first().waitFor();
    const [{ run }] = await page.evaluate(() => globalThis.forgeFake.labs());
    await page.evaluate((r) => (location.hash = `#/lab/${r}`), run);
    await page.waitForFunction(() => document.querySelector(".xterm-rows")?.textContent.includes("CLICKME"));
    const before = await shape(page);
    // The link is where the cursor was sent: the first cell.
    const box = await page.locator(".xterm-screen").boundingBox();
    await page.mouse.move(box.x + 20, box.y + 8);
    await page.waitForTimeout(300);
    await page.mouse.click(box.x + 20, box.y + 8);
    await page.keyboard.down("Control");
    await page.mouse.click(box.x + 20, box.y + 8);
    await page.keyboard.up("Control");
    // The click met the link, and the window said that it does not follow it.
    await page.getByText("Link not opened").first().waitFor();
    const report = await tab.report();
    assert.deepEqual(report.did, []);
    assert.equal(report.ran, false);
    assert.match(report.title, /^Lab – FrostGate Forge$/);
    const scripts = await page.evaluate(() => document.querySelectorAll(".xterm script, .xterm img, .xterm iframe, .xterm a, .xterm svg, .xterm style").length);
    assert.equal(scripts, 0);
    assert.deepEqual((await shape(page)).counts.script, before.counts.script);
    const typed = (await page.evaluate(() => globalThis.forgeFake.typed)).join("");
    // Reports have a fixed form; a line end or a word in one would be a command somebody else wrote.
    assert.doesNotMatch(typed, /[\r\n]|hostile|evil|rm -rf/);
    assert.match(typed, /^(\x1b\[[?>]?[\d;]*\$?[cnyRMmItO]|\x1b\[<[\d;]+[Mm]|\x1b\][\d;]+;rgb:[0-9a-f/]+(\x1b\\|\x07)|\x1bP[01]\$r[^\x1b]*\x1b\\|\x1b\[M...)*$/s);
    const calls = await page.evaluate(() => globalThis.forgeFake.calls.map((c) => c.name));
    assert.deepEqual([...new Set(calls)].filter((name) => !READS.has(name) && !OPENS.has(name)), []);
  } finally {
    await tab.browser.close();
  }
});
