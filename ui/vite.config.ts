import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

// `tauri dev` expects a fixed port; `FORGE_SERVE` points the dev server at a running `forge serve`.
const engine = process.env["FORGE_SERVE"] ?? "http://127.0.0.1:7070";

export default defineConfig({
  plugins: [svelte()],
  clearScreen: false,
  server: {
    host: "127.0.0.1",
    port: Number(process.env["PORT"] ?? 5173),
    strictPort: true,
    proxy: { "/api": { target: engine, ws: true } },
  },
  // Fonts and images stay files: the content security policy allows no data: fonts.
  // The lab's workspace holds the whole terminal; it comes from this machine, so its size is no warning, nor is the bundler's own speed.
  build: {
    target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false }, chunkSizeWarningLimit: 800,
    rolldownOptions: { checks: { pluginTimings: false } },
  },
  test: { environment: "jsdom", include: ["src/**/*.test.ts"] },
  resolve: process.env["VITEST"] ? { conditions: ["browser"] } : {},
});
