// A chat: the conversation as it comes, and what the user can do about it.

import { GatewayClient, type Agent, type Task } from "@steadfast/client";
import { memo, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";

import { upload } from "../chat/attachments";
import { Composer } from "../chat/Composer";
import { itemsOf, type Item } from "../chat/items";
import { MessageView } from "../chat/MessageView";
import { NoticeView } from "../chat/NoticeView";
import { ToolCard, toolCardState } from "../chat/ToolCard";
import { Badge, ErrorNotice, Notice, Spinner } from "../parts/feedback";
import { duration, useNow } from "../state/time";
import { linkTo } from "../state/route";
import { newKey, useSession } from "../state/session";
import { useTask, type Link, type LiveTask } from "../state/task";
import { titleOf } from "./AgentPage";

/** Items that are shown at first. */
const FIRST_ITEMS = 60;
/** Items that are added when the user scrolls up: so few that drawing them holds no frame up. */
const MORE_ITEMS = 12;
/** So close to the end, the list stays at its end. */
const NEAR_END_PX = 120;
const SPOKEN_CHARS = 300;

/** A message on its way: shown until the log has it. */
interface Outgoing {
  key: string;
  text: string;
  files: File[];
  error?: string;
}

export function TaskPage({ taskId, onApprovals }: { taskId: string; onApprovals: () => void }) {
  const live = useTask(taskId);
  const { task, agent, error } = useTaskFacts(taskId);
  const { conversation, link, version } = live;
  const items = useMemo(() => itemsOf(conversation.entries()), [conversation, version]);
  const sending = useSending(agent?.name, taskId, live);
  const asked = conversation.approvals.size;
  const decided = [...conversation.approvals.values()].filter((entry) => entry.decision).length;
  useEffect(() => {
    if (asked > 0) onApprovals();
  }, [asked, decided, onApprovals]);
  const ended = conversation.status !== "running" || link.state === "ended";
  return (
    <div className="mx-auto flex h-full max-w-3xl flex-col">
      <Header taskId={taskId} task={task} agent={agent} live={live} ended={ended} />
      {error && <div className="px-4 pt-2"><ErrorNotice error={error} what="The task cannot be read" /></div>}
      <LinkState link={link} />
      <List items={items} live={live} taskId={taskId} outgoing={sending.outgoing} onRetry={sending.retry} />
      <div className="border-t border-line bg-page p-3">
        <Composer
          label={`Message to ${agent?.name ?? "the agent"}`}
          placeholder={ended ? "The task has ended" : conversation.runningTurn !== undefined ? "Write the next message; it waits for its turn" : "Write a message"}
          disabled={ended || !agent}
          onSend={sending.send}
          autoFocus
        />
      </div>
      <Spoken items={items} />
    </div>
  );
}

/** The task, and the agent that takes its messages. */
function useTaskFacts(taskId: string): { task?: Task; agent?: Agent; error?: Error } {
  const { gateway } = useSession();
  const [facts, setFacts] = useState<{ task?: Task; agent?: Agent; error?: Error }>({});
  useEffect(() => {
    const stop = new AbortController();
    Promise.all([gateway.task(taskId, stop.signal), gateway.agentOfTask(taskId, stop.signal)])
      .then(([task, agent]) => setFacts(agent ? { task, agent } : { task }))
      .catch((error: Error) => {
        if (!stop.signal.aborted) setFacts({ error });
      });
    return () => stop.abort();
  }, [gateway, taskId]);
  return facts;
}

function useSending(agentName: string | undefined, taskId: string, { conversation, version }: LiveTask) {
  const { gateway } = useSession();
  const [all, setAll] = useState<Outgoing[]>([]);
  const deliver = useCallback(
    async (message: Outgoing) => {
      if (!agentName) return;
      setAll((before) => [...before.filter((each) => each.key !== message.key), { key: message.key, text: message.text, files: message.files }]);
      try {
        const attachments = await upload(gateway, taskId, message.files);
        await gateway.sendText(agentName, taskId, message.text, message.key, attachments);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        setAll((before) => before.map((each) => (each.key === message.key ? { ...each, error: reason } : each)));
      }
    },
    [gateway, agentName, taskId],
  );
  const outgoing = useMemo(
    () => all.filter(({ key }) => !conversation.messages().some((message) => message.idempotency_key === key)),
    [all, conversation, version],
  );
  return { outgoing, send: (text: string, files: File[]) => void deliver({ key: newKey(), text, files }), retry: (message: Outgoing) => void deliver(message) };
}

interface HeaderProps {
  taskId: string;
  task: Task | undefined;
  agent: Agent | undefined;
  live: LiveTask;
  ended: boolean;
}

function Header({ taskId, task, agent, live: { conversation }, ended }: HeaderProps) {
  const { gateway } = useSession();
  const [problem, setProblem] = useState<string>();
  const act = (action: (gateway: GatewayClient) => Promise<unknown>) => {
    setProblem(undefined);
    action(gateway).catch((error: Error) => setProblem(error.message));
  };
  const tokens = (conversation.usage.input_tokens + conversation.usage.output_tokens).toLocaleString();
  return (
    <div className="border-b border-line px-4 py-2">
      <div className="flex flex-wrap items-center gap-2">
        <div className="min-w-0 flex-1">
          <h1 className="truncate font-semibold">{task ? titleOf(task) : "Chat"}</h1>
          <p className="truncate text-xs text-soft">
            {agent && <a className="underline" href={linkTo.agent(agent.name)}>{agent.name}</a>}
            {conversation.agent && agent && !agent.name.endsWith(conversation.agent) && <> → {conversation.agent}</>}
            {" · "}
            <a className="underline" href={linkTo.timeline(taskId)}>timeline</a>
            {conversation.usage.model_calls > 0 && <> · {tokens} tokens</>}
          </p>
        </div>
        {ended ? <Badge tone="plain">{conversation.status === "running" ? "ended" : conversation.status.replace("_", " ")}</Badge> : (
          <>
            <button type="button" className="button" disabled={conversation.runningTurn === undefined} onClick={() => act((gateway) => gateway.interrupt(taskId))}>Stop turn</button>
            <EndTask onComplete={() => act((gateway) => gateway.complete(taskId))} onCancel={() => act((gateway) => gateway.cancel(taskId))} />
          </>
        )}
      </div>
      {problem && <p role="alert" className="mt-1 text-sm text-bad">{problem}</p>}
    </div>
  );
}

/** A task that has ended cannot go on: the user is asked first. */
function EndTask({ onComplete, onCancel }: { onComplete: () => void; onCancel: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const close = (then?: () => void) => {
    dialog.current?.close();
    then?.();
  };
  return (
    <>
      <button type="button" className="button" onClick={() => dialog.current?.showModal()}>End…</button>
      <dialog ref={dialog} aria-labelledby="end-title" className="card m-auto w-[min(28rem,calc(100vw-2rem))] p-5 text-ink">
        <h2 id="end-title" className="font-semibold">End this task?</h2>
        <p className="mt-1 text-sm text-soft">Its messages stay readable. It takes no further ones.</p>
        <div className="mt-4 grid gap-2">
          <button type="button" className="button button-primary" onClick={() => close(onComplete)}>Complete: after the running turn</button>
          <button type="button" className="button button-danger" onClick={() => close(onCancel)}>Cancel: stop at once</button>
          <button type="button" className="button" onClick={() => close()}>Go on</button>
        </div>
      </dialog>
    </>
  );
}

function LinkState({ link }: { link: Link }) {
  const now = useNow(1000, link.state === "waiting");
  switch (link.state) {
    case "connecting":
      return <div className="px-4 py-2"><Spinner label="Loading the conversation…" /></div>;
    case "waiting":
      return (
        <div className="px-4 pt-2">
          <Notice tone="warn" role="status" title="Not connected">
            {link.reason}. Trying again in {duration(Math.max(0, link.until - now))}; nothing is lost.
          </Notice>
        </div>
      );
    case "failed":
      return <div className="px-4 pt-2"><ErrorNotice error={link.error} what="The conversation cannot be followed" /></div>;
    default:
      return null;
  }
}

interface ListProps {
  items: Item[];
  live: LiveTask;
  taskId: string;
  outgoing: Outgoing[];
  onRetry: (message: Outgoing) => void;
}

function List({ items, live, taskId, outgoing, onRetry }: ListProps) {
  const { conversation, version } = live;
  const [count, setCount] = useState(FIRST_ITEMS);
  const scroller = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  const [away, setAway] = useState(false);
  const heightBefore = useRef<number>(undefined);
  const shown = items.slice(Math.max(0, items.length - count));
  const hasOlder = items.length > shown.length;

  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    if (heightBefore.current !== undefined) {
      // What the user looked at stays where it was.
      element.scrollTop += element.scrollHeight - heightBefore.current;
      heightBefore.current = undefined;
    } else if (atEnd.current) element.scrollTop = element.scrollHeight;
  }, [version, count, outgoing.length]);

  const showOlder = () => {
    heightBefore.current = scroller.current?.scrollHeight;
    setCount((before) => before + MORE_ITEMS);
  };
  const scrolled = () => {
    const element = scroller.current;
    if (!element) return;
    atEnd.current = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_END_PX;
    setAway(!atEnd.current);
    // A screen ahead, so that the user does not wait at the top. What is added scrolls the list, which comes here again.
    if (hasOlder && element.scrollTop < element.clientHeight && heightBefore.current === undefined) showOlder();
  };
  const waits = [...conversation.approvals.values()].some(({ approval, decision }) => !decision && approval.turn === conversation.runningTurn);
  const busy = conversation.runningTurn !== undefined && !items.some(isAtWork);
  return (
    <div className="relative min-h-0 flex-1">
      <div ref={scroller} onScroll={scrolled} className="h-full overflow-y-auto px-4 py-4 [overflow-anchor:none]" tabIndex={0} role="log" aria-live="off" aria-label="Conversation">
        {hasOlder && <button type="button" className="button mx-auto mb-4 flex" onClick={showOlder}>Show older messages</button>}
        {!hasOlder && !conversation.complete && <p className="mb-4 text-center text-xs text-soft">What came before is no longer in the log.</p>}
        {/* Blocks and not a grid: a grid would size all its rows again for each that comes. */}
        <ol className="space-y-4">
          {shown.map((item) => (
            <li key={item.key} className="entry min-w-0">
              <ItemView item={item} live={live} taskId={taskId} />
            </li>
          ))}
          {outgoing.map((message) => (
            <li key={message.key} className="ml-auto w-fit max-w-[85%]">
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
          ))}
        </ol>
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
          ↓ Newest
        </button>
      )}
    </div>
  );
}

function isAtWork(item: Item): boolean {
  return item.type === "message" && item.message.status === "in_progress";
}

/** Drawn again with each version of the conversation, and not when older items come before it. */
const ItemView = memo(function ItemView({ item, live: { conversation }, taskId }: { item: Item; live: LiveTask; taskId: string }) {
  switch (item.type) {
    case "message":
      return <MessageView taskId={taskId} message={item.message} queued={conversation.isQueued(item.message)} />;
    case "tool":
      return <ToolCard taskId={taskId} request={item.request} response={item.response} {...toolCardState(conversation, item.request, item.response)} />;
    case "notice":
      return <NoticeView notice={item.notice} conversation={conversation} />;
  }
});

/** What a screen reader says: whole answers, not each piece of one. */
function Spoken({ items }: { items: Item[] }) {
  const [text, setText] = useState("");
  const said = useRef<{ ready: boolean; keys: Set<string> }>({ ready: false, keys: new Set() });
  useEffect(() => {
    const fresh = items.filter((item) => isSpoken(item) && !said.current.keys.has(item.key));
    for (const item of fresh) said.current.keys.add(item.key);
    // What was there when the page opened is read from the list.
    if (!said.current.ready) {
      said.current.ready = items.length > 0;
      return;
    }
    const last = fresh.at(-1);
    if (last) setText(wordsOf(last));
  }, [items]);
  return <p role="status" className="sr-only">{text}</p>;
}

function isSpoken(item: Item): boolean {
  if (item.type === "message") return item.message.author === "agent" && item.message.status !== "in_progress" && item.message.content.type !== "reasoning";
  return item.type === "notice" && item.notice.type !== "attempt_failed";
}

function wordsOf(item: Item): string {
  if (item.type === "message") {
    const { content, agent } = item.message;
    return content.type === "text" ? `${agent}: ${content.text.slice(0, SPOKEN_CHARS)}` : `${agent} sent data`;
  }
  if (item.type !== "notice") return "";
  switch (item.notice.type) {
    case "approval":
      return "An approval is asked for";
    case "turn_failed":
      return `The turn failed: ${item.notice.error.message}`;
    case "handoff":
      return `Handed off to ${item.notice.to}`;
    case "task_ended":
      return "The task has ended";
    default:
      return "";
  }
}
