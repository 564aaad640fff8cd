/** What has happened before the window was opened, scene by scene. */
import { makeResults, type FakeLab } from "./data";
import { planted } from "./planted";
import type { FakeRun } from "./run";
import type { World } from "./world";

const PREPARED = ["well", "starting", "paused", "last-minute", "stopped", "failed", "lost", "crowd", "under-passphrase"];

export function stage(w: World): void {
  const { scene } = w;
  w.settings.first_run_done = scene !== "fresh";
  if (scene === "fresh" || scene === "empty") w.results = [];
  if (scene === "empty") w.labs.length = 0;
  if (scene === "fresh") for (const l of w.labs) Object.assign(l.summary, { best: null, last_run: null });
  if (PREPARED.includes(scene) || /^(locked|teach|class|texts)/.test(scene)) w.prepared(w.images.map((i) => i.name));
  // What the texts say of a lab stays, that it is not ready included.
  if (PREPARED.includes(scene) || /^(locked|teach|class)/.test(scene)) w.unlock();
  play(w);
}

function play(w: World): void {
  const [first] = w.labs;
  const ospf = w.labs.find((l) => l.summary.id === "ospf-single-area") ?? first;
  if (!first || !ospf) return;
  if (w.scene === "full") {
    goingOn(ready(w, ospf));
    void w.build(["forge/tools"]);
  } else if (w.scene === "images-failed") {
    failedBuild(w);
  } else if (w.scene === "starting") {
    w.add(ospf.summary.id, "demo", "a91f27").hold(6);
  } else if (w.scene === "failed") {
    const run = w.add(first.summary.id, "demo", "a91f27");
    first.summary.active_run = null;
    run.hold(6);
    run.fail();
  } else if (["paused", "last-minute", "stopped", "lost", "class", "class-frozen", "class-clock"].includes(w.scene)) {
    const run = ready(w, ospf);
    if (w.scene === "paused") run.state("paused", "Paused");
    if (w.scene === "last-minute") run.summary.deadline = Date.now() + 42_000;
    if (w.scene === "stopped") {
      ospf.summary.active_run = null;
      run.summary.reason = "The time was up.";
      run.state("stopped", "The lab was stopped: the time was up");
    }
  } else if (w.scene === "crowd") {
    const run = ready(w, first);
    for (let i = 0; i < 10_000; i += 1) w.emit(i % 3 ? "node.state" : "log", run.summary.run, `n${1 + (i % 25)}: line ${i} of what a busy lab has to say`);
  } else if (w.scene === "texts") {
    w.results = makeResults(Date.now()).flatMap((r, i) => w.labs.filter((_, n) => n % 5 === i).map((l) => ({ ...r, id: `${r.id}${l.summary.id}`, lab: l.summary.id, lab_title: l.summary.title, track: l.summary.track, version: l.summary.version })));
    const given = planted();
    if (given) given.labs = () => w.labs.map(({ summary: s }) => ({ lab: s.id, run: s.active_run, result: w.results.find((r) => r.lab === s.id)?.id ?? null }));
    for (const l of w.labs) {
      l.guide = given?.guides?.[l.summary.title] ?? l.guide;
      const run = w.add(l.summary.id, "texts", l.summary.title);
      run.ready();
      for (const n of l.topology.nodes) n.ports = [{ port: 80, label: l.summary.title }];
      run.check();
      for (const level of ["info", "warn"] as const) w.emit("log", run.summary.run, l.summary.title, JSON.parse(`{"__proto__":{"polluted":1},"text":${JSON.stringify(l.summary.title)}}`), level);
      w.emit("node.state", run.summary.run, l.summary.title, { node: l.summary.title, state: "running" });
    }
  }
}

function ready(w: World, lab: FakeLab): FakeRun {
  const run = w.add(lab.summary.id, "demo", "a91f27");
  run.ready();
  run.check();
  return run;
}

/** Checks that turn green one after another. */
function goingOn(run: FakeRun): void {
  const timer = setInterval(() => {
    if (run.summary.state === "ready" && run.passed < 4) run.check();
    else if (run.summary.state !== "ready") clearInterval(timer);
  }, 9000);
}

function failedBuild(w: World): void {
  const error = { code: "image_build_failed" as const, message: "Step 3 of 7 (apt-get install nmap hydra tcpdump) failed: no package mirror answers.", hints: ["Connect this machine to the internet once, then prepare the images again: finished steps are kept.", "Behind a proxy, set http_proxy before you start the app."], details: null };
  const step = (name: string, state: "done" | "failed", ms: number, detail: string) => ({ name, state, ms, detail, percent: state === "done" ? 100 : 42 });
  w.jobs.set("job-1", { job: "job-1", kind: "prepare_images", done: true, error, steps: [step("base for forge/tools", "done", 4200, "debian:bookworm-slim from the local store"), step("forge/tools", "failed", 31_400, "Step 3/7: apt-get install")] });
}
