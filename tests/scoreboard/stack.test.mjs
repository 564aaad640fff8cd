// The files of deploy/ work together: a verdict goes in through the proxy, and shows up in PostgreSQL, Prometheus, NATS and the log.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { FORGE, until } from "../lib/forge.mjs";
import { BIN, board, database, loki, nats, needs, prometheus, promtool, proxy, run, setUp, speak } from "./stack.mjs";

let stack, id, ca;

before(async () => {
  assert.deepEqual(needs, [], "not installed: scripts/setup.sh test");
  stack = await setUp();
  ca = readFileSync(stack.secret("tls_certificate.pem"));
  await database(stack);
  await nats(stack);
  await loki(stack);
  // A board that was run without PostgreSQL moves into the stack: backup and restore.
  const demo = join(stack.home, "demo");
  id = JSON.parse(run(BIN, ["bench", "demo", "--data", demo, "--json"])).verdict;
  run(BIN, ["backup", "--data", demo, "--to", join(stack.home, "backup"), "--json"]);
  run(BIN, ["restore", "--from", join(stack.home, "backup"), "--data", join(stack.home, "board"), "--database-file", stack.secret("database_url"), "--json"]);
  await board(stack);
  await proxy(stack);
  await prometheus(stack);
});
after(() => stack?.end());

/** Over TLS, believing the stack's certificate and no other. `some`: resolve with the first piece of a body that does not end. */
function ask(path, { method = "GET", headers = {}, body, some = false } = {}) {
  return new Promise((done, failed) => {
    const asked = request(`${stack.url}${path}`, { method, headers, ca, timeout: 15_000 }, (answer) => {
      let text = "";
      const finish = () => done({ status: answer.statusCode, headers: answer.headers, text });
      answer.on("data", (data) => {
        text += data;
        if (some) {
          finish();
          asked.destroy();
        }
      });
      answer.on("end", finish);
    });
    asked.once("error", failed);
    asked.once("timeout", () => asked.destroy(new Error(`${path}: no answer within 15 s`)));
    asked.end(body);
  });
}

test("a laptop enrols through the proxy, and believes only its certificate", () => {
  const invited = JSON.parse(run(BIN, ["invite", "--class", "Networks 1", "--json"], { env: { ...process.env, ...stack.env } }));
  const laptop = { env: { ...process.env, FORGE_HOME: join(stack.home, "laptop") } };
  assert.throws(() => run(FORGE, ["enrol", stack.url, invited.code], laptop), "an unknown certificate was believed");
  run(FORGE, ["enrol", stack.url, invited.code, "--name", "Mara", "--ca", stack.secret("tls_certificate.pem")], laptop);
});

test("a verdict goes through the proxy, both ways", async () => {
  const shown = await ask(`/v1/verdicts/${id}`);
  assert.equal(shown.status, 200, shown.text);
  const envelope = await ask(`/v1/verdicts/${id}/verdict.dsse.json`);
  const again = await ask("/v1/verdicts", { method: "POST", headers: { "content-type": "application/json" }, body: envelope.text });
  assert.equal(again.status, 200, again.text);
  assert.equal(JSON.parse(again.text).duplicate, true);
  assert.equal(JSON.parse(again.text).receipt.body.verdict, id);
  const broken = await ask("/v1/verdicts", { method: "POST", headers: { "content-type": "application/json" }, body: envelope.text.replace(/"sig":"./, '"sig":"_') });
  assert.ok(broken.status >= 400 && broken.status < 500, broken.text);
});

test("the proxy keeps the numbers inside, sends browsers to TLS, and holds no live event back", async () => {
  assert.equal((await ask("/metrics")).status, 404);
  const plain = await fetch(`http://127.0.0.1:${stack.port.http}/v1/stats`, { redirect: "manual" });
  assert.equal(plain.status, 308);
  assert.equal(plain.headers.get("location"), "https://127.0.0.1/v1/stats");
  assert.equal((await ask("/grafana")).status, 308, "as people type it");
  const live = await ask("/v1/live", { some: true });
  assert.equal(live.headers["content-type"], "text/event-stream");
  assert.match(live.text, /^retry: /);
  assert.match((await ask("/v1/stats")).headers["strict-transport-security"], /max-age/);
});

test("Prometheus sees the board, and its rules give numbers", async () => {
  const query = (text) => run(promtool, ["query", "instant", `http://127.0.0.1:${stack.port.prometheus}`, text]);
  await until("up is 1", () => /=> 1 @/.test(query('up{job="scoreboard"}')), { every: 500 });
  await until("a recording rule has a value", () => query("board:requests:rate5m").includes("=>"), { every: 500 });
  assert.match(query("forge_scoreboard_export_connected"), /=> 1 @/);
});

test("every stored verdict is told to NATS, and each account may do its own things only", async () => {
  const [user, pass] = readFileSync(stack.secret("nats_reader"), "utf8").split(":");
  const config = JSON.stringify({ stream_name: "FORGE_BOARD", config: { deliver_subject: "_INBOX.us", ack_policy: "none", deliver_policy: "all" } });
  const stats = JSON.parse((await ask("/v1/stats")).text);
  const all = (heard) => heard.split("MSG forge.board.verdict ").length - 1 + heard.split("MSG _INBOX.us ").length - 1 >= stats.verdicts;
  const heard = await until("the events are there", async () => {
    const said = await speak(stack.port.nats, { user, pass, headers: true }, ["SUB _INBOX.us 1", `PUB $JS.API.CONSUMER.CREATE.FORGE_BOARD _INBOX.made ${config.length}`, config], all);
    return said.includes(id) && said;
  });
  assert.doesNotMatch(heard, /-ERR/);
  assert.ok(heard.includes(`Nats-Msg-Id: ${id}-`), heard);
  const forged = await speak(stack.port.nats, { user, pass }, ["PUB forge.board.verdict 2", "{}"], (said) => said.includes("PONG"));
  assert.match(forged, /Permissions Violation for Publish/);
  assert.match(await speak(stack.port.nats, {}, [], () => false), /Authorization Violation/);
});

test("the lines of the board and of the proxy reach Loki, with one id", async () => {
  // A path that JSON must escape: a line that is not escaped twice, and rightly, breaks the whole batch.
  await ask(`/v1/verdicts/${encodeURIComponent(`it's "quoted" \\`)}`, { headers: { "x-request-id": "stack-id-1" } });
  const found = (service) => stack.loki.lines.find((l) => l.service === service && l.line.includes("stack-id-1"));
  const [ours, theirs] = await until("both lines arrive", () => found("scoreboard") && found("nginx") && [found("scoreboard"), found("nginx")]);
  assert.equal(JSON.parse(ours.line).level, "WARN");
  assert.equal(JSON.parse(theirs.line).status, 404);
  assert.match(JSON.parse(theirs.line).path, /it's "quoted" \\/);
  assert.deepEqual(stack.loki.lines.filter((l) => l.service === "broken"), []);
});
