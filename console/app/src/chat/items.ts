// From the entries of a conversation to what stands in the list: a tool call and its response are one item. Pure.

import type { Approval, Entry, JsonValue, Message, Notice } from "@steadfast/client";

export type Item =
  | { key: string; type: "message"; message: Message }
  | { key: string; type: "tool"; request: Message | undefined; response: Message | undefined }
  | { key: string; type: "notice"; notice: Notice };

export function itemsOf(entries: Entry[]): Item[] {
  const items: Item[] = [];
  /** Requests that wait for their response, by turn and call. */
  const open = new Map<string, Extract<Item, { type: "tool" }>[]>();
  for (const entry of entries) {
    if (entry.type === "notice") {
      items.push({ key: entry.notice.id, type: "notice", notice: entry.notice });
      continue;
    }
    const { message } = entry;
    const { content } = message;
    const key = `${message.author}/${message.id}`;
    if (content.type === "tool_request") {
      const item = { key, type: "tool" as const, request: message, response: undefined };
      items.push(item);
      const call = `${message.turn}/${content.tool_call_id}`;
      open.set(call, [...(open.get(call) ?? []), item]);
    } else if (content.type === "tool_response") {
      // A model may give two calls of a turn the same id: the first request has the first response.
      const asked = open.get(`${message.turn}/${content.tool_call_id}`)?.shift();
      if (asked) asked.response = message;
      else items.push({ key, type: "tool", request: undefined, response: message });
    } else {
      items.push({ key, type: "message", message });
    }
  }
  return items;
}

/** The arguments of the latest call of the same tool before the one that an approval is about. */
export function argumentsBefore(messages: Message[], approval: Approval): JsonValue | undefined {
  let before: JsonValue | undefined;
  for (const { turn, content } of messages) {
    if (content.type !== "tool_request" || content.name !== approval.tool) continue;
    if (turn === approval.turn && content.tool_call_id === approval.tool_call_id) return before;
    before = content.arguments;
  }
  return before;
}
