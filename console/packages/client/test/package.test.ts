// What `npm publish` would send, and what it gives to those who install it.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const PACKAGE = join(dirname(fileURLToPath(import.meta.url)), "../..");

interface Packed {
  files: { path: string }[];
}

function packed(): string[] {
  const printed = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: PACKAGE, encoding: "utf8" });
  const [archive] = JSON.parse(printed) as Packed[];
  return archive!.files.map(({ path }) => path);
}

test("the package has its program, its types and its README, and every file that they name", () => {
  const files = packed();
  assert.ok(files.every((path) => path.startsWith("dist/") || path === "package.json" || path === "README.md"), String(files));
  for (const path of ["README.md", "dist/index.js", "dist/index.d.ts", "dist/openapi.d.ts"]) assert.ok(files.includes(path), path);
  for (const path of files.filter((path) => path.startsWith("dist/"))) {
    const text = readFileSync(join(PACKAGE, path), "utf8");
    for (const [, named] of text.matchAll(/from "(\.[^"]*)"/g)) {
      const file = posix.join(posix.dirname(path), named!);
      const needed = path.endsWith(".d.ts") ? file.replace(/\.js$/, ".d.ts") : file;
      assert.ok(files.includes(needed), `${path} needs ${needed}`);
    }
  }
});

test("whoever installs it imports it by its name, and needs nothing else", async () => {
  const name = "@steadfast/client";
  const installed = (await import(name)) as object;
  assert.ok("followTask" in installed && "Conversation" in installed && "fold" in installed);
  const { dependencies } = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8")) as { dependencies?: unknown };
  assert.equal(dependencies, undefined);
});
