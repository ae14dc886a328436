import assert from "node:assert/strict";
import { test } from "node:test";

import { SseParser } from "../src/index.js";

const WIRE = ': ping\nid: 1-1\r\nevent: text_delta\r\ndata: {"a":\r\ndata: 1}\r\n\r\ndata:x\rid\r\rid: 1-2\n\ndata: last';
const EVENTS = [
  { event: "text_delta", data: '{"a":\n1}', id: "1-1" },
  { event: "message", data: "x", id: "" },
];

test("lines end with any of the three ends, comments are no events, and an event that is not finished is none", () => {
  assert.deepEqual(new SseParser().push(`\uFEFF${WIRE}`), EVENTS);
});

test("it does not matter where the text is cut", () => {
  for (let size = 1; size < WIRE.length; size += 1) {
    const parser = new SseParser();
    const events = [];
    for (let at = 0; at < WIRE.length; at += size) events.push(...parser.push(WIRE.slice(at, at + size)));
    assert.deepEqual(events, EVENTS, `pieces of ${size}`);
  }
});
