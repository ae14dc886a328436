// A tool call: request and response together.

import type { Conversation, JsonValue, Message } from "@steadfast/client";
import { memo, useState } from "react";

import { DataView } from "../parts/DataView";
import { Badge } from "../parts/feedback";
import { between, useNow } from "../state/time";
import { useSession } from "../state/session";

interface Props {
  taskId: string;
  request: Message | undefined;
  response: Message | undefined;
  startedAt: string | undefined;
  endedAt: string | undefined;
  attempt: number;
  /** The turn has ended: nothing follows. */
  over: boolean;
  waiting: boolean;
}

export const ToolCard = memo(function ToolCard({ taskId, request, response, startedAt, endedAt, attempt, over, waiting }: Props) {
  const asked = request?.content.type === "tool_request" ? request.content : undefined;
  const got = response?.content.type === "tool_response" ? response.content : undefined;
  const running = !got && !over;
  const begin = startedAt ?? request?.created_at ?? response?.created_at;
  const end = endedAt ?? response?.created_at;
  const state = got ? (got.is_error ? "failed" : "done") : waiting ? "waits for approval" : over ? "did not finish" : "running";
  const tone = got ? (got.is_error ? "bad" : "good") : waiting ? "warn" : "plain";
  return (
    <details className="card" open={got?.is_error || undefined} data-message-id={request?.id ?? response?.id} data-response-id={response?.id}>
      <summary className="flex flex-wrap items-center gap-2 px-3 py-2 text-sm">
        <span aria-hidden="true">⚙</span>
        <span>
          {running ? "Using" : "Used"} <code className="font-mono">{asked?.name ?? got?.name}</code>
        </span>
        <Badge tone={tone}>{state}</Badge>
        {attempt > 1 && <Badge tone="warn">attempt {attempt}</Badge>}
        {begin && !waiting && <span className="text-xs text-soft">{end ? between(begin, end) : running ? <Elapsed since={begin} /> : null}</span>}
      </summary>
      <div className="grid gap-3 border-t border-line px-3 py-3">
        {asked && (
          <div>
            <p className="mb-1 text-xs font-medium text-soft">Arguments</p>
            <DataView value={asked.arguments} label={`Arguments of ${asked.name}`} />
          </div>
        )}
        {got && <Result taskId={taskId} message={response!} content={got} />}
      </div>
    </details>
  );
});

export function Elapsed({ since }: { since: string }) {
  const now = useNow(1000);
  return <>{between(since, Math.max(now, Date.parse(since)))}</>;
}

type ToolResponse = Extract<Message["content"], { type: "tool_response" }>;

function Result({ taskId, message, content }: { taskId: string; message: Message; content: ToolResponse }) {
  const { gateway } = useSession();
  const [whole, setWhole] = useState<{ value?: JsonValue; error?: string; loading?: boolean }>({});
  const load = async () => {
    setWhole({ loading: true });
    try {
      const read = await gateway.message(taskId, message.id);
      setWhole({ value: (read.content as unknown as { content: JsonValue }).content });
    } catch (error) {
      setWhole({ error: error instanceof Error ? error.message : String(error) });
    }
  };
  const value = whole.value ?? content.content;
  return (
    <div>
      <p className="mb-1 text-xs font-medium text-soft">{content.is_error ? "Error" : "Result"}</p>
      <Steps value={value} />
      <DataView value={value} label={`${content.is_error ? "Error" : "Result"} of ${content.name}`} />
      {content.whole_bytes !== undefined && whole.value === undefined && (
        <p className="mt-1 text-xs text-soft">
          Only the beginning of {Math.ceil(content.whole_bytes / 1024)} KB.{" "}
          <button type="button" className="underline" disabled={whole.loading} onClick={() => void load()}>
            {whole.loading ? "Loading…" : "Load all of it"}
          </button>
          {whole.error && <span role="alert"> {whole.error}</span>}
        </p>
      )}
    </div>
  );
}

/** What became of the steps of a tool of kind `steps` that failed. */
function Steps({ value }: { value: JsonValue }) {
  if (typeof value !== "object" || value === null || Array.isArray(value) || typeof value.failed_step !== "string") return null;
  const names = (list: JsonValue | undefined) =>
    Array.isArray(list)
      ? list.map((each) => (typeof each === "string" ? each : typeof each === "object" && each !== null && !Array.isArray(each) ? String(each.step ?? each.name ?? JSON.stringify(each)) : String(each)))
      : [];
  const rows: [string, string[]][] = [
    ["Failed", [value.failed_step]],
    ["Undone", names(value.undone)],
    ["Not undone", names(value.not_undone)],
    ["Outcome unknown: a person should check", names(value.unknown_outcome)],
  ];
  return (
    <dl className="mb-2 grid gap-1 text-sm">
      {rows.map(([label, steps]) =>
        steps.length === 0 ? null : (
          <div key={label} className="flex flex-wrap gap-2">
            <dt className="font-medium">{label}:</dt>
            <dd>{steps.join(", ")}</dd>
          </div>
        ),
      )}
    </dl>
  );
}

/** The rest of what the card needs, from the conversation. */
export function toolCardState(conversation: Conversation, request: Message | undefined, response: Message | undefined) {
  const message = request ?? response;
  const content = message?.content;
  const id = content?.type === "tool_request" || content?.type === "tool_response" ? content.tool_call_id : "";
  const turn = message?.turn ?? 0;
  const run = conversation.toolRun(turn, id);
  const waiting = [...conversation.approvals.values()].some(
    ({ approval, decision }) => !decision && approval.turn === turn && approval.tool_call_id === id,
  );
  const over = conversation.status !== "running" || conversation.runningTurn !== turn;
  return { startedAt: run?.startedAt, endedAt: run?.endedAt, attempt: run?.attempt ?? 1, over, waiting: waiting && !over };
}
