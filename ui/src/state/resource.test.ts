import { describe, expect, it } from "vitest";
import { HostError } from "../ipc/host";
import { Resource } from "./resource.svelte";

describe("Resource", () => {
  it("keeps the value of the later of two overlapping reads", async () => {
    const answers: ((n: number) => void)[] = [];
    const r = new Resource(() => new Promise<number>((resolve) => answers.push(resolve)));
    const first = r.load();
    const second = r.load();
    answers[1]?.(2);
    await second;
    answers[0]?.(1);
    await first;
    expect(r.value).toBe(2);
    expect(r.loading).toBe(false);
  });
  it("keeps the old value beside a new error, and clears the error on success", async () => {
    let fail = false;
    const r = new Resource(async () => {
      if (fail) throw new HostError("docker_unavailable", "gone");
      return 1;
    });
    await r.load();
    fail = true;
    await r.load();
    expect([r.value, r.error?.code]).toEqual([1, "docker_unavailable"]);
    fail = false;
    await r.load();
    expect(r.error).toBeNull();
  });
});
