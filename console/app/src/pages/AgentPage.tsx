// One agent: begin a chat, or go on with one.

import { ApiError, type Agent, type TaskSummary } from "@steadfast/client";
import { useEffect, useRef, useState } from "react";

import { upload } from "../chat/attachments";
import { Composer } from "../chat/Composer";
import { Badge, ErrorNotice, Notice, Spinner, type Tone } from "../parts/feedback";
import { clockTime } from "../state/time";
import { usePoll } from "../state/poll";
import { goTo, linkTo } from "../state/route";
import { newKey, useSession } from "../state/session";
import { AgentBadge, Parts } from "./AgentsPage";

const PERIOD_MS = 4000;
const PAGE = 30;
/** The title of a chat is the beginning of its first message. */
const TITLE_CHARS = 80;

export function AgentPage({ name }: { name: string }) {
  const { gateway } = useSession();
  const { value: agent, error } = usePoll((signal) => gateway.agent(name, signal), PERIOD_MS);
  const unknown = error instanceof ApiError && error.status === 404;
  const start = useStart(name);
  return (
    <div className="h-full overflow-y-auto">
      <div className="mx-auto grid max-w-3xl gap-5 p-4">
        <div>
          <div className="flex flex-wrap items-center gap-2">
            <h1 className="text-xl font-semibold wrap-anywhere">{name}</h1>
            {agent && <AgentBadge agent={agent} />}
          </div>
          {agent?.description && <p className="mt-1 text-soft">{agent.description}</p>}
          {agent && <Parts agent={agent} />}
        </div>
        {error && !unknown && <ErrorNotice error={error} what="The agent cannot be read now" />}
        {unknown && <Notice tone="bad" role="alert" title="This agent does not exist, or you may not see it" />}
        {agent && !unknown && <NotReady agent={agent} />}
        <section aria-label="New chat" className="grid gap-2">
          <Composer label={`Message to ${name}`} placeholder="Begin a chat" disabled={start.busy || unknown} onSend={start.start} autoFocus />
          {start.busy && <Spinner label="Starting…" />}
          {start.error && (
            <Notice tone="bad" role="alert" title="The chat could not be started">
              {start.error.message}{" "}
              <button type="button" className="underline" onClick={start.again}>Try again</button>
            </Notice>
          )}
        </section>
        <Tasks agentName={name} />
      </div>
    </div>
  );
}

function NotReady({ agent }: { agent: Agent }) {
  if (agent.status === "Ready") return null;
  return (
    <Notice tone={agent.status === "Unhealthy" ? "warn" : "plain"} role="status" title="This agent is not ready">
      {agent.status_reason || "Its operator has not looked at it yet."} Messages are kept, and answered when it is.
    </Notice>
  );
}

interface FirstMessage {
  text: string;
  files: File[];
  key: string;
}

/** Starts a task with its first message. Trying again starts the same one. */
function useStart(agentName: string) {
  const { gateway } = useSession();
  const [state, setState] = useState<{ busy: boolean; error?: Error; first?: FirstMessage }>({ busy: false });
  const start = async (first: FirstMessage) => {
    const { text, files, key } = first;
    setState({ busy: true, first });
    try {
      const title = (text.trim() || files.map((file) => file.name).join(", ")).replace(/\s+/g, " ").slice(0, TITLE_CHARS);
      const task = await gateway.createTask(agentName, { task_metadata: { display_name: title } }, key);
      await gateway.sendText(agentName, task.id, text, `${key}-1`, await upload(gateway, task.id, files));
      goTo(linkTo.task(task.id));
    } catch (error) {
      setState({ busy: false, error: error instanceof Error ? error : new Error(String(error)), first });
    }
  };
  return {
    busy: state.busy,
    error: state.error,
    start: (text: string, files: File[]) => void start({ text, files, key: newKey() }),
    again: () => {
      if (state.first) void start(state.first);
    },
  };
}

function Tasks({ agentName }: { agentName: string }) {
  const { gateway } = useSession();
  const { value: newest, error } = usePoll((signal) => gateway.tasks({ agentName, limit: PAGE }, signal), PERIOD_MS);
  const [older, setOlder] = useState<TaskSummary[]>([]);
  const [page, setPage] = useState(2);
  const [more, setMore] = useState(true);
  const load = async () => {
    const next = await gateway.tasks({ agentName, limit: PAGE, page });
    setOlder((before) => [...before, ...next]);
    setPage(page + 1);
    setMore(next.length === PAGE);
  };
  const end = useSeen(() => void load().catch(() => undefined), more && newest?.length === PAGE);
  const known = new Set(newest?.map((task) => task.id));
  const all = [...(newest ?? []), ...older.filter((task) => !known.has(task.id))];
  if (error instanceof ApiError && error.status === 404) return null;
  return (
    <section aria-labelledby="chats">
      <h2 id="chats" className="mb-2 font-semibold">Chats</h2>
      {error && <ErrorNotice error={error} what="The chats cannot be listed now" />}
      {newest === undefined && !error && <Spinner label="Loading chats…" />}
      {newest?.length === 0 && <p className="text-soft">None yet.</p>}
      <ul className="grid gap-1">
        {all.map((task) => (
          <li key={task.id}>
            <a href={linkTo.task(task.id)} className="flex flex-wrap items-center gap-2 rounded-md px-2 py-2 hover:bg-sunken">
              <span className="min-w-0 flex-1 truncate">{titleOf(task)}</span>
              <StatusBadge status={task.status} />
              <time className="text-xs text-soft" dateTime={task.created_at}>{clockTime(task.created_at)}</time>
            </a>
          </li>
        ))}
      </ul>
      <div ref={end} />
    </section>
  );
}

/** Calls when the element comes into view. */
export function useSeen(seen: () => void, enabled: boolean) {
  const element = useRef<HTMLDivElement>(null);
  const latest = useRef(seen);
  latest.current = seen;
  useEffect(() => {
    if (!enabled || !element.current) return;
    const observer = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) latest.current();
    });
    observer.observe(element.current);
    return () => observer.disconnect();
  });
  return element;
}

/** The title that its client gave the task, its name, or the beginning of its id. */
export function titleOf(task: { id: string; name?: string | null; task_metadata?: unknown }): string {
  const metadata = task.task_metadata;
  if (typeof metadata === "object" && metadata !== null && "display_name" in metadata) {
    const title = (metadata as { display_name: unknown }).display_name;
    if (typeof title === "string" && title.trim()) return title;
  }
  return task.name || `Task ${task.id.slice(0, 8)}`;
}

const TONES: Record<TaskSummary["status"], Tone> = {
  RUNNING: "good",
  COMPLETED: "plain",
  FAILED: "bad",
  CANCELED: "plain",
  TERMINATED: "bad",
  TIMED_OUT: "bad",
};

export function StatusBadge({ status }: { status: TaskSummary["status"] }) {
  return <Badge tone={TONES[status]}>{status.toLowerCase().replace("_", " ")}</Badge>;
}
