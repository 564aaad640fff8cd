// What deny.toml asks of crates, asked of npm packages: licences of what is shipped, sources and digests of everything, no
// scripts at installation, and known vulnerabilities where their database can be reached. Exceptions stand in
// ui/dependencies.json, each with its reason; one that is no longer needed fails as well.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const UI = resolve(import.meta.dirname, "../ui");
const json = (path) => JSON.parse(readFileSync(path, "utf8"));
export const rules = json(join(UI, "dependencies.json"));

/** Complaints about a lock file's packages; `licenceOf` reads a package's own manifest. */
export function examine({ packages }, { licences, licence_exceptions, install_script_exceptions }, licenceOf) {
  const bad = [];
  const used = new Set();
  const excused = (list, kind, name) => {
    if (!Object.hasOwn(list, name)) return false;
    used.add(`${kind} ${name}`);
    return list[name].length >= 20;
  };
  const origins = new Set();
  for (const [path, entry] of Object.entries(packages)) {
    if (path === "") continue;
    const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
    const at = `${name} ${entry.version ?? ""}`.trim();
    // Our lock file names no address: then it is the registry's, whichever is configured, and the digest says what must come.
    if (entry.link || !/^(https:\/\/|$)/.test(entry.resolved ?? "")) bad.push(`${at}: comes from ${entry.resolved ?? "a folder"}, not from the registry`);
    else if (entry.resolved) origins.add(new URL(entry.resolved).origin);
    if (!/^sha512-/.test(entry.integrity ?? "")) bad.push(`${at}: has no SHA-512 digest in the lock file`);
    if (entry.hasInstallScript && !excused(install_script_exceptions, "script", name)) bad.push(`${at}: runs a script when it is installed`);
    if (entry.dev || entry.devOptional) continue;
    const licence = licenceOf(path, entry);
    if (!permitted(licence, licences) && !excused(licence_exceptions, "licence", name)) bad.push(`${at}: its licence is ${licence || "unknown"}`);
  }
  if (origins.size > 1) bad.push(`packages come from ${origins.size} places: ${[...origins].join(", ")}`);
  const listed = [...Object.keys(licence_exceptions).map((n) => `licence ${n}`), ...Object.keys(install_script_exceptions).map((n) => `script ${n}`)];
  for (const name of listed) if (!used.has(name)) bad.push(`ui/dependencies.json: the exception “${name}” excuses nothing; take it out`);
  return bad;
}

/** SPDX as it occurs: one id, or a choice between several. */
function permitted(licence, allowed) {
  const words = licence.replace(/^\(|\)$/g, "");
  if (/ AND /.test(words)) return words.split(/ AND /).every((l) => permitted(l.trim(), allowed));
  return words.split(/ OR /).some((l) => allowed.includes(l.trim()));
}

/** Complaints from the advisory database, or null when it cannot be asked. */
export function advisories(answer, exceptions) {
  if (typeof answer?.vulnerabilities !== "object") return null;
  return Object.values(answer.vulnerabilities)
    .filter((v) => !Object.hasOwn(exceptions, v.name))
    .map((v) => `${v.name} ${v.range}: ${v.severity}: ${v.via.map((w) => (typeof w === "string" ? w : w.title)).join("; ")}`);
}

function audit() {
  const run = (...args) => execFileSync("npm", ["--prefix", UI, "audit", "--json", ...args], { encoding: "utf8", timeout: 60_000, stdio: ["ignore", "pipe", "pipe"] });
  try {
    return JSON.parse(run("--omit=dev"));
  } catch (error) {
    // Its exit code says that something was found; without an answer in words it could not be asked.
    try {
      return JSON.parse(error.stdout ?? "");
    } catch {
      return null;
    }
  }
}

if (process.argv[1] === import.meta.filename) {
  const lock = json(join(UI, "package-lock.json"));
  const own = (path, entry) => {
    const { license } = json(join(UI, path, "package.json"));
    return typeof license === "string" ? license : (license?.type ?? entry.license ?? "");
  };
  const bad = examine(lock, rules, own);
  const found = advisories(audit(), rules.advisory_exceptions);
  if (found === null) console.log("NOTICE: the npm advisory database cannot be reached from here; known vulnerabilities of npm packages were NOT looked up.");
  for (const line of [...bad, ...(found ?? [])]) console.error(line);
  process.exit(bad.length + (found ?? []).length > 0 ? 1 : 0);
}
