// Lists have no stream in the API: they are asked for again, seldom while nobody looks.

import { ApiError } from "@steadfast/client";
import { useCallback, useEffect, useRef, useState } from "react";

/** For a page that nobody looks at, but that may notify. */
const HIDDEN_PERIOD_MS = 15_000;
/** The answer took longer than this: the next one is asked for later. */
const SLOWEST = 4;

export interface Polled<T> {
  value: T | undefined;
  error: Error | undefined;
  refresh: () => void;
}

/** What `load` gives, now and each `period` milliseconds while the page is visible. */
export function usePoll<T>(load: (signal: AbortSignal) => Promise<T>, period: number, onError?: (error: ApiError) => void): Polled<T> {
  const [state, setState] = useState<{ value: T | undefined; error: Error | undefined }>({ value: undefined, error: undefined });
  const latest = useRef({ load, onError });
  latest.current = { load, onError };
  const wake = useRef<() => void>(() => undefined);
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let asking = false;
    const ask = async () => {
      clearTimeout(timer);
      if (asking) return;
      asking = true;
      const begin = performance.now();
      try {
        const value = await latest.current.load(stop.signal);
        if (!stop.signal.aborted) setState({ value, error: undefined });
      } catch (error) {
        if (stop.signal.aborted) return;
        if (error instanceof ApiError) latest.current.onError?.(error);
        // What was known stays on the screen, under the error.
        setState((state) => ({ ...state, error: error instanceof Error ? error : new Error(String(error)) }));
      } finally {
        asking = false;
      }
      if (stop.signal.aborted) return;
      timer = setTimeout(ask, Math.max(document.hidden ? HIDDEN_PERIOD_MS : period, SLOWEST * (performance.now() - begin)));
    };
    const visible = () => {
      if (!document.hidden) void ask();
    };
    wake.current = () => void ask();
    document.addEventListener("visibilitychange", visible);
    void ask();
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", visible);
    };
  }, [period]);
  return { ...state, refresh: useCallback(() => wake.current(), []) };
}
