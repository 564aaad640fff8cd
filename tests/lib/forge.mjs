// What the browser and desktop tests share: starting processes with a bounded wait and ending them by their own id.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

export const ROOT = resolve(import.meta.dirname, "../..");
export const FORGE = process.env.FORGE_BIN ?? join(ROOT, "target/debug/forge");
export const APP = process.env.FORGE_APP ?? join(ROOT, "target/debug/frostgate-forge");
/** Screenshots and logs of the last run, for whoever wants to know why. */
export const ARTIFACTS = process.env.FORGE_ARTIFACTS ?? join(ROOT, ".cache/artifacts");

/** A data folder of its own, removed at the end: tried again, because a keeper whose last run has just ended writes its checkpoint as it goes. */
export function dataFolder() {
  const home = mkdtempSync(join(tmpdir(), "forge-test-"));
  return { home, remove: () => rmSync(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }) };
}

/** Puts the keys of a new data folder under a passphrase, as their owner does on the command line. */
export function underPassphrase(home, passphrase) {
  const forge = (...args) => execFileSync(FORGE, ["--json", ...args], { env: { ...process.env, FORGE_HOME: home } });
  forge("results");
  const file = join(home, "phrase");
  writeFileSync(file, `${passphrase}\n`);
  forge("keys", "protect", "--passphrase", "--new-passphrase-file", file);
  rmSync(file);
}

/** A TCP port that was free a moment ago. */
export function freePort() {
  return new Promise((done, failed) => {
    const server = createServer();
    server.once("error", failed);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

/** Starts a process in a group of its own; `stop` ends the group: TERM, and KILL after a while. */
export function start(program, args, { env = {}, stdio = ["ignore", "pipe", "pipe"] } = {}) {
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio, detached: true });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (data) => (said = (said + data).slice(-20_000)));
  const ended = new Promise((done) => {
    child.once("error", (error) => done(`could not be started: ${error.message}`));
    child.once("exit", (code, signal) => done(signal ?? code));
  });
  const signal = (name) => {
    try {
      process.kill(-child.pid, name);
    } catch (error) {
      if (error.code !== "ESRCH") throw error;
    }
  };
  return {
    child,
    ended,
    said: () => said,
    async stop() {
      if (child.pid === undefined) return;
      signal("SIGTERM");
      const late = setTimeout(() => signal("SIGKILL"), 30_000);
      await ended;
      clearTimeout(late);
      // What the process itself started and left.
      signal("SIGKILL");
    },
  };
}

/** Polls until `probe` returns something truthy; its last error is told when it never does. */
export async function until(what, probe, { seconds = 20, every = 50 } = {}) {
  const end = Date.now() + seconds * 1000;
  let last;
  for (;;) {
    try {
      const found = await probe();
      if (found) return found;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s${last ? ` (${last.message})` : ""}`);
    await new Promise((done) => setTimeout(done, every));
  }
}

/** `forge serve` on a free port; resolves with its one-time address once it answers. */
export async function serve(home, args = []) {
  const server = start(FORGE, ["serve", "--json", ...args], { env: { FORGE_HOME: home } });
  let line = "";
  server.child.stdout?.on("data", (data) => (line += data));
  const gone = server.ended.then((how) => Promise.reject(new Error(`forge serve ended (${how}): ${server.said()}`)));
  gone.catch(() => undefined);
  try {
    await Promise.race([gone, until("forge serve says where it is", () => line.includes("\n"))]);
    return { ...server, ...JSON.parse(line.split("\n")[0]) };
  } catch (error) {
    await server.stop();
    throw error;
  }
}
