import { beforeAll, describe, expect, it, vi } from "vitest";
import type { Settings } from "../gen/api";
import { FakeHost } from "../ipc/fake/host";

let settings: typeof import("./settings.svelte").settings;
let session: typeof import("./session.svelte").session;
beforeAll(async () => {
  vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener: () => undefined }));
  ({ settings } = await import("./settings.svelte"));
  ({ session } = await import("./session.svelte"));
});

/** An engine that answers when it is told to, the newest question first; a refused change leaves it as it was. */
async function slow() {
  const host = new FakeHost("well", 0);
  session.attach(host);
  await settings.data.load();
  let kept = settings.data.value as Settings;
  const asked: Settings[] = [];
  const waiting: ((ok: boolean) => void)[] = [];
  host.call = ((_: string, request: Settings) => {
    asked.push(request);
    return new Promise((done, fail) => waiting.push((ok) => (ok ? done((kept = request)) : fail(new Error("refused")))));
  }) as typeof host.call;
  const answer = async (ok = true) => {
    await vi.waitFor(() => expect(waiting.length).toBeGreaterThan(0));
    waiting.pop()?.(ok);
    await new Promise((done) => setTimeout(done, 0));
  };
  return { asked, answer, kept: () => kept };
}

describe("settings", () => {
  it("keep both of two changes made while the first is being saved", async () => {
    const engine = await slow();
    const first = settings.change({ theme: "light" });
    const second = settings.change({ terminal_font_size: 18 });
    expect(settings.data.value).toMatchObject({ theme: "light", terminal_font_size: 18 });
    await engine.answer();
    expect(settings.data.value).toMatchObject({ theme: "light", terminal_font_size: 18 });
    await engine.answer();
    await Promise.all([first, second]);
    expect(engine.kept()).toMatchObject({ theme: "light", terminal_font_size: 18 });
    expect(settings.data.value).toEqual(engine.kept());
  });

  it("put back what the engine refuses, and nothing else", async () => {
    const engine = await slow();
    const before = settings.data.value;
    const first = settings.change({ theme: "dark" });
    const second = settings.change({ terminal_font_size: 20 });
    await engine.answer(false);
    await engine.answer();
    await Promise.all([first, second]);
    expect(settings.data.value).toEqual({ ...before, terminal_font_size: 20 });
    expect(engine.asked.at(-1)).toEqual(settings.data.value);
  });
});
