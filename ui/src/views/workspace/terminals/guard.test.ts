import { Terminal } from "@xterm/xterm";
import { describe, expect, it } from "vitest";
import { bounded } from "./guard";

async function shown(output: string): Promise<string> {
  const term = new Terminal({ cols: 40, rows: 6, allowProposedApi: true });
  bounded(term.parser);
  await new Promise<void>((done) => term.write(output, done));
  const line = term.buffer.active.getLine(0)?.translateToString(true) ?? "";
  term.dispose();
  return line;
}

describe("a number of repetitions", () => {
  it("is bounded: enormous ones cost nothing", async () => {
    const began = performance.now();
    for (const final of ["@", "I", "L", "M", "P", "S", "T", "X", "Z", "b"]) await shown(`x\x1b[2147483647${final}`);
    expect(performance.now() - began).toBeLessThan(1500);
  });
  it("does what it did where a program means it", async () => {
    expect(await shown("x\x1b[4b")).toBe("xxxxx");
    expect(await shown("abc\x1b[3D\x1b[2P")).toBe("c");
    expect(await shown("abc\x1b[3D\x1b[2@")).toBe("  abc");
  });
});
