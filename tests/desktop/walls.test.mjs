// The real window's own walls: what the page cannot call, load, run or open, even when hostile markup stands in it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { FORGE, ROOT, dataFolder, until } from "../lib/forge.mjs";
import { open } from "./desktop.mjs";

const payloads = JSON.parse(readFileSync(join(ROOT, "tests/hostile/payloads.json"), "utf8"));
const hits = [];
let data, window, server, port;

const forge = (...args) => JSON.parse(execFileSync(FORGE, ["--json", ...args], { env: { ...process.env, FORGE_HOME: data.home }, encoding: "utf8" }));
/** Calls the shell as the page's own code could, and tells how it ended. */
const invoke = async (command, args = {}) => {
  await window.run(
    `globalThis.answer = undefined;
     globalThis.__TAURI_INTERNALS__.invoke(arguments[0], arguments[1]).then((v) => (globalThis.answer = { ok: JSON.stringify(v) ?? "" }), (e) => (globalThis.answer = { refused: typeof e === "string" ? e : JSON.stringify(e) }));`,
    command, args,
  );
  return until(`${command} is answered`, () => window.run("return globalThis.answer"));
};

before(async () => {
  // Everything hostile points here; whoever asks it anything has got out.
  server = createServer((request, response) => {
    hits.push(request.url);
    response.end("hostile");
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  port = server.address().port;
  data = dataFolder();
  window = await open({ home: data.home });
  await window.shows("Three steps to your first lab");
});

after(async () => {
  try {
    if (data) forge("stop", "--all");
  } finally {
    await window?.close();
    server?.closeAllConnections();
    server?.close();
    data?.remove();
  }
});

test("only declared commands are answered", async () => {
  assert.match((await invoke("call", { name: "list_labs", args: {} })).ok, /"title"/, "the control: our own command works");
  for (const [command, args] of [
    ["plugin:fs|read_text_file", { path: "/etc/passwd" }], ["plugin:shell|execute", { program: "id", args: [] }], ["plugin:shell|open", { path: "http://127.0.0.1" }], ["plugin:http|fetch", { clientConfig: {} }],
    ["plugin:opener|open_url", { url: "http://127.0.0.1" }], ["plugin:process|exit", {}], ["plugin:clipboard-manager|read_text", {}], ["plugin:webview|create_webview_window", { options: { label: "other", url: "/" } }],
    ["plugin:window|create", { options: { label: "other" } }], ["plugin:event|emit", { event: "x" }], ["plugin:path|resolve_directory", { directory: 1 }], ["eval", {}], ["window_open", {}], ["keep", {}], ["__proto__", {}],
  ]) {
    const answer = await invoke(command, args);
    assert.equal(answer.ok, undefined, `${command} was answered: ${answer.ok}`);
    assert.match(answer.refused, /not allowed|not found|Plugin|unknown/i, `${command}: ${answer.refused}`);
  }
  for (const name of ["no_such", "__proto__", "constructor", "list_labs ", "../list_labs", ""]) assert.match((await invoke("call", { name, args: {} })).refused, /unknown_command/, name);
  assert.match((await invoke("call", { name: "solve_run", args: { run: "x" } })).refused, /denied/, "an instructor's command");
});

test("hostile markup that got into the page runs nothing, loads nothing and moves nothing", async () => {
  const markup = payloads.map((p) => p.text.replaceAll("127.0.0.1:9", `127.0.0.1:${port}`)).join("\n");
  await window.run(
    `globalThis.before = Object.keys(globalThis).length;
     globalThis.violated = 0;
     addEventListener("securitypolicyviolation", () => (globalThis.violated += 1));
     const div = document.createElement("div");
     div.id = "hostile";
     document.body.append(div);
     div.innerHTML = arguments[0];
     for (const e of div.querySelectorAll("*")) { try { e.click?.(); e.dispatchEvent(new Event("mouseover")); e.dispatchEvent(new Event("error")); e.focus?.(); e.submit?.() } catch {} }
     for (const s of div.querySelectorAll("script")) { const own = document.createElement("script"); own.textContent = s.textContent; if (s.src) own.src = s.src; document.head.append(own); }`,
    markup,
  );
  await new Promise((done) => setTimeout(done, 1500));
  const state = await window.run("return { ran: 'hostileRan' in globalThis, polluted: 'polluted' in {}, violated: globalThis.violated, title: document.title, there: Boolean(document.getElementById('hostile')) }");
  assert.equal(state.ran, false, "something ran");
  assert.equal(state.polluted, false);
  assert.equal(state.there, true, "the page was left");
  assert.ok(state.violated > 10, `the control: the policy refused only ${state.violated} of them`);
  assert.match(await window.url(), /^tauri:\/\/localhost/);
  assert.deepEqual(hits, [], "something was asked of a server");
  await window.run("document.getElementById('hostile').remove()");
});

test("the page can neither leave, nor ask a server, nor poison what objects inherit", async () => {
  await window.run(`location.href = arguments[0]`, `http://127.0.0.1:${port}/left`);
  await window.run("globalThis.asked = undefined; fetch(arguments[0]).then(() => (globalThis.asked = 'answered'), () => (globalThis.asked = 'refused'))", `http://127.0.0.1:${port}/fetched`);
  assert.equal(await until("the request has ended", () => window.run("return globalThis.asked")), "refused");
  await window.run("try { new WebSocket(arguments[0]) } catch {} navigator.sendBeacon?.(arguments[1], 'x'); new Image().src = arguments[1]", `ws://127.0.0.1:${port}/socket`, `http://127.0.0.1:${port}/beacon`);
  await new Promise((done) => setTimeout(done, 800));
  assert.deepEqual(hits, []);
  assert.match(await window.url(), /^tauri:\/\/localhost/);
  assert.equal(await window.run("try { JSON.parse('{\"__proto__\":{\"polluted\":1}}'); Object.assign({}, JSON.parse('{\"__proto__\":{\"polluted\":1}}')); ({}).__proto__.polluted = 1 } catch {} return 'polluted' in {}"), false);
});

test("a node's output sets no title, opens nothing and copies nothing", async () => {
  const { run } = forge("start", "netplus-dns-zone-reverse");
  const output = payloads.map((p) => `${p.text}\n`).join("") + "\x1b[!p\x1b[?1049l\x1b[2J\x1b[H";
  execFileSync(FORGE, ["exec", run, "client", "--", "sh", "-c", `echo ${Buffer.from(output).toString("base64")} | base64 -d > /tmp/hostile`], { env: { ...process.env, FORGE_HOME: data.home } });
  await window.run("globalThis.copied = []; Object.defineProperty(navigator, 'clipboard', { value: { writeText: (t) => (globalThis.copied.push(t), Promise.resolve()) } }); location.hash = arguments[0]", `#/lab/${run}`);
  await window.find(".xterm", { seconds: 30 });
  await until("the shell is there", () => window.run("return /root@/.test(document.querySelector('.xterm-rows')?.textContent ?? '')"), { seconds: 30 }).catch(async (error) => {
    await window.shoot("walls-terminal");
    throw new Error(`${error.message}: ${await window.run("return document.querySelector('.pane-terminals').innerText")}`);
  });
  const rows = () => window.run("return document.querySelector('.xterm-rows').textContent");
  await window.run("document.querySelector('.xterm-helper-textarea').focus()");
  await window.keys("cat /tmp/hostile; echo all''done\n");
  await until("it was printed", async () => (await rows()).includes("alldone"), { seconds: 30 }).catch(async (error) => {
    await window.shoot("walls-typed");
    throw new Error(`${error.message}; the terminal shows: ${await rows()}`);
  });
  const seen = await window.run("return { copied: globalThis.copied, title: document.title, ran: 'hostileRan' in globalThis, inside: document.querySelectorAll('.xterm :is(script, img, iframe, a, svg)').length, text: document.querySelector('.xterm-rows').textContent }");
  assert.deepEqual(seen.copied, []);
  assert.match(seen.title, /^Lab – FrostGate Forge$/);
  assert.match(await window.title(), /FrostGate Forge$/);
  assert.equal(seen.ran, false);
  assert.equal(seen.inside, 0);
  assert.deepEqual(hits, []);
  assert.equal(forge("ps").length, 1, "the lab still runs, and nothing else was started");
});
