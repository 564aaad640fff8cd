// The real window opens, shows the library, and says what is wrong when the engine cannot be opened.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { dataFolder } from "../lib/forge.mjs";
import { open } from "./desktop.mjs";

let data, window;

before(async () => {
  data = dataFolder();
  window = await open({ home: data.home });
});

after(async () => {
  await window?.close();
  data?.remove();
});

test("the window opens with its title and its own page", async () => {
  assert.match(await window.title(), /FrostGate Forge$/);
  assert.match(await window.url(), /^tauri:\/\/localhost/);
});

test("the library shows the three tracks' labs", async () => {
  for (const title of ["OSPF in a single area"]) await window.shows(title);
  await window.shoot("library");
});

test("a page has no way around the commands", async () => {
  assert.equal(await window.run("return typeof window.__TAURI__"), "undefined");
  const poisoned = await window.run("try { Object.prototype.toString = 1; Object.prototype.x = 1 } catch {} return ({}).x === 1 || typeof ({}).toString !== 'function'");
  assert.equal(poisoned, false, "what every object inherits must be frozen");
  const own = await window.run("'use strict'; const o = {}; o.toString = () => 'own'; return String(o)");
  assert.equal(own, "own", "objects may still have their own");
  const evaluated = await window.run("try { new Function('return 1')(); return true } catch { return false }");
  assert.equal(evaluated, false, "the policy must forbid evaluating strings");
});

test("an engine that cannot be opened is told in the window", async () => {
  await window.close();
  window = undefined;
  const broken = dataFolder();
  // A folder where the database should be.
  mkdirSync(join(broken.home, "forge.db"), { recursive: true });
  writeFileSync(join(broken.home, "forge.db", "x"), "");
  const other = await open({ home: broken.home });
  try {
    await other.shows("forge.db");
  } finally {
    await other.close();
    broken.remove();
  }
});
