// Prints the size of the bundle as a browser loads it, and fails when it is over its limit.

import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";

const LIMIT_BYTES = 250 * 1024;
const DIST = process.env.STEADFAST_CONSOLE_OUT ?? new URL("../../dist", import.meta.url).pathname;

const files = readdirSync(DIST, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
  .sort();
let total = 0;
for (const file of files) {
  const bytes = readFileSync(file);
  const gzip = gzipSync(bytes, { level: 9 }).length;
  total += gzip;
  console.log(`${relative(DIST, file)}  ${kilobytes(bytes.length)}, gzip ${kilobytes(gzip)}, brotli ${kilobytes(brotliCompressSync(bytes).length)}`);
}
console.log(`bundle: ${kilobytes(total)} gzip of ${kilobytes(LIMIT_BYTES)}`);
if (total > LIMIT_BYTES) {
  console.error("the bundle is over its limit: find what grew with `npx vite-bundle-visualizer`, or argue for a higher limit in console/app/build/size.mjs");
  process.exit(1);
}

function kilobytes(bytes) {
  return `${(bytes / 1024).toFixed(1)} KB`;
}
