import { beforeAll, expect, it, vi } from "vitest";
import { FakeHost } from "../ipc/fake/host";

let sync: typeof import("./sync.svelte").sync;
let session: typeof import("./session.svelte").session;
let toasts: typeof import("./toasts.svelte").toasts;
beforeAll(async () => {
  vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener: () => undefined }));
  ({ sync } = await import("./sync.svelte"));
  ({ session } = await import("./session.svelte"));
  ({ toasts } = await import("./toasts.svelte"));
});

it("what waits though the scoreboard answered is not called sent", async () => {
  const host = new FakeHost("well", 0);
  const call = host.call.bind(host) as (name: string, request: unknown) => Promise<unknown>;
  const report = { accepted: 0, pending: 1, refused: 0, raised: [], error: null };
  host.call = ((name: string, request: unknown) => (name === "sync_now" ? Promise.resolve(report) : call(name, request))) as typeof host.call;
  session.attach(host);
  await sync.send();
  expect(toasts.list.at(-1)).toMatchObject({ tone: "warn", title: "Not everything could be sent" });
  expect(toasts.list.at(-1)?.detail).toContain("cannot be reached");
});

it("a scoreboard that was left is come back to without a code, and no other", async () => {
  session.attach(new FakeHost("well", 0));
  await sync.turnOff();
  const [left] = sync.status.value?.before ?? [];
  expect(left?.url).toBe("https://board.example");
  const empty = { code: "", name: "", ca: null, clear_text: false };
  expect(await sync.enrol({ ...empty, url: "https://other.example" })).toBe(false);
  expect(await sync.enrol({ ...empty, url: left?.url ?? "" })).toBe(true);
  expect(sync.status.value?.board).toMatchObject({ url: left?.url, name: left?.name, token: true });
});
