// A learner's laptop as a process of its own: enrol, a real lab, submit, sync, re-graded by the server, on the board, verified in a browser.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:https";
import { request } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { open } from "../browser/browser.mjs";
import { FORGE, ROOT, dataFolder, start, until } from "../lib/forge.mjs";

const BIN = process.env.FORGE_SCOREBOARD_BIN ?? join(ROOT, "target/debug/forge-scoreboard");
const CLUSTER = process.env.FORGE_BOARD_DATABASE;
// The same journey against the other database is short: what follows it does not depend on the database.
const rest = process.env.FORGE_BOARD_JOURNEY_ONLY === "1" ? () => {} : test;
let data, laptop, server, url, board;

function forge(args, { home = laptop.home, status = 0 } = {}) {
  const done = spawnSync(FORGE, ["--json", ...args], { env: { ...process.env, FORGE_HOME: home }, encoding: "utf8", timeout: 120_000 });
  assert.equal(done.status, status, `forge ${args.join(" ")}: ${done.stdout}${done.stderr}`);
  const text = status === 0 ? done.stdout : done.stdout || done.stderr;
  return JSON.parse(text);
}
const scoreboard = (...args) => JSON.parse(execFileSync(BIN, [...args, "--data", board, "--json", ...(CLUSTER ? ["--database", CLUSTER] : [])], { encoding: "utf8" }));
const code = () => scoreboard("invite", "--class", "Networks 1").code;
const get = async (path) => (await fetch(url + path)).json();

async function serve() {
  const args = ["serve", "--listen", "127.0.0.1:0", "--data", board, "--json", ...(CLUSTER ? ["--database", CLUSTER] : [])];
  server = start(BIN, args, { env: { RUST_LOG: "error" } });
  await until("the board says where it is", () => server.said().includes("\n"));
  url = JSON.parse(server.said().split("\n")[0]).url;
}

before(async () => {
  data = dataFolder();
  laptop = dataFolder();
  board = join(data.home, "board");
  await serve();
});

after(async () => {
  spawnSync(FORGE, ["stop", "--all"], { env: { ...process.env, FORGE_HOME: laptop.home } });
  await server?.stop();
  data?.remove();
  laptop?.remove();
});

test("enrol, lab, submit, sync, re-grade, board, verify in a browser", async () => {
  const off = forge(["sync"], { status: 9 });
  assert.equal(off.error.code, "wrong_state");
  assert.equal(forge(["enrol", url, "AAAA-BBBB-CCCC-DDDD"], { status: 1 }).error.details.code, "code_unknown");

  const lab = forge(["labs"])[0].id;
  const walked = forge(["demo", lab, "--seed", "journey"]);
  assert.ok(walked.ok);
  const id = walked.submit.id;
  assert.equal(forge(["sync", "--status"]).results[0].state, "off");
  assert.equal((await get("/v1/stats")).verdicts, 0, "nothing leaves before somebody enrols");

  const enrolled = forge(["enrol", url, code(), "--name", "Mara"]);
  assert.deepEqual([enrolled.board.class, enrolled.board.name, enrolled.pending], ["Networks 1", "Mara", 1]);
  const preview = forge(["sync", "--preview"]);
  assert.equal(preview.verdicts[0].result, id);
  assert.equal((await get("/v1/stats")).verdicts, 0, "a preview sends nothing");
  assert.ok(!JSON.stringify(preview.verdicts).includes(laptop.home), "a path of this machine would leave");

  // The server is away: nothing is lost, and it is said.
  await server.stop();
  const away = forge(["sync"]);
  assert.deepEqual([away.accepted, away.pending, away.refused, away.error.code], [0, 1, 0, "unreachable"]);
  assert.equal(forge(["sync", "--status"]).results[0].state, "pending");
  const listen = new URL(url).host;
  server = start(BIN, ["serve", "--listen", listen, "--data", board, "--json", ...(CLUSTER ? ["--database", CLUSTER] : [])], { env: { RUST_LOG: "error" } });
  await until("the board is back", () => server.said().includes("\n"));

  assert.deepEqual(forge(["sync"]), { accepted: 1, pending: 0, refused: 0, raised: [], error: null });
  assert.deepEqual(forge(["sync"]), { accepted: 0, pending: 0, refused: 0, raised: [], error: null });
  const [row] = forge(["sync", "--status"]).results;
  assert.equal(existsSync(join(board, "scoreboard.db")), !CLUSTER, "it is in the database that was asked for");
  assert.deepEqual([row.state, row.tier, row.url], ["accepted", "re-graded", `${url}/v1/verdicts/${id}`]);
  assert.equal(JSON.parse(row.receipt).body.verdict, id);
  assert.equal(forge(["audit", "verify"]).ok, true);

  // Byte for byte what the preview said.
  for (const [part, file] of [["envelope", "verdict.dsse.json"], ["score", "score.json"]]) {
    const said = preview.verdicts[0].requests[0].parts.find((p) => p.name === part);
    const bytes = new Uint8Array(await (await fetch(`${url}/v1/verdicts/${id}/${file}`)).arrayBuffer());
    const digest = Buffer.from(await crypto.subtle.digest("SHA-256", bytes)).toString("hex");
    assert.deepEqual([digest, bytes.length], [said.sha256, said.bytes]);
  }

  const { track } = await get(`/v1/verdicts/${id}`);
  const { rows } = await get(`/v1/leaderboard/${track}?tier=re-graded`);
  assert.deepEqual([rows[0].name, rows[0].points, rows[0].max], ["Mara", walked.submit.score, walked.submit.max]);

  const { browser, page, problems } = await open();
  try {
    await page.goto(`${url}/v1/verdicts/${id}`);
    await page.getByText("The signature holds.").waitFor();
    assert.deepEqual(problems, []);
  } finally {
    await browser.close();
  }
});

rest("an instructor executes it again, and the board says so", async () => {
  const teacher = dataFolder();
  try {
    forge(["enrol", url, scoreboard("invite", "--class", "Networks 1", "--role", "instructor").code, "--name", "Mr. Turing"], { home: teacher.home });
    const { verdicts } = await get("/v1/verdicts");
    const { id, seq } = verdicts[0];
    const page = `${url}/v1/verdicts/${id}`;
    // The learner may look whether it does it again; vouching for it is not theirs.
    assert.equal(forge(["reexecute", "ab".repeat(32)], { status: 4 }).error.details.code, "not_found");
    const live = await fetch(`${url}/v1/live`);
    // Not blocking: the stream is read meanwhile, as a browser does.
    const work = start(FORGE, ["--json", "reexecute", page, "--report"], { env: { FORGE_HOME: teacher.home } });
    const status = await Promise.race([work.ended, new Promise((done) => setTimeout(done, 400_000, "too late").unref())]);
    assert.equal(status, 0, work.said());
    const again = JSON.parse(work.said().trim().split("\n").at(-1));
    assert.deepEqual([again.verdict, again.agrees, again.reported, again.tier], [id, true, true, "re-executed"]);
    assert.equal(again.score, again.max);
    assert.ok(again.criteria.length > 1 && again.criteria.every((c) => c.submitted === "pass" && c.reexecuted === "pass"));
    const seen = await get(`/v1/verdicts/${id}`);
    assert.deepEqual([seen.tier, seen.seq], ["re-executed", seq]);
    assert.ok(seen.established.includes("re-executed"));
    const [statement] = await get(`/v1/verdicts/${id}/reexecutions`);
    assert.deepEqual(statement, JSON.parse(again.statement));
    let heard = "";
    for await (const chunk of live.body) if ((heard += Buffer.from(chunk).toString()).includes(`"tier":"re-executed"`)) break;
    assert.ok(heard.includes(id));
    assert.equal(scoreboard("verify-all").ok, true);
  } finally {
    teacher.remove();
  }
});

rest("a run that is bound to a session counts for it", async () => {
  const teacher = dataFolder();
  try {
    const invited = scoreboard("invite", "--class", "Networks 1", "--role", "instructor").code;
    forge(["enrol", url, invited, "--name", "Ms. Ada"], { home: teacher.home });
    const lab = forge(["labs"])[0].id;
    assert.equal(forge(["session", "create", "Not mine to make", "--lab", lab], { status: 3 }).error.details.code, "forbidden");
    const session = forge(["session", "create", "Monday", "--lab", lab, "--shared-seed"], { home: teacher.home });
    assert.match(session.join_code, /^[A-Z0-9]{4}-[A-Z0-9]{4}$/);
    assert.equal(forge(["start", lab, "--session", session.id], { status: 3 }).error.details.code, "forbidden");
    assert.equal(forge(["session", "join", session.join_code]).join_code, null);

    const first = forge(["start", lab, "--session", session.id]);
    assert.equal(forge(["start", lab, "--session", session.id]).run, first.run, "the same challenge, the same run");
    forge(["stop", first.run]);
    const second = forge(["start", lab, "--session", session.id]);
    assert.notEqual(second.run, first.run, "a run that was given up does not use the challenge up");
    assert.equal(second.seed, first.seed);
    assert.equal(forge(["hint", second.run, "any"], { status: 3 }).error.code, "denied", "the session allows no hints");
    forge(["solve", second.run]);
    const { id } = forge(["submit", second.run]);
    forge(["stop", second.run]);
    const { raised, ...sent } = forge(["sync"]);
    assert.deepEqual(sent, { accepted: 1, pending: 0, refused: 0, error: null });
    // The one that an instructor executed again meanwhile stands higher, and the laptop is told.
    assert.deepEqual(raised.map((r) => [r.result === id, r.tier]), [[false, "re-executed"]]);
    const receipt = JSON.parse(forge(["sync", "--status"]).results.find((r) => r.result === id).receipt).body;
    assert.deepEqual([receipt.session, receipt.tier], [session.id, "re-graded"]);
    assert.ok(receipt.established.includes("issued-seed"), JSON.stringify(receipt));
    const { board: seen } = forge(["session", "status", session.id], { home: teacher.home });
    const mara = seen.rows.find((r) => r.name === "Mara");
    assert.deepEqual(mara.results.map((r) => [r.verdict, r.in_time]), [[id, true]]);
    assert.equal(forge(["session", "status", session.id]).board, null, "a learner does not see the others");
  } finally {
    teacher.remove();
  }
});

rest("https is believed under the given certificate only", async () => {
  const file = (name) => join(data.home, name);
  const openssl = (...args) => execFileSync("openssl", args, { stdio: "pipe" });
  openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=Test CA", "-addext", "keyUsage=critical,keyCertSign", "-keyout", file("ca.key"), "-out", file("ca.pem"));
  openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE", "-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-keyout", file("tls.key"), "-out", file("tls.pem"));
  const proxy = createServer({ key: readFileSync(file("tls.key")), cert: readFileSync(file("tls.pem")) }, (req, res) => {
    const { host } = new URL(url);
    const onward = request(url + req.url, { method: req.method, headers: { ...req.headers, host } }, (answer) => {
      res.writeHead(answer.statusCode, answer.headers);
      answer.pipe(res);
    });
    onward.on("error", () => res.destroy());
    req.pipe(onward);
  });
  await new Promise((done) => proxy.listen(0, "127.0.0.1", done));
  const other = dataFolder();
  try {
    const address = `https://localhost:${proxy.address().port}`;
    // In a process of its own time: the proxy is this process, so the laptop must not block it.
    const run = async (...args) => {
      const child = start(FORGE, ["--json", ...args], { env: { FORGE_HOME: other.home } });
      const status = await child.ended;
      return { status, answer: JSON.parse(child.said().trim().split("\n").at(-1)) };
    };
    const stranger = await run("enrol", address, code());
    assert.equal(stranger.status, 1);
    assert.equal(stranger.answer.error.details.code, "untrusted");
    const known = await run("enrol", address, code(), "--ca", file("ca.pem"));
    assert.equal(known.status, 0, JSON.stringify(known.answer));
    assert.equal(known.answer.board.own_ca, true);
    const sent = await run("sync");
    assert.deepEqual([sent.status, sent.answer.error], [0, null]);
  } finally {
    proxy.close();
    proxy.closeAllConnections();
    other.remove();
  }
});
