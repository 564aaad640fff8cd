// Re-execution on demand: an instructor asks, a worker on this machine's Docker takes the verdict, does it again, and says so. The
// worker is a process of its own that is asked to stop, and killed, in the middle of it.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { FORGE, ROOT, dataFolder, start, until } from "../lib/forge.mjs";

const BIN = process.env.FORGE_SCOREBOARD_BIN ?? join(ROOT, "target/debug/forge-scoreboard");
const OSPF = "ccna-ospf-single-area";
const folders = [];
let board, server, url, laptop, teacher, bench, spare;

const folder = () => {
  const made = dataFolder();
  folders.push(made);
  return made.home;
};
function forge(home, args, status = 0) {
  const done = spawnSync(FORGE, ["--json", ...args], { env: { ...process.env, FORGE_HOME: home }, encoding: "utf8", timeout: 240_000 });
  assert.equal(done.status, status, `forge ${args.join(" ")}: ${done.stdout}${done.stderr}`);
  return JSON.parse((done.stdout || done.stderr).trim().split("\n").at(-1));
}
const scoreboard = (...args) => JSON.parse(execFileSync(BIN, [...args, "--data", board, "--json"], { encoding: "utf8" }));
const enrol = (home, role, name) => forge(home, ["enrol", url, scoreboard("invite", "--class", "Networks 1", "--role", role).code, "--name", name]);
const job = (id) => forge(teacher, ["reexecute", "--jobs"]).find((j) => j.verdict === id);
const containers = (home) => {
  const instance = join(home, "instance");
  if (!existsSync(instance)) return [];
  return execFileSync("docker", ["ps", "-aq", "--filter", `label=dev.frostgate.instance=${readFileSync(instance, "utf8")}`], { encoding: "utf8" }).split("\n").filter(Boolean);
};
const work = (home, ...args) => start(FORGE, ["--json", "worker", ...args], { env: { FORGE_HOME: home } });

before(async () => {
  board = join(folder(), "board");
  [laptop, teacher, bench, spare] = [folder(), folder(), folder(), folder()];
  server = start(BIN, ["serve", "--listen", "127.0.0.1:0", "--data", board, "--json"], { env: { RUST_LOG: "error" } });
  await until("the board says where it is", () => server.said().includes("\n"));
  url = JSON.parse(server.said().split("\n")[0]).url;
});

after(async () => {
  for (const home of [laptop, bench, spare]) if (home) spawnSync(FORGE, ["stop", "--all"], { env: { ...process.env, FORGE_HOME: home } });
  await server?.stop();
  folders.forEach((f) => f.remove());
});

test("asked for in a class, done by a worker that others were killed before", { timeout: 540_000 }, async () => {
  assert.equal(forge(bench, ["worker", "--once"], 9).error.code, "wrong_state", "not enrolled yet");
  enrol(laptop, "learner", "Mara");
  enrol(teacher, "instructor", "Mr. Turing");
  enrol(bench, "worker", "Bench 1");
  enrol(spare, "worker", "Bench 2");
  assert.deepEqual(forge(bench, ["worker", "--once"]), { event: "idle" });
  assert.equal(forge(laptop, ["worker", "--once"], 3).error.details.code, "forbidden");

  const { id } = forge(laptop, ["demo", OSPF, "--seed", "on-demand"]).submit;
  const bound = forge(laptop, ["demo", "netplus-dns-zone-reverse", "--seed", "on-demand"]).submit.id;
  assert.equal(forge(laptop, ["sync"]).accepted, 2);
  const page = `${url}/v1/verdicts/${id}`;
  for (const [home, verdict, code, exit] of [[laptop, page, "forbidden", 3], [bench, page, "forbidden", 3], [teacher, bound, "seed_bound", 10], [teacher, "ab".repeat(32), "not_found", 4]]) {
    const { error } = forge(home, ["reexecute", verdict, "--ask"], exit);
    assert.equal(error.details.code, code);
    assert.ok(error.hints.length > 0, code);
  }
  assert.equal(forge(teacher, ["reexecute", "nonsense", "--ask"], 2).error.code, "invalid_input");
  const asked = forge(teacher, ["reexecute", page, "--ask"]);
  assert.deepEqual([asked.verdict, asked.state, asked.tries], [id, "queued", 0]);
  assert.deepEqual(forge(teacher, ["reexecute", id, "--ask"]), asked, "asking twice is one job");
  assert.equal(forge(teacher, ["reexecute", "--jobs"]).length, 1);

  // Asked to stop in the middle: given back, not counted, nothing left.
  const polite = work(bench, "--lease", "5");
  try {
    await until("a worker has it", () => job(id).state === "running", { seconds: 60 });
    await until("its lab is under way", () => containers(bench).length > 1, { seconds: 60 });
    process.kill(polite.child.pid, "SIGTERM");
    assert.equal(await Promise.race([polite.ended, new Promise((done) => setTimeout(done, 90_000, "too late").unref())]), 0, polite.said());
    assert.match(polite.said(), /"how":"returned"/);
    assert.deepEqual([job(id).state, job(id).tries], ["queued", 0]);
    assert.deepEqual(containers(bench), []);
  } finally {
    await polite.stop();
  }

  // Killed in the middle: its lease ends, and its lab is swept by the keeper that outlives it.
  const killed = work(bench, "--lease", "5");
  await until("a worker has it again", () => job(id).state === "running", { seconds: 60 });
  await until("its lab is ready", () => forge(bench, ["ps"]).some((r) => r.state === "ready"), { seconds: 90, every: 500 });
  process.kill(killed.child.pid, "SIGKILL");
  await killed.ended;
  await until("the job is back in the queue", () => job(id).state === "queued", { seconds: 30, every: 250 });
  assert.deepEqual([job(id).tries, job(id).why], [1, "The worker was not heard of any more."]);
  await until("nothing of it is left", () => containers(bench).length === 0, { seconds: 60, every: 500 });
  await killed.stop();

  // Another one does it.
  const done = work(spare, "--once");
  const code = await Promise.race([done.ended, new Promise((late) => setTimeout(late, 240_000, "too late").unref())]);
  assert.equal(code, 0, done.said());
  const said = done.said().trim().split("\n").filter((l) => l.startsWith("{")).map((l) => JSON.parse(l));
  assert.deepEqual(said.map((e) => [e.event, e.verdict]), [["taken", id], ["ended", id]]);
  assert.deepEqual([said[1].how, said[1].agrees], ["done", true]);
  assert.deepEqual(containers(spare), []);
  assert.ok(!existsSync(join(spare, "fetched")) || execFileSync("ls", [join(spare, "fetched")], { encoding: "utf8" }) === "", "what was fetched stays nowhere");
  const { state, agrees, tries } = job(id);
  assert.deepEqual([state, agrees, tries], ["done", true, 2]);
  const seen = await (await fetch(page)).json();
  assert.equal(seen.tier, "re-executed");
  const statements = await (await fetch(`${page}/reexecutions`)).json();
  assert.equal(statements.length, 1);
  assert.equal(forge(teacher, ["reexecute", id, "--ask"]).state, "done");
  assert.deepEqual(forge(spare, ["worker", "--once"]), { event: "idle" });
  assert.equal(scoreboard("verify-all").ok, true);
});
