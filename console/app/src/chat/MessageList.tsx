// The list of a chat. It stays at its end while the user is there, and otherwise keeps what the user reads in its place.

import type { Conversation } from "@steadfast/client";
import { memo, useEffect, useLayoutEffect, useRef, useState } from "react";

import type { LiveTask } from "../state/task";
import type { Item } from "./items";
import { KeepPlace } from "./KeepPlace";
import { MessageView } from "./MessageView";
import { NoticeView } from "./NoticeView";
import { ToolCard, toolCardState } from "./ToolCard";
import { useNewest } from "./useNewest";

/** Whoever scrolls down so close to the end follows it. */
const NEAR_END_PX = 120;
/** Differences that rounding makes. */
const ROUNDING_PX = 4;

/** A message on its way: shown until the log has it. */
export interface Outgoing {
  key: string;
  text: string;
  files: File[];
  error?: string;
}

interface Props {
  items: Item[];
  live: LiveTask;
  taskId: string;
  outgoing: Outgoing[];
  onRetry: (message: Outgoing) => void;
}

export function MessageList({ items, live, taskId, outgoing, onRetry }: Props) {
  const { conversation } = live;
  const scroller = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLOListElement>(null);
  const atEnd = useRef(true);
  const lastTop = useRef(0);
  const [away, setAway] = useState(false);

  const stayAtEnd = () => {
    const element = scroller.current;
    if (element && atEnd.current) element.scrollTop = element.scrollHeight;
  };
  // Before it is seen whether there is a screen above.
  useLayoutEffect(stayAtEnd);
  const { shown, hasOlder, showOlder, fill } = useNewest(items, scroller, away);
  const sent = useRef(outgoing.length);
  useLayoutEffect(() => {
    // Whoever sends wants to see it.
    if (outgoing.length > sent.current) {
      atEnd.current = true;
      setAway(false);
      stayAtEnd();
    }
    sent.current = outgoing.length;
  }, [outgoing.length]);
  useEffect(() => {
    // An entry has its height once it is near the view, a picture once it is there; and a keyboard on the screen takes room.
    const observer = new ResizeObserver(stayAtEnd);
    for (const element of [scroller.current, list.current]) if (element) observer.observe(element);
    return () => observer.disconnect();
  }, []);
  const scrolled = () => {
    const element = scroller.current;
    if (!element) return;
    const left = element.scrollHeight - element.scrollTop - element.clientHeight;
    // Up leaves the end at once: an answer that is being written must not hold whoever reads.
    if (element.scrollTop < lastTop.current && left > ROUNDING_PX) atEnd.current = false;
    else if (element.scrollTop > lastTop.current && left < NEAR_END_PX) atEnd.current = true;
    lastTop.current = element.scrollTop;
    setAway(!atEnd.current);
    fill();
  };
  const waits = waitsForPerson(conversation);
  const busy = conversation.runningTurn !== undefined && !items.some(isAtWork);
  return (
    <div className="relative min-h-0 flex-1">
      {/* At the end, the browser must not move the view by itself: that would look as if the user had scrolled. */}
      <div ref={scroller} onScroll={scrolled} className={`h-full overflow-y-auto px-4 py-4 ${away ? "" : "[overflow-anchor:none]"}`} tabIndex={0} role="log" aria-live="off" aria-label="Conversation">
        {hasOlder && <button type="button" className="button mx-auto mb-4 flex" onClick={showOlder}>Show older messages</button>}
        {!hasOlder && !conversation.complete && <p className="mb-4 text-center text-xs text-soft">What came before is no longer in the log.</p>}
        <KeepPlace scroller={scroller} first={shown[0]?.key} enabled={away}>
          {/* Blocks and not a grid: a grid would size all its rows again for each that comes. */}
          <ol ref={list} className="space-y-4">
            {shown.map((item) => <Entry key={item.key} item={item} live={live} taskId={taskId} />)}
            {outgoing.map((message) => <OutgoingView key={message.key} message={message} onRetry={onRetry} />)}
          </ol>
        </KeepPlace>
        {busy && (
          <p className="mt-4 flex items-center gap-2 text-sm text-soft">
            <span aria-hidden="true" className="size-2 animate-pulse rounded-full bg-accent" />
            {conversation.agent || "The agent"} {waits ? "waits for a decision" : "is at work…"}
          </p>
        )}
        {items.length === 0 && outgoing.length === 0 && live.link.state === "live" && <p className="text-soft">No messages yet.</p>}
      </div>
      {away && (
        <button type="button" className="button absolute bottom-3 left-1/2 -translate-x-1/2 shadow" onClick={() => scroller.current?.scrollTo({ top: scroller.current.scrollHeight })}>
          ↓ {waits ? "Waits for your decision" : "Newest"}
        </button>
      )}
    </div>
  );
}

function OutgoingView({ message, onRetry }: { message: Outgoing; onRetry: (message: Outgoing) => void }) {
  return (
    <li className="ml-auto w-fit max-w-[85%]">
      <p className="mb-1 text-right text-xs text-soft">{message.error ? "not sent" : "sending…"}</p>
      <div className="rounded-lg border border-dashed border-line px-3 py-2 whitespace-pre-wrap wrap-anywhere">
        {[message.text, ...message.files.map((file) => file.name)].filter((line) => line !== "").join("\n")}
      </div>
      {message.error && (
        <p role="alert" className="mt-1 text-right text-sm text-bad">
          {message.error} <button type="button" className="underline" onClick={() => onRetry(message)}>Send again</button>
        </p>
      )}
    </li>
  );
}

function waitsForPerson({ approvals, runningTurn }: Conversation): boolean {
  return [...approvals.values()].some(({ approval, decision }) => !decision && approval.turn === runningTurn);
}

function isAtWork(item: Item): boolean {
  return item.type === "message" && item.message.status === "in_progress";
}

interface EntryProps {
  item: Item;
  live: LiveTask;
  taskId: string;
}

/** Drawn again with each version of the conversation, and not when older items come before it. */
const Entry = memo(function Entry(props: EntryProps) {
  return <li className="entry min-w-0"><Content {...props} /></li>;
});

function Content({ item, live: { conversation }, taskId }: EntryProps) {
  switch (item.type) {
    case "message":
      return <MessageView taskId={taskId} message={item.message} queued={conversation.isQueued(item.message)} />;
    case "tool":
      return <ToolCard taskId={taskId} request={item.request} response={item.response} {...toolCardState(conversation, item.request, item.response)} />;
    case "notice":
      return <NoticeView notice={item.notice} conversation={conversation} />;
  }
}
