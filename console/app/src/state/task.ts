// A task live: follows its log, and shows what has come at most once per frame.

import { Conversation, followTask } from "@steadfast/client";
import { useEffect, useState } from "react";

import { useSession } from "./session";

export type Link =
  | { state: "connecting" }
  | { state: "live" }
  | { state: "waiting"; reason: string; until: number }
  /** The task has ended, and all of it is here. */
  | { state: "ended" }
  | { state: "failed"; error: Error };

export interface LiveTask {
  conversation: Conversation;
  link: Link;
  /** Changes with the conversation, which is one object. */
  version: number;
}

const HIDDEN_PERIOD_MS = 250;
/** How long events are taken in at a time, before the browser may draw and answer the user. */
const SLICE_MS = 8;
/**
 * More events than this from one frame to the next are a log that is being read: each drawing would show other messages,
 * and all but the last for nothing. So it is drawn seldom.
 */
const LIVE_EVENTS = 100;
const READING_PERIOD_MS = 500;
/**
 * A page that is hidden for longer gives its stream back, and goes on where it was when somebody looks again: a browser
 * has six connections to a server for all its tabs, and a stream holds one.
 */
const HIDDEN_STREAM_MS = 60_000;

export function useTask(taskId: string): LiveTask {
  const { connection } = useSession();
  const [live, setLive] = useState<LiveTask>(() => ({ conversation: new Conversation(), link: { state: "connecting" }, version: 0 }));
  useEffect(() => {
    const conversation = new Conversation();
    const stop = new AbortController();
    let link: Link = { state: "connecting" };
    let version = 0;
    let events = 0;
    let drawnAt = 0;
    let drawing: (() => void) | undefined;
    const draw = () => {
      drawing?.();
      drawing = undefined;
      events = 0;
      drawnAt = performance.now();
      version += 1;
      setLive({ conversation, link, version });
    };
    const drawSoon = () => {
      if (drawing || stop.signal.aborted) return;
      const frame = () => {
        if (events <= LIVE_EVENTS || performance.now() - drawnAt > READING_PERIOD_MS) return draw();
        events = 0;
        request = requestAnimationFrame(frame);
      };
      // A page that is hidden gets no frames, and must not fall behind.
      let request = requestAnimationFrame(frame);
      const timer = setInterval(() => {
        if (document.hidden) draw();
      }, HIDDEN_PERIOD_MS);
      drawing = () => {
        cancelAnimationFrame(request);
        clearInterval(timer);
      };
    };
    const follow = async () => {
      draw();
      while (!stop.signal.aborted) {
        const watched = new AbortController();
        const release = releaseWhileHidden(watched, stop.signal);
        let sliceBegin = performance.now();
        for await (const update of followTask({ connection, taskId, after: conversation.position, signal: watched.signal })) {
          if (performance.now() - sliceBegin > SLICE_MS) {
            await nextTask();
            sliceBegin = performance.now();
          }
          if (update.type === "event") {
            conversation.take(update.id, update.event, JSON.parse(update.data));
            events += 1;
          } else if (update.type === "open") link = { state: "live" };
          else if (update.type === "ended") link = { state: "ended" };
          else if (update.retryInMs > 1000) link = { state: "waiting", reason: update.reason, until: Date.now() + update.retryInMs };
          drawSoon();
        }
        release();
        if (link.state === "ended") return;
        await untilVisible(stop.signal);
      }
    };
    follow().catch((error: unknown) => {
      if (stop.signal.aborted) return;
      link = { state: "failed", error: error instanceof Error ? error : new Error(String(error)) };
      drawSoon();
    });
    return () => {
      stop.abort();
      drawing?.();
    };
  }, [connection, taskId]);
  return live;
}

/** Lets the browser do what else there is to do. A timer would wait longer, and for a second in a hidden page. */
function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}

/** Aborts `watched` with `stop`, and when the page has been hidden for long. Returns what ends the watch. */
function releaseWhileHidden(watched: AbortController, stop: AbortSignal): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const abort = () => watched.abort();
  const changed = () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(abort, HIDDEN_STREAM_MS);
  };
  stop.addEventListener("abort", abort);
  document.addEventListener("visibilitychange", changed);
  changed();
  return () => {
    clearTimeout(timer);
    stop.removeEventListener("abort", abort);
    document.removeEventListener("visibilitychange", changed);
  };
}

function untilVisible(stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const check = () => {
      if (document.hidden && !stop.aborted) return;
      document.removeEventListener("visibilitychange", check);
      stop.removeEventListener("abort", check);
      resolve();
    };
    document.addEventListener("visibilitychange", check);
    stop.addEventListener("abort", check);
    check();
  });
}
