// A chat: the conversation as it comes, and what the user can do about it.

import { GatewayClient, type Agent, type Task } from "@steadfast/client";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";

import { upload } from "../chat/attachments";
import { Composer } from "../chat/Composer";
import { itemsOf, type Item } from "../chat/items";
import { MessageList, type Outgoing } from "../chat/MessageList";
import { Badge, ErrorNotice, Notice, Spinner } from "../parts/feedback";
import { duration, useNow } from "../state/time";
import { linkTo } from "../state/route";
import { newKey, useSession } from "../state/session";
import { useTask, type Link, type LiveTask } from "../state/task";
import { titleOf } from "./AgentPage";

const SPOKEN_CHARS = 300;

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
      <MessageList items={items} live={live} taskId={taskId} outgoing={sending.outgoing} onRetry={sending.retry} />
      <div className="border-t border-line bg-page p-3">
        <Composer
          label={`Message to ${agent?.name ?? "the agent"}`}
          placeholder={ended ? "The task has ended" : conversation.runningTurn !== undefined ? "Write the next message" : "Write a message"}
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
