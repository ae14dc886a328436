import assert from "node:assert/strict";
import { test } from "node:test";

import { lostToWorkers, Timeline, type Event, type EventKind } from "../src/index.js";

const T = (second: number) => `2026-11-23T10:00:${String(second).padStart(2, "0")}Z`;

type Step = [second: number, kind: EventKind, attempt?: number];

function spanOf(steps: Step[]) {
  const timeline = new Timeline();
  for (const [second, kind, attempt = 1] of steps) timeline.apply({ turn: 1, agent: "a", time: T(second), attempt, ...kind } as Event);
  const span = timeline.spans().find((each) => each.kind === "model");
  assert.ok(span);
  return span;
}

const started: EventKind = { type: "model_started", step: 0, model: "gpt-5" };
const delta: EventKind = { type: "text_delta", message_id: "m", delta: "Hi" };
const ended: EventKind = { type: "model_ended", step: 0 };

test("an attempt that fell silent was lost with its worker, and the time until the next began", () => {
  const span = spanOf([[1, started], [2, delta], [5, delta], [17, started, 2], [18, delta, 2], [19, ended, 2]]);
  assert.deepEqual(span.lost, [{ attempt: 1, count: 1, startedAt: T(1), lastAt: T(5), endedAt: T(17), cause: "worker" }]);
  assert.deepEqual(lostToWorkers([span]), { attempts: 1, milliseconds: 16_000 });
  assert.equal(span.model, "gpt-5");
  assert.equal(span.firstTokenAt, T(18), "the first token of the attempt that answered");
  assert.equal(span.attemptStartedAt, T(17));
});

test("an attempt that said why it failed is not a death of a worker", () => {
  const failed: EventKind = { type: "model_attempt_failed", step: 0, category: "model_rate_limit", reason: "busy", retry_in_ms: 1000 };
  const span = spanOf([[1, started], [2, failed], [3, started, 2], [4, ended, 2]]);
  assert.deepEqual(span.lost.map((lost) => lost.cause), ["failure"]);
  assert.deepEqual(lostToWorkers([span]), { attempts: 0, milliseconds: 0 });
});

test("attempts of which nothing was heard are counted with the one before", () => {
  const span = spanOf([[1, started], [30, started, 4], [31, ended, 4]]);
  assert.deepEqual(span.lost.map(({ attempt, count }) => [attempt, count]), [[1, 3]]);
});

test("what an attempt says twice loses nothing", () => {
  assert.deepEqual(spanOf([[1, started], [1, started], [2, ended]]).lost, []);
});
