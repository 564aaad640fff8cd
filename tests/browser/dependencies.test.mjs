// The guard over npm packages bites: each thing it must refuse is put before it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { advisories, examine, rules } from "../../scripts/npm-dependencies.mjs";

const REASON = "a reason of some length, as it should be";
const good = { version: "1.0.0", resolved: "https://registry.example/a.tgz", integrity: "sha512-x", license: "MIT" };
const strict = { licences: ["MIT", "ISC"], licence_exceptions: {}, install_script_exceptions: {} };
const complaints = (entry, more = {}) => examine({ packages: { "": {}, "node_modules/a": { ...good, ...entry }, "node_modules/b": good } }, { ...strict, ...more }, (_, e) => e.license);

test("what is well passes", () => {
  assert.deepEqual(complaints({}), []);
  assert.deepEqual(complaints({ resolved: undefined }), []);
});

test("each thing that is not is named", () => {
  for (const [entry, words] of [
    [{ license: "GPL-3.0" }, "licence is GPL-3.0"],
    [{ license: "" }, "licence is unknown"],
    [{ license: "(MIT AND GPL-3.0)" }, "licence is (MIT AND GPL-3.0)"],
    [{ resolved: "git+ssh://git@example/a.git" }, "not from the registry"],
    [{ link: true }, "not from the registry"],
    [{ resolved: "https://elsewhere.example/a.tgz" }, "from 2 places"],
    [{ integrity: "sha1-x" }, "no SHA-512"],
    [{ integrity: undefined }, "no SHA-512"],
    [{ hasInstallScript: true }, "runs a script"],
  ]) {
    const said = complaints(entry);
    assert.equal(said.length, 1, JSON.stringify([entry, said]));
    assert.match(said[0], new RegExp(words.replace(/[()]/g, "\\$&")));
  }
  assert.deepEqual(complaints({ license: "(GPL-3.0 OR MIT)" }), []);
  assert.deepEqual(complaints({ license: "GPL-3.0", dev: true }), [], "what is not shipped may have its licence");
});

test("an exception needs a reason, and somebody to excuse", () => {
  assert.deepEqual(complaints({ license: "GPL-3.0" }, { licence_exceptions: { a: REASON } }), []);
  assert.equal(complaints({ license: "GPL-3.0" }, { licence_exceptions: { a: "" } }).length, 1);
  assert.match(complaints({}, { install_script_exceptions: { a: REASON } })[0], /excuses nothing/);
  for (const list of [rules.licence_exceptions, rules.install_script_exceptions, rules.advisory_exceptions])
    for (const [name, reason] of Object.entries(list)) assert.ok(reason.length >= 20, `${name} has no reason`);
});

test("no answer is no pass", () => {
  assert.equal(advisories(null, {}), null);
  assert.equal(advisories({ message: "405 Method Not Allowed", error: {} }, {}), null);
  assert.deepEqual(advisories({ vulnerabilities: {} }, {}), []);
  const found = { vulnerabilities: { a: { name: "a", range: "<2", severity: "high", via: [{ title: "it is bad" }] } } };
  assert.deepEqual(advisories(found, {}), ["a <2: high: it is bad"]);
  assert.deepEqual(advisories(found, { a: REASON }), []);
});
