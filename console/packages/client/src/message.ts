// Messages as people see them: the twin of `eventlog/events/src/message.rs`.

export type JsonValue = null | boolean | number | string | JsonValue[] | { [name: string]: JsonValue };

export type Author = "user" | "agent";
export type MessageStatus = "in_progress" | "done" | "interrupted";
export type TextFormat = "markdown" | "plain" | "code";

/** An image or a file of a message: the twin of `attachments/src/attachment.rs`. */
export interface MessageAttachment {
  kind: "image" | "file";
  name?: string;
  /** Empty where nobody has seen the bytes. */
  media_type?: string;
  source: { stored: { sha256: string; size_bytes: number; location: string } } | { url: string };
}

export type Content =
  | { type: "text"; text: string; format: TextFormat; attachments?: MessageAttachment[] }
  | { type: "reasoning"; summary: string[]; content: string[] }
  | { type: "tool_request"; tool_call_id: string; name: string; arguments: JsonValue }
  | {
      type: "tool_response";
      tool_call_id: string;
      name: string;
      content: JsonValue;
      is_error: boolean;
      /** Size of the result as JSON, where `content` is only its beginning. */
      whole_bytes?: number;
    }
  | { type: "data"; data: JsonValue };

export interface Message {
  id: string;
  /** The key under which a user sent it. */
  idempotency_key?: string;
  turn: number;
  agent: string;
  author: Author;
  content: Content;
  status: MessageStatus;
  created_at: string;
  updated_at: string;
}

/** Content with the members that the wire leaves out where they have their default. */
export function withDefaults(content: Content): Content {
  switch (content.type) {
    case "text":
      return { ...content, format: content.format ?? "plain" };
    case "reasoning":
      return { ...content, summary: content.summary ?? [], content: content.content ?? [] };
    case "tool_response":
      return { ...content, is_error: content.is_error ?? false };
    default:
      return content;
  }
}
