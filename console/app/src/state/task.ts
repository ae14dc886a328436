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
    let drawing: (() => void) | undefined;
    const draw = () => {
      drawing?.();
      drawing = undefined;
      version += 1;
      setLive({ conversation, link, version });
    };
    const drawSoon = () => {
      if (drawing) return;
      // A page that is hidden gets no frames, and must not fall behind.
      const frame = requestAnimationFrame(draw);
      const timer = setTimeout(draw, HIDDEN_PERIOD_MS);
      drawing = () => {
        cancelAnimationFrame(frame);
        clearTimeout(timer);
      };
    };
    const follow = async () => {
      draw();
      while (!stop.signal.aborted) {
        const watched = new AbortController();
        const release = releaseWhileHidden(watched, stop.signal);
        for await (const update of followTask({ connection, taskId, after: conversation.position, signal: watched.signal })) {
          if (update.type === "event") conversation.take(update.id, update.event, JSON.parse(update.data));
          else if (update.type === "open") link = { state: "live" };
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
