/**
 * Opens every view against the fake engine in a real Chromium, in both themes and sizes, and fails on a console error or an
 * axe violation, a frame that scrolls, text that is cut off without a title, and a control without a name. Pictures go to the
 * folder given (default: shots/, ignored by git). `node scripts/shots.mjs [dir] [name,name]`; THEMES and WIDTHS choose fewer.
 */
import { createRequire } from "node:module";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { createServer } from "vite";
import { PAGES, covered, cutOff } from "./states.mjs";

const [dir = "shots", only = ""] = process.argv.slice(2);
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
mkdirSync(dir, { recursive: true });

const SIZES = [[1280, 800], [1920, 1080]];

const server = await createServer({ server: { port: 0, strictPort: false }, logLevel: "error" });
await server.listen();
const { port } = server.httpServer.address();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

let bad = 0;
const wanted = only === "" ? PAGES : PAGES.filter(([name]) => only.split(",").some((o) => name.startsWith(o)));
for (const colorScheme of (process.env.THEMES ?? "dark,light").split(",")) {
  for (const [width, height] of SIZES.filter(([w]) => !process.env.WIDTHS || process.env.WIDTHS.split(",").includes(String(w)))) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme, reducedMotion: "reduce" });
    for (const [name, scene, hash, act] of wanted) {
      const page = await context.newPage();
      const complaints = [];
      page.on("console", (m) => m.type() === "error" && complaints.push(m.text()));
      page.on("pageerror", (e) => complaints.push(String(e)));
      await page.goto(`http://127.0.0.1:${port}/?host=fake&scene=${scene}${hash}`);
      await page.locator("main").waitFor({ timeout: 60_000 });
      await page.waitForTimeout(500);
      await act?.(page).catch((e) => complaints.push(`could not be reached: ${e.message.split("\n")[0]}`));
      await page.waitForTimeout(400);
      await page.screenshot({ path: join(dir, `${name}-${colorScheme}-${width}.png`) });
      await page.addScriptTag({ path: axe });
      const { violations } = await page.evaluate(() => window.axe.run(document));
      for (const v of violations) complaints.push(`axe ${v.id}: ${v.nodes.map((n) => `${n.target.join(" ")} ${n.any[0]?.message ?? ""}`).slice(0, 4).join(" | ")}`);
      const scrolls = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth || document.documentElement.scrollHeight > innerHeight);
      if (scrolls) complaints.push("the frame scrolls");
      for (const text of await page.evaluate(cutOff)) complaints.push(`cut off without a title: ${text}`);
      for (const what of await page.evaluate(covered)) complaints.push(`map: ${what}`);
      for (const c of complaints) console.error(`${name} ${colorScheme} ${width}: ${c}`);
      bad += complaints.length;
      await page.close();
    }
    await context.close();
  }
}
await browser.close();
await server.close();
console.log(bad ? `${bad} complaints` : "no console error, no axe violation");
process.exit(bad ? 1 : 0);
