import svelte from "eslint-plugin-svelte";
import globals from "globals";
import ts from "typescript-eslint";

const hostOnly = {
  patterns: [{ group: ["@tauri-apps/*"], message: "Only src/ipc/tauri.ts speaks to the desktop shell." }],
};

export default ts.config(
  { ignores: ["dist/", "node_modules/", "src/gen/"] },
  ...ts.configs.recommended,
  ...svelte.configs.recommended,
  { languageOptions: { globals: { ...globals.browser, ...globals.node } } },
  {
    files: ["**/*.svelte", "**/*.svelte.ts"],
    languageOptions: { parserOptions: { parser: ts.parser } },
    rules: {
      // A guide comes sanitized from the engine and is built of nodes (views/workspace/guide/guide.ts): no string becomes markup.
      "svelte/no-at-html-tags": "error",
      // The hash router needs no resolve().
      "svelte/no-navigation-without-resolve": "off",
    },
  },
  {
    files: ["src/**/*.{ts,svelte}"],
    ignores: ["src/ipc/tauri.ts"],
    rules: {
      "no-restricted-imports": ["error", hostOnly],
      "no-console": "error",
      eqeqeq: ["error", "always", { null: "ignore" }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
    },
  },
  {
    files: ["src/{parts,views}/**/*.svelte"],
    rules: {
      "no-restricted-globals": ["error", { name: "fetch", message: "Components read state; src/ipc/ talks to the engine." }],
    },
  },
);
