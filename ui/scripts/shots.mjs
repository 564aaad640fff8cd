/**
 * Opens every view against the fake engine in a real Chromium, in both themes and sizes, and fails on a console error or an
 * axe violation. Pictures go to the folder given (default: shots/, ignored by git). `node scripts/shots.mjs [dir] [only]`
 */
import { createRequire } from "node:module";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { createServer } from "vite";

const [dir = "shots", only = ""] = process.argv.slice(2);
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
mkdirSync(dir, { recursive: true });

/** name, scene, hash, what to do once it is shown */
const PAGES = [
  ["library", "full", "#/library/ospf-single-area"],
  ["library-blocked", "full", "#/library/ssh-hardening"],
  ["library-empty", "empty", "#/library"],
  ["library-loading", "loading", "#/library"],
  ["library-error", "error", "#/library"],
  ["library-nothing-found", "full", "#/library", (p) => p.getByLabel("Search labs").fill("bgp")],
  ["welcome", "fresh", "#/welcome"],
  ["welcome-no-docker", "error", "#/welcome"],
  ["doctor", "full", "#/doctor"],
  ["doctor-error", "error", "#/doctor"],
  ["images", "full", "#/images"],
  ["results", "full", "#/results"],
  ["results-unknown", "full", "#/results/none"],
  ["history", "full", "#/history"],
  ["history-empty", "empty", "#/history"],
  ["settings", "full", "#/settings"],
  ["lab", "full", "#/lab/k3v9q2x7aa", (p) => p.waitForTimeout(1500)],
  ["lab-none", "empty", "#/lab"],
  ["palette", "full", "#/library", async (p) => { await p.keyboard.press("Control+k"); await p.keyboard.type("o"); }],
  ["keys", "full", "#/library", (p) => p.keyboard.press("?")],
];
const SIZES = [[1280, 800], [1920, 1080]];

const server = await createServer({ server: { port: 0, strictPort: false }, logLevel: "error" });
await server.listen();
const { port } = server.httpServer.address();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

let bad = 0;
for (const colorScheme of ["dark", "light"]) {
  for (const [width, height] of SIZES) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme, reducedMotion: "reduce" });
    for (const [name, scene, hash, act] of PAGES) {
      if (only && !name.startsWith(only)) continue;
      const page = await context.newPage();
      const complaints = [];
      page.on("console", (m) => m.type() === "error" && complaints.push(m.text()));
      page.on("pageerror", (e) => complaints.push(String(e)));
      await page.goto(`http://127.0.0.1:${port}/?host=fake&scene=${scene}${hash}`);
      await page.locator("main").waitFor({ timeout: 60_000 });
      await page.waitForTimeout(500);
      await act?.(page);
      await page.waitForTimeout(400);
      await page.screenshot({ path: join(dir, `${name}-${colorScheme}-${width}.png`) });
      await page.addScriptTag({ path: axe });
      const { violations } = await page.evaluate(() => window.axe.run(document));
      for (const v of violations) complaints.push(`axe ${v.id}: ${v.nodes.map((n) => `${n.target.join(" ")} ${n.any[0]?.message ?? ""}`).slice(0, 4).join(" | ")}`);
      const scrolls = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth || document.documentElement.scrollHeight > innerHeight);
      if (scrolls) complaints.push("the frame scrolls");
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
