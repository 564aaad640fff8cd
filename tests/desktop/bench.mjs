// What the window costs: time from exec to a window on the screen and to the first page that has its answers, and the
// memory (PSS) of the whole process tree, idle and with a ten-node lab, telemetry charts and three terminals. `where` says which
// program has how much of it. Release build; prints one JSON line. Run by `make bench`.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { APP, FORGE, dataFolder, start, until } from "../lib/forge.mjs";
import { display, open } from "./desktop.mjs";

const ROUNDS = 5;
/** A window is idle once the doctor has had its look; what is measured is the middle one of several looks. */
const SETTLE = 8000;
const LOOKS = 5;
const NODES = 10;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];

/** Process ids of a process and everything below it. */
function tree(root) {
  const parent = new Map();
  for (const pid of readdirSync("/proc").filter((n) => /^\d+$/.test(n))) {
    try {
      parent.set(Number(pid), Number(readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1).split(" ")[1]));
    } catch {
      // It ended while we looked.
    }
  }
  const found = [root];
  for (const pid of found) for (const [child, of] of parent) if (of === pid) found.push(child);
  return found;
}

/** Proportional set size in MB: shared pages counted once over all who share them (proc(5), smaps_rollup). */
function pss(root) {
  const where = {};
  for (const pid of tree(root)) {
    try {
      const kb = Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0);
      const name = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, 2).map((word) => basename(word)).filter((word) => !/^\d*$/.test(word)).join(" ");
      where[name] = Math.round((where[name] ?? 0) + kb / 1024);
    } catch {
      // It ended while we looked.
    }
  }
  return { mb: Object.values(where).reduce((sum, mb) => sum + mb, 0), where };
}

/** The middle of several looks, a second apart: a collection of garbage more or less is not what is asked for. */
async function steady(root) {
  const looks = [];
  for (let look = 0; look < LOOKS; look++) {
    looks.push(pss(root));
    await pause(1000);
  }
  return looks.toSorted((a, b) => a.mb - b.mb)[LOOKS >> 1];
}

const shown = (screen) => {
  const list = execFileSync("xwininfo", ["-display", screen, "-root", "-tree"], { encoding: "utf8" });
  const id = /(0x[0-9a-f]+) ".*FrostGate Forge"/.exec(list)?.[1];
  return id !== undefined && execFileSync("xwininfo", ["-display", screen, "-id", id], { encoding: "utf8" }).includes("IsViewable");
};

/** Milliseconds until the page's first call of this name was answered, by the log's own clock: its writer may lag behind. */
async function answered(home, command, began) {
  const logs = join(home, "logs");
  const line = await until(`${command} is answered`, () => {
    // The folder comes with the first line; until then there is nothing to read.
    const lines = existsSync(logs) ? readdirSync(logs).flatMap((file) => readFileSync(join(logs, file), "utf8").split("\n")) : [];
    return lines.find((l) => l.includes(`"command":"${command}"`) && l.includes('"message":"answered"'));
  }, { every: 20 });
  return Date.parse(JSON.parse(line).ts) - (performance.timeOrigin + began);
}

/** One start on a fresh data folder: milliseconds to the window and to the page's first answered calls, MB when idle. */
async function coldStart(screen) {
  const data = dataFolder();
  const began = performance.now();
  const app = start(APP, [], { env: { DISPLAY: screen, WAYLAND_DISPLAY: "", FORGE_HOME: data.home } });
  try {
    await until("the window is shown", () => shown(screen), { every: 10 });
    const window_ms = performance.now() - began;
    const page_ms = await answered(data.home, "list_labs", began);
    await pause(SETTLE);
    return { window_ms, page_ms, idle: await steady(app.child.pid) };
  } finally {
    await app.stop();
    data.remove();
  }
}

function ring(folder) {
  const at = (n) => (n + NODES) % NODES;
  const lines = [
    "apiVersion: frostgate.forge/v1", "kind: ScenarioTemplate", "metadata:", "  name: netplus-window-ring", "  title: Ring", "  version: 1.0.0",
    "  labels: [class:netplus, tier:foundation, topic:bench]", "  objectives: [{exam: N10-009, id: \"1.0\", text: Bench}]", "  minutes: 5", "  summary: A ring.",
    "spec:", "  limits: {cpu: 2, memory_mb: 2048, timeout_minutes: 30}", "  network:", "    egress: deny", "    links:",
    ...Array.from({ length: NODES }, (_, n) => `      - {id: l${n}, between: [h${n}:eth2, h${at(n + 1)}:eth1], subnet: 10.77.${n}.0/24}`),
    "  assets:", "    nodes:", ...Array.from({ length: NODES }, (_, n) => `      - {name: h${n}, role: client}`),
    "  successCriteria:", "    - {id: up, title: The neighbour answers, weight: 1, failed: \"no\", evidence: [{probe: ping, from: h0, to: \"{{h1.eth1}}\"}]}",
  ];
  const lab = join(folder, "netplus", "netplus-window-ring");
  mkdirSync(lab, { recursive: true });
  writeFileSync(join(lab, "lab.yaml"), `${lines.join("\n")}\n`);
}

/** The app at work: MB of its tree with a ten-node lab, live charts and three terminals. */
async function atWork() {
  const data = dataFolder();
  const labs = `${data.home}-labs`;
  ring(labs);
  const env = { ...process.env, FORGE_HOME: data.home, FORGE_LABS: labs };
  const forge = (...args) => JSON.parse(execFileSync(FORGE, ["--json", ...args], { env, encoding: "utf8" }));
  let window;
  try {
    window = await open({ home: data.home, env: { FORGE_LABS: labs } });
    // From the window, so that what it starts beside itself counts as well.
    await window.run("location.hash = '#/library/netplus-window-ring'");
    await until("the lab is started", () =>
      window.run("const b = [...document.querySelectorAll('main button')].find((b) => !b.disabled && /^Start/.test(b.textContent.trim())); b?.click(); return Boolean(b)"));
    await window.find(".xterm", { seconds: 60 });
    for (let n = 1; n < 3; n++) {
      await window.click('button[aria-label="Open a terminal"]');
      await window.run(`[...document.querySelectorAll('[role="menuitem"]')].find((b) => b.textContent.includes("h${n}")).click()`);
      await until("another terminal is open", async () => (await window.all('[role="tablist"][aria-label="Terminals"] [role="tab"]')).length > n);
    }
    await window.run(`[...document.querySelectorAll('[role="tab"]')].find((t) => t.textContent.trim() === "Telemetry").click()`);
    await until("the charts are drawn", async () => (await window.all('[role="tabpanel"] canvas, [role="tabpanel"] svg')).length > 0);
    await pause(20_000);
    const app = tree(window.driverPid).find((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")[0] === APP);
    if (app === undefined) throw new Error("the app's process was not found below the driver");
    return await steady(app);
  } finally {
    // Each also when the one before it failed: the lab first, while its data folder is there.
    try {
      forge("stop", "--all");
    } finally {
      await window?.close();
      data.remove();
      rmSync(labs, { recursive: true, force: true });
    }
  }
}

const screen = await display(1280, 800);
try {
  const starts = [];
  for (let round = 0; round < ROUNDS; round++) starts.push(await coldStart(screen.name));
  const of = (key) => Math.round(median(starts.map((s) => s[key])));
  const worst = (key) => Math.round(Math.max(...starts.map((s) => s[key])));
  const idle = starts.map((s) => s.idle).toSorted((a, b) => a.mb - b.mb)[ROUNDS >> 1];
  const work = await atWork();
  console.log(JSON.stringify({
    rounds: ROUNDS, window_ms: of("window_ms"), window_worst_ms: worst("window_ms"), page_ms: of("page_ms"), page_worst_ms: worst("page_ms"),
    idle_mb: idle.mb, idle_where: idle.where, nodes: NODES, terminals: 3, at_work_mb: work.mb, at_work_where: work.where,
  }));
} finally {
  await screen.stop();
}
