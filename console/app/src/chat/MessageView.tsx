// One message as what it is: text, reasoning or data.

import type { Message } from "@steadfast/client";
import { memo, useDeferredValue } from "react";

import { DataView } from "../parts/DataView";
import { Badge } from "../parts/feedback";
import { Markdown } from "../parts/Markdown";
import { between, clockTime } from "../state/time";
import { AttachmentView } from "./AttachmentView";
import { Elapsed } from "./ToolCard";

/** A longer answer is not tried as JSON. */
const MAX_STRUCTURED_CHARS = 200_000;

export const MessageView = memo(function MessageView({ taskId, message, queued }: { taskId: string; message: Message; queued: boolean }) {
  if (message.content.type === "reasoning") return <Reasoning message={message} content={message.content} />;
  const fromUser = message.author === "user";
  return (
    <article aria-label={fromUser ? "You" : message.agent} className={fromUser ? "ml-auto w-fit max-w-[85%]" : "max-w-full"}>
      <p className={`mb-1 flex items-center gap-2 text-xs text-soft ${fromUser ? "justify-end" : ""}`}>
        <span className="font-medium">{fromUser ? "You" : message.agent}</span>
        <time dateTime={message.created_at}>{clockTime(message.created_at)}</time>
        {queued && <Badge tone="plain">queued</Badge>}
        {message.status === "interrupted" && <Badge tone="warn">interrupted</Badge>}
      </p>
      <div className={fromUser ? "rounded-lg bg-sunken px-3 py-2" : ""}>
        <div data-message-id={message.id} data-status={message.status} aria-busy={message.status === "in_progress"}>
          <Body message={message} />
        </div>
        {message.content.type === "text" && message.content.attachments && (
          <div className="mt-2 grid gap-2">
            {message.content.attachments.map((attachment, place) => <AttachmentView key={place} taskId={taskId} attachment={attachment} />)}
          </div>
        )}
      </div>
    </article>
  );
});

function Body({ message }: { message: Message }) {
  const { content } = message;
  // A long answer that grows must not stop the typing.
  const text = useDeferredValue(content.type === "text" ? content.text : "");
  if (content.type === "data") return <DataView value={content.data} label="Data" />;
  if (content.type !== "text") return null;
  if (message.author === "user") return <div className="whitespace-pre-wrap wrap-anywhere">{content.text}</div>;
  if (content.format === "code") {
    return <pre tabIndex={0} className="overflow-x-auto rounded-md bg-sunken p-3 font-mono text-[13px]">{content.text}</pre>;
  }
  const structured = message.status === "done" ? structureOf(content.text) : undefined;
  if (structured !== undefined) return <DataView value={structured} label="Structured answer" />;
  if (content.format === "plain") return <div className="whitespace-pre-wrap wrap-anywhere">{content.text}</div>;
  return <Markdown text={text} />;
}

/** The object or list that an agent with a schema for its output answers with. */
function structureOf(text: string) {
  const trimmed = text.trim();
  if (!/^[[{]/.test(trimmed) || trimmed.length > MAX_STRUCTURED_CHARS) return undefined;
  try {
    const value: unknown = JSON.parse(trimmed);
    return typeof value === "object" && value !== null ? (value as Extract<Message["content"], { type: "data" }>["data"]) : undefined;
  } catch {
    return undefined;
  }
}

/** Less than a second is a figure that helps nobody. */
function thoughtFor({ created_at: begin, updated_at: end }: Message): string {
  return Date.parse(end) - Date.parse(begin) < 1000 ? "Thought for a moment" : `Thought for ${between(begin, end)}`;
}

type ReasoningContent = Extract<Message["content"], { type: "reasoning" }>;

function Reasoning({ message, content }: { message: Message; content: ReasoningContent }) {
  const busy = message.status === "in_progress";
  const whole = content.content.length > 0 ? content.content : content.summary;
  return (
    <details className="text-sm text-soft" data-message-id={message.id} data-status={message.status}>
      <summary className="w-fit">
        {busy ? (
          <span>Thinking… <Elapsed since={message.created_at} /></span>
        ) : (
          thoughtFor(message)
        )}
      </summary>
      <div className="mt-1 grid gap-2 border-l-2 border-line pl-3">
        {whole.map((part, index) => <Markdown key={index} text={part} />)}
        {content.content.length > 0 && content.summary.length > 0 && (
          <details>
            <summary>Summary</summary>
            {content.summary.map((part, index) => <Markdown key={index} text={part} />)}
          </details>
        )}
        {whole.length === 0 && <p>The model does not show its reasoning.</p>}
      </div>
    </details>
  );
}
