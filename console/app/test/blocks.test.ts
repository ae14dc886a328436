import assert from "node:assert/strict";
import { test } from "node:test";

import remarkGfm from "remark-gfm";
import remarkParse from "remark-parse";
import { unified } from "unified";

import { blocksOf } from "../src/parts/blocks.js";

const parser = unified().use(remarkParse).use(remarkGfm);

/** What a text means, without where it stands. */
function meaning(text: string): unknown[] {
  const tree = parser.parse(text);
  return JSON.parse(JSON.stringify(tree.children, (key, value: unknown) => (key === "position" ? undefined : value))) as unknown[];
}

const PIECES = [
  "A paragraph\nof two lines.",
  "# A heading",
  "Title\n=====",
  "- one\n- two\n  - deeper\n\n  still two",
  "1. first\n\n2. second",
  "* another\n\n* and another",
  "```rust\nfn main() {}\n\nlet x = 1;\n```",
  "````\n```\n\nnot the end\n````",
  "~~~\ntilde ``` \n\nstill code\n~~~",
  "``` not `a` fence",
  "> a quote\n> of two lines",
  "| a | b |\n| - | - |\n| 1 | 2 |",
  "    indented code\n\n    goes on",
  "- a list with code\n\n  ```\n  inside\n\n  it\n  ```",
  "---",
  "<b>html</b>",
  "A line with www.example.com and ~~that~~.",
  "- [ ] to do\n- [x] done",
];

test("the pieces of a text mean what the text means", () => {
  for (const first of PIECES) {
    for (const second of PIECES) {
      for (const third of ["A last word.", "- last", "```\nopen\n\nend"]) {
        for (const gap of ["\n\n", "\n\n\n", "\n \n"]) {
          const text = [first, second, third].join(gap);
          const blocks = blocksOf(text);
          assert.equal(blocks.join(""), text);
          assert.deepEqual(blocks.flatMap(meaning), meaning(text), JSON.stringify(text));
        }
      }
    }
  }
});

test("a text that grows keeps the pieces that it has, but for the last two", () => {
  const text = PIECES.join("\n\n");
  let before: string[] = [];
  for (let length = 1; length <= text.length; length += 1) {
    const blocks = blocksOf(text.slice(0, length));
    // What begins as a text can turn out to be a list, which goes on with the one before.
    assert.deepEqual(blocks.slice(0, Math.max(0, before.length - 2)), before.slice(0, -2), String(length));
    before = blocks;
  }
  assert.ok(before.length > 10, String(before.length));
});

test("a text whose parts refer to each other is one piece", () => {
  for (const text of ["See [it].\n\n[it]: https://example.com", "A note[^1].\n\nMore.\n\n[^1]: The note."]) {
    assert.deepEqual(blocksOf(text), [text]);
  }
});
