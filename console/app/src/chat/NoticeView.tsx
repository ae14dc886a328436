// What happened between messages: who took over, what stopped a turn, what a person is asked.

import type { ApprovalEntry, Conversation, Notice as Note } from "@steadfast/client";
import { useMemo, type ReactNode } from "react";

import { ApprovalCard } from "../parts/ApprovalCard";
import { Notice } from "../parts/feedback";
import { Markdown } from "../parts/Markdown";
import { duration } from "../state/time";
import { hintFor } from "../state/hints";
import { argumentsBefore } from "./items";

export function NoticeView({ notice, conversation }: { notice: Note; conversation: Conversation }) {
  switch (notice.type) {
    case "handoff":
      return <Line>{notice.from} handed off to <strong>{notice.to}</strong></Line>;
    case "asked_agent":
      return <AskedAgent notice={notice} conversation={conversation} />;
    case "guardrail":
      return (
        <Notice tone="warn" title={`The guardrail ${notice.name} stopped the ${notice.stage === "input" ? "message" : "answer"}`}>
          {notice.reason || "It gave no reason."} {notice.stage === "input" ? "Say it in another way." : "Ask again, or in another way."}
        </Notice>
      );
    case "turn_failed":
      return (
        <Notice tone="bad" title={`The turn failed: ${notice.error.category}`}>
          <p className="whitespace-pre-wrap">{notice.error.message}</p>
          <p className="mt-1 text-soft">{hintFor(notice.error.category)}</p>
        </Notice>
      );
    case "turn_stopped":
      return <Line>The turn was {notice.status}</Line>;
    case "message_rejected":
      return <Notice tone="bad" title="A message was refused">{notice.reason}</Notice>;
    case "attempt_failed":
      return <Line>A model call failed ({notice.category}: {notice.reason}); tried again after {duration(notice.retryInMs)}</Line>;
    case "tools_unavailable":
      return <Notice tone="warn" title={`The tools of ${notice.tool} are missing in this model call`}>{notice.reason}</Notice>;
    case "compacted":
      return <Line>The model goes on from a summary of the conversation so far</Line>;
    case "approval": {
      const entry = conversation.approvals.get(notice.approvalId);
      return entry ? <AskedPerson entry={entry} conversation={conversation} /> : null;
    }
    case "task_ended":
      return (
        <Notice tone={notice.status === "completed" ? "good" : notice.status === "canceled" ? "plain" : "bad"} title={`The task has ended: ${notice.status.replace("_", " ")}`}>
          {notice.reason || undefined}
        </Notice>
      );
  }
}

function AskedPerson({ entry: { approval, decision, path }, conversation }: { entry: ApprovalEntry; conversation: Conversation }) {
  const over = conversation.status !== "running" || conversation.runningTurn !== approval.turn;
  const before = useMemo(() => (path ? undefined : argumentsBefore(conversation.messages(), approval)), [conversation, approval, path]);
  // The turn of a nested agent counts in its own task.
  return <ApprovalCard approval={approval} decision={decision} before={before} over={path ? conversation.runningTurn === undefined : over} />;
}

function Line({ children }: { children: ReactNode }) {
  return <p className="border-l-2 border-line pl-3 text-sm text-soft wrap-anywhere">{children}</p>;
}

function AskedAgent({ notice, conversation }: { notice: Extract<Note, { type: "asked_agent" }>; conversation: Conversation }) {
  const run = conversation.nested.get(notice.path);
  const messages = run?.fold.messages() ?? [];
  return (
    <details className="border-l-2 border-line pl-3 text-sm text-soft">
      <summary>
        Asked the agent <strong>{notice.name}</strong>{run && !run.ended ? ", which is at work" : ""}
      </summary>
      <div className="mt-2 grid gap-2 text-ink">
        {messages.map((message) => (
          <div key={message.id}>
            {message.content.type === "text" && <Markdown text={message.content.text} />}
            {message.content.type === "tool_request" && <p className="text-soft">Used <code>{message.content.name}</code></p>}
          </div>
        ))}
        {messages.length === 0 && <p className="text-soft">It has said nothing yet.</p>}
      </div>
    </details>
  );
}
