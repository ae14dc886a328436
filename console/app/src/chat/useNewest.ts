// Which part of a long list is drawn: the newest items, and older ones in batches, until there is a screen of them above
// what the user sees. How long a batch takes decides how large the next one is: a browser that is busy for 50 ms stops
// scrolling.

import { useCallback, useLayoutEffect, useRef, useState, type RefObject } from "react";

/** Items that are drawn at first. */
const FIRST_ITEMS = 12;
/** Items of the first batch, and of the largest. */
const FIRST_BATCH = 4;
const MAX_BATCH = 24;
/** How long React may take for a batch. Style, layout and painting take about as long again. */
const BATCH_MS = 12;

export interface Newest<T> {
  shown: T[];
  hasOlder: boolean;
  showOlder: () => void;
  /** Adds older items where the user comes near the oldest that are drawn. */
  fill: () => void;
}

/** `away`: the user reads older items, which stay where newer ones come. */
export function useNewest<T>(items: T[], scroller: RefObject<HTMLElement | null>, away: boolean): Newest<T> {
  const [count, setCount] = useState(FIRST_ITEMS);
  const [length, setLength] = useState(items.length);
  if (items.length !== length) {
    setLength(items.length);
    if (away && items.length > length) setCount(count + items.length - length);
  }
  const batch = useRef<{ size: number; begin: number | undefined; timer: ReturnType<typeof setTimeout> | undefined }>({ size: FIRST_BATCH, begin: undefined, timer: undefined });
  const hasOlder = items.length > count;

  const showOlder = useCallback(() => {
    const { current } = batch;
    if (current.timer !== undefined || current.begin !== undefined) return;
    // A task of its own, so that it adds nothing to the one that asks for it.
    current.timer = setTimeout(() => {
      current.timer = undefined;
      current.begin = performance.now();
      setCount((before) => before + current.size);
    });
  }, []);
  const fill = () => {
    const element = scroller.current;
    if (element && hasOlder && element.scrollTop < element.clientHeight) showOlder();
  };
  useLayoutEffect(() => {
    const { current } = batch;
    if (current.begin === undefined) return;
    const share = BATCH_MS / Math.max(1, performance.now() - current.begin);
    current.size = Math.min(MAX_BATCH, Math.max(1, Math.round(current.size * share)));
    current.begin = undefined;
  }, [count]);
  useLayoutEffect(fill, [count, items.length]);
  useLayoutEffect(() => () => clearTimeout(batch.current.timer), []);
  return { shown: items.slice(Math.max(0, items.length - count)), hasOlder, showOlder, fill };
}
