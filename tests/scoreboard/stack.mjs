// The classroom stack's own files, on loopback: each program as Debian ships it, with the names and paths that it has in its
// container put where they are here. What is put elsewhere must be there to begin with, or the file under test is another.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT, freePort, start, until } from "../lib/forge.mjs";

export const BIN = process.env.FORGE_SCOREBOARD_BIN ?? join(ROOT, "target/debug/forge-scoreboard");
const IS_ROOT = process.getuid() === 0;
/** Where scripts/setup.sh unpacks the stack's programs. */
const DEB = join(ROOT, ".tools/deb/usr");
const tool = (path) => join(DEB, path);
const only = (folder, pattern) => join(folder, readdirSync(folder).find((name) => pattern.test(name)) ?? "missing");
const READ = "import json,sys,yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";

/** `text` with each `from` replaced; one that is not there is an error. */
export function swap(text, pairs) {
  for (const [from, to] of pairs) {
    assert.ok(text.includes(from), `the stack's file has no “${from}”`);
    text = text.replaceAll(from, to);
  }
  return text;
}

export function run(program, args, options = {}) {
  return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: 60_000, ...options });
}

/** A server that was just set up, in a folder of its own, with free ports. */
export async function setUp() {
  const home = mkdtempSync(join(tmpdir(), "forge-stack-"));
  // The proxy's workers and PostgreSQL are other accounts than root.
  chmodSync(home, 0o755);
  const deploy = join(home, "deploy");
  cpSync(join(ROOT, "deploy"), deploy, { recursive: true, filter: (path) => !/deploy\/(secrets|\.env)/.test(path) });
  run(join(deploy, "setup.sh"), ["127.0.0.1"]);
  if (IS_ROOT) run("chown", ["-R", "0:0", join(deploy, "secrets")]);
  const port = {};
  for (const name of ["board", "database", "nats", "monitor", "http", "https", "prometheus", "logs", "loki"]) port[name] = await freePort();
  const secret = (name) => join(deploy, "secrets", name);
  const stack = { home, deploy, port, secret, url: `https://127.0.0.1:${port.https}`, started: [] };
  stack.file = (name, from, pairs) => {
    const path = join(home, name);
    writeFileSync(path, swap(readFileSync(join(deploy, from), "utf8"), pairs));
    return path;
  };
  stack.start = (program, args, options) => {
    const process = start(program, args, options);
    stack.started.push(process);
    return process;
  };
  stack.end = async () => {
    for (const process of stack.started.reverse()) await process.stop();
    await stack.loki?.end();
    rmSync(home, { recursive: true, force: true });
  };
  return stack;
}

/** PostgreSQL with the stack's password, asked for as in its container. */
export async function database(stack) {
  const bin = join("/usr/lib/postgresql", readdirSync("/usr/lib/postgresql").sort((a, b) => a - b).at(-1), "bin");
  const folder = join(stack.home, "database");
  mkdirSync(folder);
  const password = join(folder, "password");
  cpSync(stack.secret("database_password"), password);
  // initdb refuses root; Debian's package brings the account.
  const as = IS_ROOT ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : ["env"];
  if (IS_ROOT) run("chown", ["-R", "postgres", folder]);
  run(as[0], [...as.slice(1), join(bin, "initdb"), "-U", "board", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--pwfile", password, "-D", join(folder, "data")], { cwd: "/tmp" });
  const server = stack.start(as[0], [...as.slice(1), join(bin, "postgres"), "-D", join(folder, "data"), "-h", "127.0.0.1", "-p", `${stack.port.database}`, "-k", folder]);
  const env = { ...process.env, PGPASSWORD: readFileSync(password, "utf8") };
  await until("PostgreSQL answers", () => run(join(bin, "createdb"), ["-h", "127.0.0.1", "-p", `${stack.port.database}`, "-U", "board", "-w", "board"], { env }) === "", { seconds: 60, every: 200 });
  writeFileSync(stack.secret("database_url"), swap(readFileSync(stack.secret("database_url"), "utf8"), [["@database:5432", `@127.0.0.1:${stack.port.database}`]]));
  return server;
}

export async function nats(stack) {
  mkdirSync(join(stack.home, "etc/nats"), { recursive: true });
  mkdirSync(join(stack.home, "run/secrets"), { recursive: true });
  cpSync(stack.secret("nats_accounts.conf"), join(stack.home, "run/secrets/nats_accounts"));
  const file = stack.file("etc/nats/nats.conf", "nats/nats.conf", [
    ["0.0.0.0:4222", `127.0.0.1:${stack.port.nats}`],
    ["0.0.0.0:8222", `127.0.0.1:${stack.port.monitor}`],
    ['"/data"', `"${join(stack.home, "jetstream")}"`],
  ]);
  const server = stack.start(tool("sbin/nats-server"), ["--config", file]);
  await until("NATS is healthy", async () => (await fetch(`http://127.0.0.1:${stack.port.monitor}/healthz`)).ok);
  return server;
}

/** Stands for Loki, which Debian does not have: keeps what is pushed as `{service, line}`. */
export async function loki(stack) {
  const lines = [];
  const server = createServer((request, response) => {
    if (request.url === "/metrics") return void response.writeHead(200, { "content-type": "text/plain; version=0.0.4" }).end("loki_build_info 1\n");
    let body = "";
    request.on("data", (data) => (body += data));
    request.on("end", () => {
      try {
        assert.equal(request.url, "/loki/api/v1/push");
        assert.equal(request.headers["content-type"], "application/json");
        for (const { stream, values } of JSON.parse(body).streams)
          for (const [at, line] of values) {
            assert.match(at, /^\d{19}$/, "nanoseconds");
            lines.push({ ...stream, line });
          }
        response.writeHead(204).end();
      } catch (error) {
        lines.push({ service: "broken", line: `${error.message}: ${body.slice(0, 500)}` });
        response.writeHead(400).end();
      }
    });
  });
  await new Promise((done) => server.listen(stack.port.loki, "127.0.0.1", done));
  stack.loki = { lines, end: () => new Promise((done) => (server.closeAllConnections(), server.close(done))) };
  mkdirSync(join(stack.home, "logs"));
  mkdirSync(join(stack.home, "shipped"));
  const file = stack.file("syslog-ng.conf", "logs/syslog-ng.conf", [
    ["0.0.0.0", "127.0.0.1"],
    ["port(1514)", `port(${stack.port.logs})`],
    ['base-dir("/logs")', `base-dir("${join(stack.home, "logs")}")`],
    ["http://loki:3100", `http://127.0.0.1:${stack.port.loki}`],
    ["/var/lib/syslog-ng", join(stack.home, "shipped")],
  ]);
  const shipped = join(stack.home, "shipped");
  const env = { LD_LIBRARY_PATH: [tool("lib/syslog-ng"), only(tool("lib"), /-linux-gnu$/)].join(":") };
  const modules = `--module-path=${only(tool("lib/syslog-ng"), /^\d/)}`;
  const shipper = stack.start(tool("sbin/syslog-ng"), [modules, "--foreground", "--no-caps", `--cfgfile=${file}`, `--persist-file=${shipped}/persist`, `--pidfile=${shipped}/pid`, `--control=${shipped}/ctl`], { env });
  await until("the log shipper answers", () => run(tool("sbin/syslog-ng-ctl"), ["stats", `--control=${shipped}/ctl`], { env: { ...process.env, ...env } }).includes("SourceName"));
  return shipper;
}

/** The board with the arguments of the compose file. */
export async function board(stack) {
  const filled = run("docker-compose", ["--env-file", join(stack.deploy, ".env"), "-f", join(stack.deploy, "compose.yml"), "config"]);
  const { command } = JSON.parse(run("/usr/bin/python3", ["-c", READ], { input: filled, stdio: "pipe" })).services.scoreboard;
  const args = swap(command.join("\n"), [
    ["0.0.0.0:8440", `127.0.0.1:${stack.port.board}`],
    ["https://127.0.0.1", stack.url],
    ["nats://nats:4222", `nats://127.0.0.1:${stack.port.nats}`],
    ["/run/secrets/nats_scoreboard", stack.secret("nats_scoreboard")],
    ["=/logs", `=${join(stack.home, "logs")}`],
  ]).split("\n");
  stack.env = { FORGE_SCOREBOARD_DATA: join(stack.home, "board"), FORGE_SCOREBOARD_DATABASE_FILE: stack.secret("database_url"), RUST_LOG: "info" };
  const server = stack.start(BIN, [...args, "--json"], { env: stack.env });
  await until("the board is ready", async () => (await fetch(`http://127.0.0.1:${stack.port.board}/readyz`)).ok);
  return server;
}

export async function proxy(stack) {
  const scratch = join(stack.home, "scratch");
  mkdirSync(scratch);
  const file = stack.file("nginx.conf", "proxy/nginx.conf", [
    ["/tmp/", `${scratch}/`],
    ["/dev/stderr", join(scratch, "error.log")],
    ["server=logs:1514", `server=127.0.0.1:${stack.port.logs}`],
    ["listen 8080", `listen 127.0.0.1:${stack.port.http}`],
    ["listen 8443", `listen 127.0.0.1:${stack.port.https}`],
    ["/run/secrets/tls_certificate", stack.secret("tls_certificate.pem")],
    ["/run/secrets/tls_key", stack.secret("tls_key.pem")],
    ["http://scoreboard:8440", `http://127.0.0.1:${stack.port.board}`],
  ]);
  const server = stack.start(tool("sbin/nginx"), ["-c", file, "-g", "daemon off;"]);
  await until("the proxy answers", async () => (await fetch(`http://127.0.0.1:${stack.port.http}/healthz`)).ok);
  return server;
}

export async function prometheus(stack) {
  cpSync(join(stack.deploy, "prometheus"), join(stack.home, "prometheus"), { recursive: true });
  const file = stack.file("prometheus/prometheus.yml", "prometheus/prometheus.yml", [
    ["scoreboard:8440", `127.0.0.1:${stack.port.board}`],
    ["loki:3100", `127.0.0.1:${stack.port.loki}`],
    ["localhost:9090", `127.0.0.1:${stack.port.prometheus}`],
    ["scrape_interval: 15s", "scrape_interval: 1s"],
    ["scrape_timeout: 10s", "scrape_timeout: 1s"],
    ["evaluation_interval: 15s", "evaluation_interval: 1s"],
  ]);
  const server = stack.start(tool("bin/prometheus"), [`--config.file=${file}`, `--storage.tsdb.path=${join(stack.home, "tsdb")}`, `--web.listen-address=127.0.0.1:${stack.port.prometheus}`]);
  await until("Prometheus is ready", async () => (await fetch(`http://127.0.0.1:${stack.port.prometheus}/-/ready`)).ok);
  return server;
}

/** Speaks to NATS in its own words; resolves with what came back once `enough` says so, or with the server's refusal. */
export function speak(port, who, lines, enough) {
  return new Promise((done, failed) => {
    const socket = connect(port, "127.0.0.1");
    let heard = "";
    const late = setTimeout(() => finish(new Error(`NATS said only: ${heard}`)), 15_000);
    const finish = (error) => {
      clearTimeout(late);
      socket.destroy();
      if (error) failed(error);
      else done(heard);
    };
    socket.once("error", finish);
    socket.once("connect", () => socket.write([`CONNECT ${JSON.stringify({ verbose: false, pedantic: false, ...who })}`, ...lines, "PING", ""].join("\r\n")));
    socket.on("data", (data) => {
      heard += data;
      if (heard.includes("-ERR") || enough(heard)) finish();
    });
  });
}

export const promtool = tool("bin/promtool");
export const needs = ["sbin/nginx", "sbin/syslog-ng", "sbin/nats-server", "bin/prometheus"].map(tool).filter((path) => !existsSync(path));
