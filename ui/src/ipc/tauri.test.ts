import { afterEach, expect, it, vi } from "vitest";
import { TauriHost } from "./tauri";

afterEach(() => vi.unstubAllGlobals());

it("has one call about keys under way, so that none overtakes another", async () => {
  const sent: string[] = [];
  const answers: (() => void)[] = [];
  vi.stubGlobal("__TAURI_INTERNALS__", {
    transformCallback: () => 1,
    invoke: (command: string, body: unknown) => {
      if (command !== "terminal_write") return Promise.resolve(1);
      sent.push(new TextDecoder().decode(body as Uint8Array));
      return new Promise<void>((done) => answers.push(done));
    },
  });
  const terminal = new TauriHost().terminal("t", 0, { output: () => undefined, gap: () => undefined, closed: () => undefined });
  for (const key of "exit\n") expect(terminal.write(new TextEncoder().encode(key))).toBe(true);
  expect(sent).toEqual(["e"]);
  // What was typed before the view was left still arrives.
  terminal.close();
  expect(terminal.write(new TextEncoder().encode("x"))).toBe(false);
  answers.shift()?.();
  await vi.waitFor(() => expect(sent).toEqual(["e", "xit\n"]));
});
