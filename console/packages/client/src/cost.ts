// What model calls cost, by the prices that the gateway was given. Pure.

import type { ModelPrice, PriceList } from "./api.js";
import type { Usage } from "./event.js";
import type { Span } from "./timeline.js";

const TOKENS_OF_A_PRICE = 1_000_000;

export interface Cost {
  amount: number;
  /** Calls whose tokens or price are not known: they are not in the amount. */
  unknown: number;
}

/** The price of a model: that of its whole name, or of the longest beginning that fits. */
export function priceOf(prices: PriceList, model: string): ModelPrice | undefined {
  if (model === "") return undefined;
  const exact = prices.models.find((price) => price.model === model);
  if (exact) return exact;
  let best: ModelPrice | undefined;
  for (const price of prices.models) {
    if (!price.model.endsWith("*") || !model.startsWith(price.model.slice(0, -1))) continue;
    if (!best || price.model.length > best.model.length) best = price;
  }
  return best;
}

/** Cached tokens are a part of the input, and reasoning is a part of the output. */
export function costOf(price: ModelPrice, usage: Usage): number {
  const input = usage.input_tokens ?? 0;
  const cached = Math.min(input, usage.cached_input_tokens ?? 0);
  return ((input - cached) * price.input + cached * price.cached_input + (usage.output_tokens ?? 0) * price.output) / TOKENS_OF_A_PRICE;
}

/** What the model calls among these spans cost; one that runs is not counted yet. */
export function costOfCalls(prices: PriceList, spans: Span[]): Cost {
  const cost: Cost = { amount: 0, unknown: 0 };
  for (const span of spans) {
    if (span.kind !== "model" || span.state === "running") continue;
    const price = priceOf(prices, span.model);
    if (price && span.usage) cost.amount += costOf(price, span.usage);
    else cost.unknown += 1;
  }
  return cost;
}
