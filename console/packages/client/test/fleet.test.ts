import assert from "node:assert/strict";
import { test } from "node:test";

import { slotsOf, upperBound, type FleetInterval } from "../src/index.js";

const interval = (start: string) => ({ start, completed: 1 }) as FleetInterval;

test("an interval in which nothing happened has its place on the axis", () => {
  const slots = slotsOf({
    from: "2026-11-23T10:00:00Z",
    now: "2026-11-23T10:12:00Z",
    interval_seconds: 300,
    intervals: [interval("2026-11-23T10:00:00Z"), interval("2026-11-23T10:10:00Z")],
  });
  assert.deepEqual(
    slots.map((slot) => [slot.start.slice(11, 16), slot.figures?.completed]),
    [["10:00", 1], ["10:05", undefined], ["10:10", 1]],
  );
});

test("whatever a gateway answers, the axis has an end", () => {
  const slots = slotsOf({ from: "2026-11-23T10:00:00Z", now: "2036-11-23T10:00:00Z", interval_seconds: 1, intervals: [] });
  assert.equal(slots.length, 1000);
});

test("the top of an axis is a round number that no value exceeds", () => {
  assert.deepEqual([[], [0], [0.3], [1], [7], [1001]].map(upperBound), [1, 1, 0.5, 1, 10, 2000]);
});
