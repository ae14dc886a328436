// Follows the log of a task over fetch. Unlike the browser's EventSource it sends a token, goes on after an error
// status, and notices a connection that died without a word. It ends at 204, which says that the task has ended and the
// reader has all of it.

import { ApiError, errorOf, type Connection } from "./http.js";
import { SseParser } from "./sse.js";

/** The gateway sends at least a comment every 15 s: where three are missing, the connection is dead, as after a sleep. */
const SILENCE_MS = 45_000;
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 15_000;
/** After a stream that the server closed in good order: a gateway that stops, or the end of a task. */
const RECONNECT_MS = 100;

export type StreamUpdate =
  /** A response has begun. */
  | { type: "open" }
  /** An event. `id` is set where a reader may go on from it. */
  | { type: "event"; id: string | undefined; event: string; data: string }
  /** The connection is lost, and tried again after a while. */
  | { type: "waiting"; reason: string; retryInMs: number }
  /** The task has ended, and everything has been read. */
  | { type: "ended" };

export interface StreamOptions {
  connection: Connection;
  taskId: string;
  /** The last id that the reader has; `0`, the default, reads the log from its beginning. */
  after?: string;
  signal?: AbortSignal;
  /** A connection without a byte for so long is given up; 45 s by default. */
  silenceMs?: number;
  /** Waits before the next try; resolves early where the network is back. For tests. */
  wait?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/**
 * The updates of a task, until it has ended or the signal aborts. Throws an `ApiError` where trying again cannot help:
 * the token is not valid, or the task does not exist.
 */
export async function* followTask(options: StreamOptions): AsyncGenerator<StreamUpdate, void, void> {
  const signal = options.signal ?? new AbortController().signal;
  const wait = options.wait ?? waitOrOnline;
  let after = options.after ?? "0";
  let failures = 0;
  while (!signal.aborted) {
    let reason: string;
    let retryInMs: number;
    try {
      const response = await connect(options, after, signal);
      if (response === "ended") {
        yield { type: "ended" };
        return;
      }
      yield { type: "open" };
      for await (const update of read(response, signal, options.silenceMs ?? SILENCE_MS)) {
        // Whoever sends events is well, and what comes next is a new failure.
        failures = 0;
        if (update.id !== undefined) after = update.id;
        yield update;
      }
      reason = "the connection was closed";
      retryInMs = Math.max(RECONNECT_MS, backoff(failures));
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && !error.mayPass) throw error;
      reason = error instanceof Error ? error.message : String(error);
      retryInMs = (error instanceof ApiError ? error.retryAfterMs : undefined) ?? backoff(failures + 1);
    }
    failures += 1;
    yield { type: "waiting", reason, retryInMs };
    await wait(retryInMs, signal);
  }
}

/** Doubles with each failure in a row. Half of it is random: not all viewers come back at once. */
function backoff(failures: number): number {
  if (failures === 0) return 0;
  const longest = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** (failures - 1));
  return Math.round(longest / 2 + (Math.random() * longest) / 2);
}

async function connect(options: StreamOptions, after: string, signal: AbortSignal): Promise<Response | "ended"> {
  const response = await options.connection.fetch(
    `/tasks/${encodeURIComponent(options.taskId)}/stream?format=events`,
    { headers: { accept: "text/event-stream", "last-event-id": after }, signal, cache: "no-store" },
  );
  if (response.status === 204) return "ended";
  if (!response.ok) throw await errorOf(response);
  if (!response.headers.get("content-type")?.startsWith("text/event-stream")) {
    throw new Error("the answer is no event stream: a proxy may have answered in place of the gateway");
  }
  return response;
}

type EventUpdate = Extract<StreamUpdate, { type: "event" }>;

async function* read(response: Response, signal: AbortSignal, silenceMs: number): AsyncGenerator<EventUpdate, void, void> {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  const stop = () => void reader.cancel().catch(() => undefined);
  signal.addEventListener("abort", stop, { once: true });
  const parser = new SseParser();
  try {
    for (;;) {
      const { done, value } = await withDeadline(reader.read(), silenceMs);
      if (done) return;
      for (const event of parser.push(value)) yield { type: "event", ...event };
    }
  } finally {
    signal.removeEventListener("abort", stop);
    stop();
  }
}

async function withDeadline<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing was heard for ${ms / 1000} s`)), ms);
  });
  try {
    return await Promise.race([work, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits, but not longer than until the browser says that the network is back. */
export function waitOrOnline(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const target = typeof addEventListener === "function" ? globalThis : undefined;
    const done = () => {
      clearTimeout(timer);
      target?.removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    target?.addEventListener("online", done);
    signal.addEventListener("abort", done);
  });
}
