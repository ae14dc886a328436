import assert from "node:assert/strict";
import { test } from "node:test";

import { Conversation, type Event, type EventKind, type Message } from "../src/index.js";

const T = (second: number) => `2026-11-23T10:00:${String(second).padStart(2, "0")}Z`;

function message(id: string, author: "user" | "agent", text: string, turn = 1): Message {
  const content = { type: "text", text, format: "plain" } as const;
  return { id, turn, agent: "bank", author, content, status: "done", created_at: T(turn), updated_at: T(turn) };
}

type Step = EventKind & Partial<Pick<Event, "turn" | "attempt" | "path" | "agent">>;

/** A conversation that has read these events, one each second. */
function after(steps: Step[], into = new Conversation(), first = 1): Conversation {
  steps.forEach((step, index) => {
    const event = { turn: 1, attempt: 1, agent: "bank", time: T(first + index), ...step };
    into.take(`1-${first + index}`, event.type, event);
  });
  return into;
}

const shown = (conversation: Conversation) =>
  conversation.entries().map((entry) => (entry.type === "message" ? entry.message.id : entry.notice.type));

const APPROVAL = {
  id: "t.r.1.0.0",
  kind: "tool_call",
  agent: "bank",
  turn: 1,
  tool: "transfer",
  tool_call_id: "c1",
  arguments: { amount: 1 },
  requested_at: T(3),
} as const;

test("an event that comes twice changes nothing", () => {
  const steps: Step[] = [
    { type: "message_started", message_id: "a", content: { type: "text", text: "", format: "plain" } },
    { type: "text_delta", message_id: "a", delta: "once" },
    { type: "handoff", from: "bank", to: "desk" },
  ];
  const conversation = after(steps, after(steps));
  assert.deepEqual(shown(conversation), ["a", "handoff"]);
  assert.deepEqual(conversation.message("a")?.content, { type: "text", text: "once", format: "plain" });
  assert.equal(conversation.position, "1-3");
});

test("what happens between messages stands between them, also after all messages came anew", () => {
  const conversation = after([
    { type: "message_done", message: message("u", "user", "hi") },
    { type: "turn_started" },
    { type: "guardrail_tripped", name: "no-secrets", stage: "input", reason: "a secret" },
    { type: "message_done", message: message("a", "agent", "no") },
    { type: "turn_ended", status: "failed", error: { category: "guardrail", message: "stopped" } },
  ]);
  const expected = ["u", "guardrail", "a", "turn_failed"];
  assert.deepEqual(shown(conversation), expected);
  conversation.take("2-1", "log_reset", { messages: conversation.messages() });
  assert.deepEqual(shown(conversation), expected);
  assert.equal(conversation.position, "2-1");
});

test("a message for a later turn is queued until that turn starts", () => {
  const conversation = after([
    { type: "message_done", message: message("u1", "user", "first") },
    { type: "turn_started" },
    { type: "message_done", message: message("u2", "user", "second", 2), turn: 2 },
  ]);
  const queued = () => conversation.messages().filter((m) => conversation.isQueued(m)).map((m) => m.id);
  assert.deepEqual(queued(), ["u2"]);
  after([{ type: "turn_ended", status: "completed" }, { type: "turn_started", turn: 2 }], conversation, 4);
  assert.deepEqual(queued(), []);
  assert.equal(conversation.runningTurn, 2);
});

test("the first decision of an approval counts, and the wait is on the timeline", () => {
  const conversation = after([
    { type: "turn_started" },
    { type: "approval_requested", approval: APPROVAL },
    { type: "approval_decided", approval_id: APPROVAL.id, verdict: "rejected", by: "alice", reason: "too much" },
    { type: "approval_decided", approval_id: APPROVAL.id, verdict: "approved", by: "bob" },
  ]);
  assert.deepEqual(conversation.approvals.get(APPROVAL.id)?.decision, {
    verdict: "rejected",
    by: "alice",
    reason: "too much",
    at: T(3),
  });
  const wait = conversation.timeline.spans().find((span) => span.kind === "wait");
  assert.deepEqual([wait?.startedAt, wait?.endedAt, wait?.state], [T(2), T(3), "stopped"]);
});

test("a tool call that is tried again shows its attempt, and a turn that ends stops what it left open", () => {
  const conversation = after([
    { type: "turn_started" },
    { type: "model_started", step: 0 },
    { type: "message_started", message_id: "a", content: { type: "text", text: "", format: "plain" } },
    { type: "model_ended", step: 0, usage: { input_tokens: 3, model_calls: 1 } },
    { type: "tool_started", tool_call_id: "c1", name: "transfer" },
    { type: "tool_started", tool_call_id: "c1", name: "transfer", attempt: 2 },
    { type: "turn_ended", status: "interrupted", usage: { input_tokens: 3, model_calls: 1 } },
  ]);
  const spans = conversation.timeline.spans();
  assert.deepEqual(
    spans.map(({ kind, state, attempt, startedAt, endedAt }) => [kind, state, attempt, startedAt, endedAt]),
    [
      ["turn", "stopped", 1, T(1), T(7)],
      ["model", "done", 1, T(2), T(4)],
      ["tool", "stopped", 2, T(5), T(7)],
    ],
  );
  assert.equal(spans[1]?.firstTokenAt, T(3));
  assert.equal(conversation.toolRun(1, "c1")?.attempt, 2);
  assert.equal(conversation.usage.input_tokens, 3);
});

test("what an agent says to the agent that asked it is no message, and can be shown under it", () => {
  const conversation = after([
    { type: "agent_started", name: "critic", path: "1.0.0", agent: "critic" },
    { type: "message_done", message: message("n", "agent", "too long"), path: "1.0.0", agent: "critic" },
    { type: "agent_ended", name: "critic", path: "1.0.0", agent: "critic" },
  ]);
  assert.deepEqual(shown(conversation), ["asked_agent"]);
  const nested = conversation.nested.get("1.0.0");
  assert.deepEqual([nested?.agent, nested?.ended, nested?.fold.messages().length], ["critic", true, 1]);
});

test("what an agent does for another one is in the turn of the call", () => {
  const conversation = after([
    { type: "turn_started", turn: 4 },
    { type: "model_started", step: 0, path: "4.0.0", turn: 1, agent: "critic" },
    { type: "turn_ended", status: "completed", turn: 4 },
  ]);
  const spans = conversation.timeline.spans();
  assert.deepEqual(spans.map(({ kind, turn, state }) => [kind, turn, state]), [["turn", 4, "done"], ["model", 4, "stopped"]]);
});

test("a task that has ended says so once", () => {
  const conversation = after([
    { type: "task_updated", status: "completed" },
    { type: "task_updated", status: "completed" },
  ]);
  assert.deepEqual(shown(conversation), ["task_ended"]);
  assert.equal(conversation.status, "completed");
});
