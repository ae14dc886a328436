import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { fold, type Event, type Message } from "../src/index.js";
import { withDefaults } from "../src/message.js";

interface Vector {
  rule: string;
  events: Event[];
  messages: Message[];
}

/** The vectors of Rust's fold. npm runs tests in the directory of the package. */
const VECTORS = join(process.cwd(), "../../../eventlog/events/tests/vectors");

function vectors(): [string, Vector][] {
  return readdirSync(VECTORS).map((name) => [name, JSON.parse(readFileSync(join(VECTORS, name), "utf8")) as Vector]);
}

test("every vector of Rust's fold folds to its messages", () => {
  const all = vectors();
  assert.ok(all.length >= 12, `only ${all.length} vectors found`);
  for (const [name, vector] of all) {
    const expected = vector.messages.map((message) => ({ ...message, content: withDefaults(message.content) }));
    assert.deepEqual(fold(vector.events), expected, `${name}: ${vector.rule}`);
  }
});

test("a finished message that comes twice is one", () => {
  for (const [name, { events }] of vectors()) {
    const twice = events.flatMap((event): Event[] => (event.type === "message_done" ? [event, event] : [event]));
    assert.deepEqual(fold(twice), fold(events), name);
  }
});

test("a message of a user never takes the place of an answer", () => {
  const at = { turn: 1, attempt: 1, agent: "haiku", time: "1970-01-01T00:00:00Z" };
  const user: Event = {
    ...at,
    type: "message_done",
    message: {
      id: "a",
      turn: 1,
      agent: "haiku",
      author: "user",
      content: { type: "text", text: "no", format: "plain" },
      status: "done",
      created_at: at.time,
      updated_at: at.time,
    },
  };
  const started: Event = { ...at, type: "message_started", message_id: "a", content: { type: "text", text: "", format: "plain" } };
  const delta: Event = { ...at, type: "text_delta", message_id: "a", delta: "yes" };
  const said = (events: Event[]) =>
    fold(events).map(({ author, content }) => [author, content.type === "text" ? content.text : ""]);
  assert.deepEqual(said([user, started, delta]), [["user", "no"], ["agent", "yes"]]);
  assert.deepEqual(said([started, user, delta]), [["agent", "yes"], ["user", "no"]]);
  assert.deepEqual(said([user, started, delta, { ...at, type: "message_reset", message_id: "a" }]), [["user", "no"]]);
});

test("a reasoning part far away makes no long list", () => {
  const at = { turn: 1, attempt: 1, agent: "haiku", time: "1970-01-01T00:00:00Z" };
  const events: Event[] = [
    { ...at, type: "message_started", message_id: "r", content: { type: "reasoning", summary: [], content: [] } },
    { ...at, type: "reasoning_delta", message_id: "r", index: 1_000_000_000, delta: "x" },
    { ...at, type: "reasoning_delta", message_id: "r", index: 1, delta: "y" },
  ];
  assert.deepEqual(fold(events)[0]?.content, { type: "reasoning", summary: [], content: ["", "y"] });
});
