/** Terminal colours: surfaces from the window's tokens, sixteen ANSI colours chosen for 4.5:1 on them. */
import type { ITheme } from "@xterm/xterm";

const DARK = {
  black: "#2b333d", red: "#f2777a", green: "#6fcf97", yellow: "#e0b04d", blue: "#79aef0", magenta: "#cf9bea", cyan: "#63c8cf", white: "#cfd7e0",
  brightBlack: "#8c99a8", brightRed: "#ff9a9c", brightGreen: "#93e2b3", brightYellow: "#f2ca76", brightBlue: "#a3c8f8", brightMagenta: "#e0bdf5", brightCyan: "#8fdfe4", brightWhite: "#f4f7fa",
};
const LIGHT = {
  black: "#18212b", red: "#b0252c", green: "#14693c", yellow: "#7c5206", blue: "#1b5a9c", magenta: "#7b3a9c", cyan: "#0d6670", white: "#556270",
  brightBlack: "#43505e", brightRed: "#c3323a", brightGreen: "#1c7a48", brightYellow: "#8f6008", brightBlue: "#2467ad", brightMagenta: "#8d48b0", brightCyan: "#14747f", brightWhite: "#2b3744",
};

export function terminalTheme(dark: boolean): ITheme {
  const style = getComputedStyle(document.documentElement);
  const token = (name: string) => style.getPropertyValue(name).trim();
  return {
    ...(dark ? DARK : LIGHT),
    background: token("--field"),
    foreground: token("--text"),
    cursor: token("--accent"),
    cursorAccent: token("--on-accent"),
    selectionBackground: dark ? "#2f4a63" : "#bcd7ee",
    scrollbarSliderBackground: dark ? "#3a455288" : "#b4c0cc99",
    scrollbarSliderHoverBackground: dark ? "#3a4552" : "#b4c0cc",
    scrollbarSliderActiveBackground: dark ? "#4a5868" : "#98a7b6",
  };
}

/** Drawing by WebGL pays only on a GPU; without one the DOM renderer is the faster one. */
export function hasGpu(): boolean {
  const gl = document.createElement("canvas").getContext("webgl2");
  if (!gl) return false;
  const info = gl.getExtension("WEBGL_debug_renderer_info");
  const renderer = String(gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return isGpu(renderer, /Mac/.test(navigator.userAgent));
}

/** WebKit says “Apple GPU” everywhere, on Linux too, where it may be the processor: what is not known counts as none. */
export function isGpu(renderer: string, mac: boolean): boolean {
  if (/^apple gpu$/i.test(renderer)) return mac;
  return !/swiftshader|llvmpipe|softpipe|software|basic render|webkit webgl/i.test(renderer);
}
