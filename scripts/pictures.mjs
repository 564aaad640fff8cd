// The pictures of README.md, of the real thing: a lab on this machine's Docker engine, in Chromium. `node scripts/pictures.mjs` writes
// docs/images; with a folder as argument every view goes there instead, in both sizes and themes, to be looked at.
// Needs what `make test` sets up (the built `forge`, images, Chromium).
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { open } from "../tests/browser/browser.mjs";
import { FORGE, ROOT, dataFolder, serve } from "../tests/lib/forge.mjs";

const LAB = "ccna-ospf-single-area";
const folder = process.argv[2];
const target = folder ?? join(ROOT, "docs/images");
const sizes = folder ? [[1280, 800], [1920, 1080]] : [[1280, 800]];
const themes = folder ? ["dark", "light"] : ["dark"];
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

mkdirSync(target, { recursive: true });
const data = dataFolder();
const forge = (...args) => JSON.parse(execFileSync(FORGE, ["--json", ...args], { env: { ...process.env, FORGE_HOME: data.home }, encoding: "utf8" }));
const server = await serve(data.home);
try {
  // A result to look back at, and a lab at work.
  const first = forge("start", LAB, "--seed", "pictures");
  forge("solve", first.run);
  await pause(12_000);
  forge("submit", first.run);
  forge("stop", first.run);
  const { run } = forge("start", LAB);
  forge("solve", run);
  const [{ id: result }] = forge("results");

  const views = [
    ["library", `#/library/${LAB}`],
    ["workspace", `#/lab/${run}`, async (page) => {
      await page.locator(".xterm").first().click();
      await page.keyboard.type("vtysh -c 'show ip ospf neighbor'\n");
      await page.getByText(/[1-9] of [0-9] pass/).first().waitFor();
      await pause(4000);
    }],
    ["result", `#/results/${result}`],
    ["history", "#/history"], ["sessions", "#/sessions"], ["images", "#/images"],
    ["governance", "#/governance"], ["doctor", "#/doctor"], ["settings", "#/settings"],
  ];
  // One sign-in: the address is good for one browser.
  const { browser, page, problems } = await open();
  try {
    await page.goto(server.url);
    await page.getByRole("navigation").first().waitFor();
    for (const theme of themes) {
      await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
      for (const [width, height] of sizes) {
        await page.setViewportSize({ width, height });
        for (const [name, hash, act] of folder ? views : views.slice(0, 3)) {
          await page.evaluate((to) => (location.hash = to), hash);
          await pause(1500);
          await act?.(page);
          const suffix = folder ? `${theme}-${width}` : theme;
          await page.screenshot({ path: join(target, `${name}-${suffix}.png`) });
        }
      }
    }
    if (problems.length > 0) throw new Error(problems.join("\n"));
  } finally {
    await browser.close();
  }
} finally {
  forge("stop", "--all");
  await server.stop();
  data.remove();
}
