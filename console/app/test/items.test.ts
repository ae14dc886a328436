import assert from "node:assert/strict";
import { test } from "node:test";

import type { Approval, Content, Entry, JsonValue, Message } from "@steadfast/client";

import { argumentsBefore, itemsOf } from "../src/chat/items.js";

const TIME = "2026-11-23T10:00:00Z";

function message(id: string, turn: number, content: Content): Message {
  return { id, turn, agent: "a", author: "agent", content, status: "done", created_at: TIME, updated_at: TIME };
}

const request = (id: string, turn: number, call: string, args: JsonValue, name = "pay") => message(id, turn, { type: "tool_request", tool_call_id: call, name, arguments: args });
const response = (id: string, turn: number, call: string) => message(id, turn, { type: "tool_response", tool_call_id: call, name: "pay", content: id, is_error: false });

function approvalOf(turn: number, call: string): Approval {
  return { id: "t", kind: "tool_call", agent: "a", turn, tool: "pay", tool_call_id: call, arguments: {}, requested_at: TIME };
}

/** Each item as the ids of its request and its response. */
function cards(messages: Message[]): string[] {
  const entries = messages.map((message): Entry => ({ type: "message", message }));
  return itemsOf(entries).map((item) => (item.type === "tool" ? `${item.request?.id ?? "-"}+${item.response?.id ?? "-"}` : item.key));
}

test("a call and its response are one card where the call stands, also where a model repeats an id", () => {
  assert.deepEqual(cards([request("q1", 1, "c", 1), request("q2", 1, "d", 2), response("r2", 1, "d"), response("r1", 1, "c")]), ["q1+r1", "q2+r2"]);
  assert.deepEqual(cards([request("q1", 1, "c", 1), request("q2", 1, "c", 2), response("r1", 1, "c"), response("r2", 1, "c")]), ["q1+r1", "q2+r2"]);
  // Of another turn it is another call, and a response without its call has a card of its own.
  assert.deepEqual(cards([request("q1", 1, "c", 1), response("r2", 2, "c")]), ["q1+-", "-+r2"]);
});

test("the call before is the latest one of the same tool that an approval is not about", () => {
  const messages = [request("q1", 1, "c", "first"), request("q2", 1, "d", "other", "look_up"), request("q3", 2, "c", "second"), request("q4", 2, "e", "third")];
  assert.equal(argumentsBefore(messages, approvalOf(1, "c")), undefined);
  assert.equal(argumentsBefore(messages, approvalOf(2, "c")), "first");
  assert.equal(argumentsBefore(messages, approvalOf(2, "e")), "second");
});
