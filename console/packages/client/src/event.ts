// The events of a task's log: the twin of `eventlog/events/src/event.rs`. Readers ignore types that they do not know.

import type { Content, JsonValue, Message } from "./message.js";

export type TaskStatus = "running" | "completed" | "failed" | "canceled" | "terminated" | "timed_out";
export type TurnStatus = "completed" | "failed" | "interrupted" | "canceled";
export type Verdict = "approved" | "rejected" | "expired" | "withdrawn";
export type ApprovalKind = "tool_call" | "question" | "elicitation";

/** Tokens, as the provider counted them, and model calls; a count of 0 may be absent. */
export interface Usage {
  input_tokens?: number;
  cached_input_tokens?: number;
  output_tokens?: number;
  reasoning_tokens?: number;
  model_calls?: number;
}

export interface TurnError {
  category: string;
  message: string;
}

/** A question to a person. */
export interface Approval {
  id: string;
  kind: ApprovalKind;
  agent: string;
  turn: number;
  tool: string;
  tool_call_id: string;
  /** Exactly what runs when it is approved. */
  arguments: JsonValue;
  /** The arguments are cut: this is no basis for a decision. */
  arguments_truncated?: boolean;
  requester?: string;
  prompt?: string;
  /** JSON Schema of the answer; absent when there is only yes and no. */
  form?: JsonValue;
  requested_at: string;
  expires_at?: string;
}

export interface Decision {
  verdict: Verdict;
  by?: string;
  reason?: string;
  answer?: JsonValue;
  at?: string;
}

export type EventKind =
  | { type: "log_opened"; complete: boolean }
  | { type: "task_updated"; status: TaskStatus; reason?: string }
  | { type: "message_accepted"; message_id: string; idempotency_key?: string }
  | { type: "message_rejected"; message_id: string; idempotency_key?: string; reason: string }
  | { type: "turn_started" }
  | { type: "turn_ended"; status: TurnStatus; usage?: Usage; error?: TurnError }
  | { type: "message_started"; message_id: string; content: Content }
  | { type: "text_delta"; message_id: string; delta: string }
  | { type: "reasoning_delta"; message_id: string; index: number; delta: string }
  | { type: "reasoning_summary_delta"; message_id: string; index: number; delta: string }
  | { type: "tool_arguments_delta"; message_id: string; delta: string }
  | { type: "message_done"; message: Message }
  | { type: "message_reset"; message_id: string }
  | { type: "model_started"; step: number; model?: string }
  | { type: "model_attempt_failed"; step: number; category: string; reason: string; retry_in_ms: number }
  | { type: "model_ended"; step: number; usage?: Usage }
  | { type: "tool_started"; tool_call_id: string; name: string }
  | { type: "tool_ended"; tool_call_id: string; name: string; is_error: boolean }
  | { type: "agent_started"; name: string }
  | { type: "agent_ended"; name: string }
  | { type: "handoff"; from: string; to: string }
  | { type: "approval_requested"; approval: Approval }
  | ({ type: "approval_decided"; approval_id: string } & Decision)
  | { type: "guardrail_tripped"; name: string; stage: "input" | "output"; reason?: string }
  | { type: "context_compacted"; generation: number }
  | { type: "tools_unavailable"; tool: string; reason: string };

/** One entry of the log. Absent members have the defaults of `eventlog/events/src/event.rs`. */
export type Event = EventKind & {
  turn?: number;
  /** Attempt of the activity that produced the event, counted from 1. */
  attempt?: number;
  agent?: string;
  /** In an agent that runs as a tool: the calls that lead to it, each `<turn>.<step>.<index>`, joined by `/`. */
  path?: string;
  time: string;
};
