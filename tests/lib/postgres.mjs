// A throw-away PostgreSQL cluster from Debian's packages: a folder and port of its own, ended by its own process.
import { execFileSync, spawn } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { freePort, until } from "./forge.mjs";

const HOME = "/usr/lib/postgresql";

export async function postgres() {
  if (!existsSync(HOME)) throw new Error("PostgreSQL is needed: scripts/setup.sh test");
  const newest = readdirSync(HOME).sort((a, b) => Number(b) - Number(a))[0];
  const bin = (name) => join(HOME, newest, "bin", name);
  const dir = mkdtempSync("/tmp/forge-pg-");
  // initdb refuses root; Debian's package brings the user.
  const root = process.getuid() === 0;
  const as = root ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : ["env"];
  if (root) chownSync(dir, Number(execFileSync("id", ["-u", "postgres"], { encoding: "utf8" })), -1);
  const run = (name, args) => [as[0], [...as.slice(1), bin(name), ...args]];
  const data = join(dir, "data");
  execFileSync(...run("initdb", ["-A", "trust", "-U", "board", "-E", "UTF8", "--locale=C", "-D", data]), { cwd: "/tmp", stdio: "pipe" });
  const port = await freePort();
  const child = spawn(...run("postgres", ["-D", data, "-h", "127.0.0.1", "-p", String(port), "-k", dir]), { cwd: "/tmp", stdio: "ignore" });
  const ended = new Promise((done) => child.once("exit", done));
  const ready = () => {
    if (child.exitCode !== null) throw new Error(`PostgreSQL ended with ${child.exitCode}`);
    try {
      execFileSync(bin("pg_isready"), ["-q", "-h", "127.0.0.1", "-p", String(port), "-U", "board", "-d", "postgres"], { stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  };
  const stop = async () => {
    child.kill("SIGINT"); // a fast shutdown
    await ended;
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await until("PostgreSQL answers", ready);
  } catch (e) {
    await stop();
    throw e;
  }
  return { url: `postgres://board@127.0.0.1:${port}/postgres`, stop };
}
