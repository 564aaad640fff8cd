// The real window: Xvfb for a display, tauri-driver and WebKitWebDriver to drive it, WebDriver (W3C) over plain fetch.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { APP, ARTIFACTS, ROOT, freePort, start, until } from "../lib/forge.mjs";

const ELEMENT = "element-6066-11e4-a52e-4f735466cecf";
const DRIVER = process.env.TAURI_DRIVER ?? join(ROOT, ".tools/bin/tauri-driver");

/** A display without a screen; Xvfb picks the number itself and says it once it is ready. */
export async function display(width, height) {
  const server = start("Xvfb", ["-displayfd", "3", "-screen", "0", `${width}x${height}x24`, "-nolisten", "tcp"], {
    stdio: ["ignore", "pipe", "pipe", "pipe"],
  });
  let number = "";
  server.child.stdio[3].on("data", (data) => (number += data));
  await until("Xvfb is ready", () => number.includes("\n"));
  return { name: `:${number.trim()}`, stop: server.stop };
}

export async function open({ home, width = 1280, height = 800, env = {} }) {
  const opened = [];
  const close = async () => {
    for (const stop of opened.reverse()) await stop();
  };
  try {
    const screen = await display(width, height);
    opened.push(screen.stop);
    const [port, native] = [await freePort(), await freePort()];
    // The app inherits the driver's environment.
    const driver = start(DRIVER, ["--port", String(port), "--native-port", String(native)], {
      env: { DISPLAY: screen.name, WAYLAND_DISPLAY: "", FORGE_HOME: home, ...env },
    });
    opened.push(driver.stop);
    const base = `http://127.0.0.1:${port}`;
    await until("tauri-driver answers", async () => (await fetch(`${base}/status`)).ok);
    const capabilities = { alwaysMatch: { "tauri:options": { application: APP } } };
    const { sessionId } = await command(base, "POST", "/session", { capabilities });
    opened.push(() => command(base, "DELETE", `/session/${sessionId}`).catch((error) => console.error(`closing the window: ${error.message}`)));
    return { ...windowOf(base, sessionId), driverSaid: driver.said, driverPid: driver.child.pid, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function command(base, method, path, body) {
  const answer = await fetch(base + path, {
    method,
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(120_000),
  });
  const { value } = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(`${method} ${path}: ${value?.error}: ${value?.message}`), { code: value?.error });
  return value;
}

function windowOf(base, session) {
  const call = (method, path, body) => command(base, method, `/session/${session}${path}`, body);
  const all = (using, value) => call("POST", "/elements", { using, value }).then((found) => found.map((e) => e[ELEMENT]));
  const window = {
    title: () => call("GET", "/title"),
    url: () => call("GET", "/url"),
    run: (script, ...args) => call("POST", "/execute/sync", { script, args }),
    all: (css) => all("css selector", css),
    text: (id) => call("GET", `/element/${id}/text`),
    /** The first element that is there and shown, waited for. */
    find: (css, options) =>
      until(`“${css}” is shown`, async () => {
        for (const id of await all("css selector", css)) if (await call("GET", `/element/${id}/displayed`)) return id;
      }, options),
    /** Waits until the page shows this text. */
    shows: async (text, options) => {
      let seen = "";
      const look = async () => (seen = await window.run("return document.body.innerText")).includes(text);
      await until(`the window shows “${text}”`, look, options).catch((error) => {
        throw new Error(`${error.message}; it shows: ${seen.slice(0, 500) || "nothing"}`);
      });
    },
    click: async (css, options) => call("POST", `/element/${await window.find(css, options)}/click`, {}),
    type: async (css, text) => call("POST", `/element/${await window.find(css)}/value`, { text }),
    /** Keys to whatever has the focus. */
    keys: (text) => {
      const actions = [...text].flatMap((value) => [{ type: "keyDown", value }, { type: "keyUp", value }]);
      return call("POST", "/actions", { actions: [{ type: "key", id: "keys", actions }] });
    },
    /** Keys that are down at the same time. */
    hold: (...keys) => {
      const actions = [...keys.map((value) => ({ type: "keyDown", value })), ...keys.toReversed().map((value) => ({ type: "keyUp", value }))];
      return call("POST", "/actions", { actions: [{ type: "key", id: "keys", actions }] });
    },
    shoot: async (name) => {
      mkdirSync(ARTIFACTS, { recursive: true });
      writeFileSync(join(ARTIFACTS, `desktop-${name}.png`), Buffer.from(await call("GET", "/screenshot"), "base64"));
    },
  };
  return window;
}
