import assert from "node:assert/strict";
import { test } from "node:test";

import type { JsonValue } from "@steadfast/client";

import { changesOf, linesOf } from "../src/parts/lines.js";

test("a value has a line for each part, in its order, and a text one for each of its lines", () => {
  const value = { to: "alice", notes: "first \n\nlast", amounts: [1, { half: true }], none: {}, empty: [] };
  assert.deepEqual(linesOf(value), [
    "{",
    '  "to": "alice",',
    '  "notes":',
    '    "first \\n"',
    '    "\\n"',
    '    "last",',
    '  "amounts": [',
    "    1,",
    "    {",
    '      "half": true',
    "    }",
    "  ],",
    '  "none": {},',
    '  "empty": []',
    "}",
  ]);
});

test("without the lines of long texts, the lines are the JSON", () => {
  const values: JsonValue[] = [null, 1, "text", [], {}, [[], {}], { a: { b: [1, "2", null] } }, "a\nb"];
  for (const value of values) {
    const joined = linesOf(value).join("\n").replaceAll(/"\n\s*"/g, "");
    assert.deepEqual(JSON.parse(joined), value);
  }
});

test("a change is shown with the lines around it, and the others are counted", () => {
  const before = Array.from({ length: 20 }, (_, place) => `line ${place}`);
  const after = before.with(10, "another");
  assert.deepEqual(changesOf(before, after), [
    { kind: "skipped", count: 7 },
    { kind: "same", text: "line 7" },
    { kind: "same", text: "line 8" },
    { kind: "same", text: "line 9" },
    { kind: "removed", text: "line 10" },
    { kind: "added", text: "another" },
    { kind: "same", text: "line 11" },
    { kind: "same", text: "line 12" },
    { kind: "same", text: "line 13" },
    { kind: "skipped", count: 6 },
  ]);
  assert.deepEqual(changesOf(before, before), [{ kind: "skipped", count: 20 }]);
});

test("what goes and what comes make the one from the other, also where there is too much to compare", () => {
  const cases: [string[], string[]][] = [
    [["a", "b", "c", "d"], ["b", "x", "d", "e"]],
    [[], ["a"]],
    [["a"], []],
    [["a", "a", "b"], ["a", "b", "b"]],
    [Array.from({ length: 1600 }, (_, place) => `old ${place}`), ["new"]],
  ];
  for (const [before, after] of cases) {
    const changes = changesOf(before, after);
    const of = (kinds: string[]) => changes.flatMap((change) => (change.kind !== "skipped" && kinds.includes(change.kind) ? [change.text] : []));
    assert.deepEqual(of(["same", "removed"]), before);
    assert.deepEqual(of(["same", "added"]), after);
  }
});
