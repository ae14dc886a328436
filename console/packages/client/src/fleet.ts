// The intervals of the fleet's figures on an axis of time. Pure.

import type { Fleet, FleetInterval } from "./api.js";

/** A place on the axis. */
export interface Slot {
  start: string;
  /** Absent where nothing happened. */
  figures: FleetInterval | undefined;
}

/** Most places on an axis, whatever a gateway answers. */
const MAX_SLOTS = 1000;

/** One slot for each interval of the answer, also for those in which nothing happened. */
export function slotsOf(fleet: Pick<Fleet, "from" | "now" | "interval_seconds" | "intervals">): Slot[] {
  const length = fleet.interval_seconds * 1000;
  const begin = Date.parse(fleet.from);
  const count = Math.floor((Date.parse(fleet.now) - begin) / length) + 1;
  const figures = new Map(fleet.intervals.map((interval) => [Date.parse(interval.start), interval]));
  return Array.from({ length: Math.min(MAX_SLOTS, Math.max(1, count)) }, (_, index) => {
    const start = begin + index * length;
    return { start: new Date(start).toISOString(), figures: figures.get(start) };
  });
}

/** A round number that is not below the largest value: the top of an axis. */
export function upperBound(values: number[]): number {
  const largest = Math.max(0, ...values);
  if (largest === 0) return 1;
  const magnitude = 10 ** Math.floor(Math.log10(largest));
  for (const step of [1, 2, 5]) if (largest <= step * magnitude) return step * magnitude;
  return 10 * magnitude;
}
