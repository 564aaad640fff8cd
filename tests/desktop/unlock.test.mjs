// Keys under a passphrase in the real window: it opens, asks, says when it was wrong, and goes on once it was right.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { dataFolder, underPassphrase } from "../lib/forge.mjs";
import { open } from "./desktop.mjs";

const RIGHT = "four words of mine";
const ENTER = "\uE007";
let data, window;

before(async () => {
  data = dataFolder();
  underPassphrase(data.home, RIGHT);
  window = await open({ home: data.home });
});

after(async () => {
  await window?.close();
  data?.remove();
});

test("the window asks for the passphrase and shows nothing else", async () => {
  await window.shows("Unlock your keys");
  assert.deepEqual(await window.all("nav"), []);
  await window.shoot("unlock");
});

test("a wrong one is told, the right one opens the library", async () => {
  await window.type("input[type=password]", `four words of yours${ENTER}`);
  await window.shows("The passphrase of your keys is wrong.");
  // The next is looked at after a pause; the button says when.
  await window.find("button[type=submit]:not(:disabled)", { seconds: 10 });
  await window.type("input[type=password]", `${RIGHT}${ENTER}`);
  await window.shows("Three steps to your first lab", { seconds: 20 });
});
