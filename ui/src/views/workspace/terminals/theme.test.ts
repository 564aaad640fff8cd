import { expect, it } from "vitest";
import { isGpu } from "./theme";

it("takes for a GPU only what is known to be one", () => {
  expect(isGpu("ANGLE (Intel, Mesa Intel(R) UHD Graphics 620, OpenGL 4.6)", false)).toBe(true);
  expect(isGpu("Apple GPU", true)).toBe(true);
  for (const none of ["Apple GPU", "WebKit WebGL", "llvmpipe (LLVM 15.0.6, 256 bits)", "ANGLE (Google, SwiftShader Device)", "Microsoft Basic Render Driver"]) expect(isGpu(none, false)).toBe(false);
});
