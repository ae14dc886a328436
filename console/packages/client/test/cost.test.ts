import assert from "node:assert/strict";
import { test } from "node:test";

import { costOf, costOfCalls, priceOf, Timeline, type Event, type EventKind, type PriceList } from "../src/index.js";

const PRICES: PriceList = {
  currency: "USD",
  models: [
    { model: "gpt-*", input: 9, cached_input: 9, output: 9 },
    { model: "gpt-5*", input: 2, cached_input: 0.2, output: 10 },
    { model: "gpt-5-mini", input: 1, cached_input: 0.5, output: 3 },
  ],
};

test("a whole name counts before a beginning, and a long beginning before a short one", () => {
  const named = (model: string) => priceOf(PRICES, model)?.model;
  assert.equal(named("gpt-5-mini"), "gpt-5-mini");
  assert.equal(named("gpt-5-nano"), "gpt-5*");
  assert.equal(named("gpt-4"), "gpt-*");
  assert.equal(named("other"), undefined);
  assert.equal(named(""), undefined);
});

test("cached tokens are a part of the input and have a price of their own", () => {
  const price = priceOf(PRICES, "gpt-5")!;
  const usage = { input_tokens: 1_000_000, cached_input_tokens: 400_000, output_tokens: 100_000 };
  assert.ok(Math.abs(costOf(price, usage) - (0.6 * 2 + 0.4 * 0.2 + 0.1 * 10)) < 1e-9);
  assert.equal(costOf(price, {}), 0);
});

test("calls of unknown cost are counted, and one that runs is not counted yet", () => {
  const timeline = new Timeline();
  const say = (kind: EventKind) => timeline.apply({ turn: 1, attempt: 1, agent: "a", time: "2026-11-23T10:00:00Z", ...kind } as Event);
  const usage = { input_tokens: 500_000 };
  say({ type: "model_started", step: 0, model: "gpt-5" });
  say({ type: "model_ended", step: 0, usage });
  say({ type: "model_started", step: 1, model: "other" });
  say({ type: "model_ended", step: 1, usage });
  say({ type: "model_started", step: 2, model: "gpt-5" });
  assert.deepEqual(costOfCalls(PRICES, timeline.spans()), { amount: 1, unknown: 1 });
});
