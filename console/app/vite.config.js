import { createRequire } from "node:module";

import tailwind from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/**
 * The parser of Markdown decodes entities such as `&nbsp;` by the `innerHTML` of an element where it is built for
 * browsers, which the page's policy (Trusted Types) forbids. The build for everywhere else has a table.
 */
const ENTITIES = createRequire(import.meta.url).resolve("decode-named-character-reference");

export default defineConfig({
  plugins: [react(), tailwind()],
  resolve: { alias: { "decode-named-character-reference": ENTITIES } },
  // The gateway serves the page at `/` and its files under a path that no route of the API has.
  base: "./",
  build: {
    outDir: process.env.STEADFAST_CONSOLE_OUT ?? "../dist",
    emptyOutDir: true,
    assetsDir: "console/assets",
    // The policy of the page allows no `data:` but for images, and every file has a hash in its name.
    assetsInlineLimit: 0,
    target: "es2022",
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: { proxy: { "^/(agents|fleet|tasks|messages|approvals|sign-in|healthz|readyz)": process.env.STEADFAST_GATEWAY ?? "http://127.0.0.1:8080" } },
});
