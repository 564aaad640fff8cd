// Debian's Chromium through playwright-core, watched: console errors, failed requests and violated policies are collected.
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { ARTIFACTS, ROOT } from "../lib/forge.mjs";

// The UI's own modules: tests add no dependency of their own.
const require = createRequire(join(ROOT, "ui/package.json"));
const { chromium } = require("playwright-core");
const AXE = require.resolve("axe-core/axe.min.js");

export async function open({ colorScheme = "dark", viewport = { width: 1280, height: 800 } } = {}) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  const context = await browser.newContext({ colorScheme, viewport, reducedMotion: "reduce" });
  const page = await context.newPage();
  const problems = [];
  page.on("console", (message) => message.type() === "error" && problems.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => problems.push(`page: ${error.message}`));
  page.on("requestfailed", (request) => {
    // A page that is left takes its requests with it.
    if (request.failure()?.errorText !== "net::ERR_ABORTED") problems.push(`request: ${request.url()} ${request.failure()?.errorText}`);
  });
  return { browser, context, page, problems };
}

/** Violations of WCAG 2.2 A and AA and of good practice, or of these rules alone, each with where it is. */
export async function violations(page, rules) {
  await page.evaluate(await (await import("node:fs/promises")).readFile(AXE, "utf8"));
  const options = { resultTypes: ["violations"], ...(rules && { runOnly: { type: "rule", values: rules } }) };
  const { violations } = await page.evaluate((o) => globalThis.axe.run(document, o), options);
  return violations.map((v) => `${v.id} (${v.impact}): ${v.help} at ${v.nodes.map((n) => n.target.join(" ")).join(", ")}`);
}

/** What has the focus, and whether one can see that it has. */
export const focusOf = (page) =>
  page.evaluate(() => {
    const at = document.activeElement;
    const style = getComputedStyle(at);
    const ringed = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    const box = at.getBoundingClientRect();
    // An editor shows its caret, a search box its underline, a node of the map its ring.
    const own = at.matches("textarea.xterm-helper-textarea, input[type=text], [role=combobox], svg *, dialog, main, body");
    return { name: (at.getAttribute("aria-label") ?? at.textContent ?? "").trim().slice(0, 60), tag: at.localName, seen: ringed || own, inView: box.bottom > 0 && box.top < innerHeight };
  });

export async function shoot(page, name) {
  mkdirSync(ARTIFACTS, { recursive: true });
  await page.screenshot({ path: join(ARTIFACTS, `browser-${name}.png`) });
}
