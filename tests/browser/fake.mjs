// The UI with its fake engine, bundled as for users and served under the desktop window's own policy: what a scene or a text
// does can be looked at without Docker, and the policy is the real one.
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { promisify } from "node:util";
import { ROOT } from "../lib/forge.mjs";

const KINDS = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2" };
export const POLICY = JSON.parse(readFileSync(join(ROOT, "tauri.conf.json"), "utf8")).app.security.csp.replace(" ipc: http://ipc.localhost", "");

export async function serveFake() {
  const dir = mkdtempSync(join(tmpdir(), "forge-ui-"));
  const vite = join(ROOT, "ui/node_modules/vite/bin/vite.js");
  // A development build: that is where the fake is; production builds leave it out.
  await promisify(execFile)(process.execPath, [vite, "build", "--mode", "development", "--outDir", dir, "--emptyOutDir", "--logLevel", "error"], {
    cwd: join(ROOT, "ui"), env: { ...process.env, NODE_ENV: "development" }, timeout: 120_000,
  });
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url, "http://x").pathname);
    try {
      const file = path === "/" ? "/index.html" : path;
      const body = readFileSync(join(dir, file));
      response.writeHead(200, { "content-type": KINDS[extname(file)] ?? "application/octet-stream", "content-security-policy": POLICY, "x-content-type-options": "nosniff" });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const origin = `http://127.0.0.1:${server.address().port}`;
  return {
    origin,
    at: (scene, hash = "") => `${origin}/?host=fake&scene=${scene}${hash}`,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
