import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { FakeHost } from "../ipc/fake/host";
import { PASSPHRASE } from "../ipc/fake/keys";

let Keys: typeof import("./keys.svelte").Keys;
let pause: typeof import("./keys.svelte").pause;
let session: typeof import("./session.svelte").session;
beforeAll(async () => {
  vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener: () => undefined }));
  ({ Keys, pause } = await import("./keys.svelte"));
  ({ session } = await import("./session.svelte"));
});
afterEach(() => vi.useRealTimers());

describe("locked keys", () => {
  it("wait for the passphrase, and say when the next one may be tried", async () => {
    session.attach(new FakeHost("locked", 0));
    const keys = new Keys();
    let open = false;
    const opened = keys.opened().then(() => (open = true));
    await vi.waitFor(() => expect(keys.locked).toBe(true));
    await expect(session.call("list_labs", {})).rejects.toMatchObject({ code: "keys_locked" });
    const before = Date.now();
    expect(await keys.unlock("four words of yours")).toBe(false);
    expect(keys.error?.code).toBe("key_unavailable");
    expect(keys.next).toBeGreaterThanOrEqual(before + 900);
    expect(await keys.unlock(PASSPHRASE)).toBe(false);
    expect(open).toBe(false);
    await new Promise((done) => setTimeout(done, 1100));
    expect(await keys.unlock(PASSPHRASE)).toBe(true);
    await opened;
    expect(keys.locked).toBe(false);
    expect(keys.error).toBeNull();
    expect((await session.call("list_labs", {})).length).toBeGreaterThan(0);
  });
  it("hold nothing up where they are open, or where nobody says", async () => {
    session.attach(new FakeHost("well", 0));
    const keys = new Keys();
    await keys.opened();
    expect(keys.status.value?.keys).toHaveLength(3);
    const gone = new FakeHost("well", 0);
    gone.call = () => Promise.reject(new Error("gone"));
    session.attach(gone);
    const lost = new Keys();
    await lost.opened();
    expect(lost.locked).toBe(false);
  });
  it("open when somebody unlocks them elsewhere", async () => {
    vi.useFakeTimers();
    const host = new FakeHost("locked", 0);
    session.attach(host);
    const keys = new Keys();
    let open = false;
    void keys.opened().then(() => (open = true));
    await vi.advanceTimersByTimeAsync(100);
    expect([keys.locked, open]).toEqual([true, false]);
    const elsewhere = host.call("unlock_keys", { passphrase: PASSPHRASE });
    await vi.advanceTimersByTimeAsync(100);
    await elsewhere;
    await vi.advanceTimersByTimeAsync(5000);
    expect([keys.locked, open]).toEqual([false, true]);
  });
});

describe("open keys", () => {
  it("are moved with the passphrase of now, and replaced with one key following the other", async () => {
    session.attach(new FakeHost("under-passphrase", 0));
    const keys = new Keys();
    await keys.opened();
    expect(await keys.move("plain", null, "not this one")).toBe(false);
    await new Promise((done) => setTimeout(done, 1100));
    expect(await keys.move("plain", null, PASSPHRASE)).toBe(true);
    expect(keys.status.value?.kept?.place).toBe("plain");
    const before = keys.status.value?.keys[0]?.id;
    expect(await keys.rotate("learner")).toBe(true);
    expect(keys.rotated?.old).toBe(before);
    expect(keys.status.value?.keys[0]).toMatchObject({ id: keys.rotated?.new, before: 1 });
  });
});

describe("what an error says of a pause", () => {
  it("counts only where it is a number above nothing", () => {
    expect([null, {}, { wait_ms: "9" }, { wait_ms: -1 }, { wait_ms: 250 }].map(pause)).toEqual([0, 0, 0, 0, 250]);
  });
});
