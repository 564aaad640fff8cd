// The main job in the real window: start a lab, type in its terminal, see it graded, submit, see the verdict.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { FORGE, dataFolder, until } from "../lib/forge.mjs";
import { open } from "./desktop.mjs";

const LAB = "A DNS zone and its reverse";
let data, window;

const forge = (...args) => JSON.parse(execFileSync(FORGE, ["--json", ...args], { env: { ...process.env, FORGE_HOME: data.home }, encoding: "utf8" }));
/** The first button whose name begins so, once it can be pressed. */
const press = (name) =>
  until(`the button “${name}” can be pressed`, () =>
    window.run(
      `const bare = (text) => text.replace(/\\s+/g, "");
       const name = (b) => bare(b.getAttribute("aria-label") ?? b.textContent);
       const found = [...document.querySelectorAll("button")].find((b) => !b.disabled && name(b).startsWith(bare(arguments[0])));
       found?.click();
       return Boolean(found);`,
      name,
    ),
  );

before(async () => {
  data = dataFolder();
  window = await open({ home: data.home });
});

after(async () => {
  try {
    if (data) forge("stop", "--all");
  } finally {
    await window?.close();
    data?.remove();
  }
});

test("first start, a running lab, a terminal", async () => {
  await window.shows("Three steps to your first lab");
  await window.shows(LAB);
  await press(`Start ${LAB}`);
  await window.shows("Isolated", { seconds: 60 });
  await window.find(".xterm", { seconds: 30 });
  const [run] = forge("ps");
  assert.equal(run.state, "ready");
  await window.shoot("workspace");
});

test("what is typed fast arrives in its order", async () => {
  const [run] = forge("ps");
  const shell = () => window.run("return /root@/.test(document.querySelector('.xterm-rows')?.textContent ?? '')");
  await until("the shell is there", shell, { seconds: 30 });
  const node = await window.run("return /root@([^:]+):/.exec(document.querySelector('.xterm-rows').textContent)[1]");
  await window.run("document.querySelector('.xterm-helper-textarea').focus()");
  const lines = Array.from({ length: 8 }, (_, i) => `${i} the quick brown fox; echo all''done | "jumps" ~ over {the} [lazy] <dog> $#@%^&*`);
  await window.keys("cat > /tmp/typed; echo > /tmp/typed.done\n");
  for (const line of lines) await window.keys(`${line}\n`);
  await window.hold("\uE009", "d");
  const file = (name) => forge("exec", run.run, node, "--", "sh", "-c", `cat ${name} 2>/dev/null || true`).stdout;
  await until("the line is read", () => file("/tmp/typed.done") !== "", { seconds: 30 });
  assert.equal(file("/tmp/typed"), `${lines.join("\n")}\n`);
});

test("solved, submitted, verified", async () => {
  const [run] = forge("ps");
  forge("solve", run.run);
  await press("Check");
  await window.shows("6 of 6 pass", { seconds: 60 });
  await press("Submit");
  await window.shows("Submit this run?");
  await press("Submit now");
  await window.shows("openssl pkeyutl", { seconds: 60 });
  await window.shoot("result");
  const dir = forge("results").at(0)?.dir;
  assert.ok(dir);
  assert.equal(forge("verify", dir, "--regrade").ok, true);
});
