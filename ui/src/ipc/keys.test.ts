import { describe, expect, it } from "vitest";
import { InOrder } from "./keys";

const text = (s: string) => new TextEncoder().encode(s);

/** An engine that takes as long as it likes for each call. */
function slow() {
  const taken: string[] = [];
  const under: (() => void)[] = [];
  const send = (bytes: Uint8Array) =>
    new Promise<void>((done) => {
      under.push(() => {
        taken.push(new TextDecoder().decode(bytes));
        done();
      });
    });
  const answer = async () => {
    under.shift()?.();
    await new Promise((done) => setTimeout(done, 0));
  };
  return { send, taken, under, answer };
}

describe("keys in order", () => {
  it("has one call under way, and sends together what was typed meanwhile", async () => {
    const engine = slow();
    const keys = new InOrder(engine.send, () => undefined);
    for (const key of "cat /etc") keys.push(text(key));
    expect(engine.under.length).toBe(1);
    await engine.answer();
    expect(engine.under.length).toBe(1);
    await engine.answer();
    expect(engine.taken).toEqual(["c", "at /etc"]);
    keys.push(text("\n"));
    await engine.answer();
    expect(engine.taken).toEqual(["c", "at /etc", "\n"]);
  });

  it("keeps a large paste whole and what follows behind it", async () => {
    const engine = slow();
    const keys = new InOrder(engine.send, () => undefined);
    keys.push(text("a"));
    keys.push(text("b".repeat(100_000)));
    keys.push(text("c"));
    for (let i = 0; i < 3; i += 1) await engine.answer();
    expect(engine.taken.map((t) => t.length)).toEqual([1, 100_000, 1]);
  });

  it("sends nothing after a failure, and tells it once", async () => {
    const told: unknown[] = [];
    const sent: string[] = [];
    const keys = new InOrder((bytes) => {
      sent.push(new TextDecoder().decode(bytes));
      return Promise.reject(new Error("closed"));
    }, (error) => told.push(error));
    for (const key of "rm -rf") keys.push(text(key));
    await new Promise((done) => setTimeout(done, 0));
    keys.push(text("x"));
    await new Promise((done) => setTimeout(done, 0));
    expect(sent).toEqual(["r"]);
    expect(told.length).toBe(1);
  });
});
