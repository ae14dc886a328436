// What a task did, on an axis of time: turns, model calls, tool calls and waits for people. Pure.

import type { Event, Usage } from "./event.js";

export type SpanKind = "turn" | "model" | "tool" | "wait";
export type SpanState = "running" | "done" | "failed" | "stopped";

export interface Span {
  id: string;
  kind: SpanKind;
  label: string;
  turn: number;
  /** Of an agent that runs as a tool. */
  path: string;
  agent: string;
  startedAt: string;
  endedAt: string | undefined;
  state: SpanState;
  /** The latest attempt that was seen; above 1 where a worker died or a call was repeated. */
  attempt: number;
  detail: string;
  /** When the first text of a model call came. */
  firstTokenAt: string | undefined;
  usage: Usage | undefined;
}

/** At most so many spans are kept; the oldest go first. */
const MAX_SPANS = 10_000;

export class Timeline {
  #spans = new Map<string, Span>();
  #openModel = new Map<string, string>();

  /** In the order in which they began. */
  spans(): Span[] {
    return [...this.#spans.values()];
  }

  apply(event: Event): void {
    const turn = event.turn ?? 0;
    const path = event.path ?? "";
    const model = `${path}|model`;
    switch (event.type) {
      case "turn_started":
        if (!path) this.#open(event, `turn|${turn}`, "turn", `Turn ${turn}`);
        break;
      case "turn_ended":
        if (path) break;
        this.#close(event, `turn|${turn}`, event.status === "completed" ? "done" : event.status === "failed" ? "failed" : "stopped", {
          usage: event.usage,
          detail: event.error ? `${event.error.category}: ${event.error.message}` : "",
        });
        this.#stopAllOf(turn, event.time);
        break;
      case "model_started": {
        const id = `model|${path}|${turn}|${event.step}`;
        this.#open(event, id, "model", `Model call ${event.step + 1}`);
        this.#openModel.set(model, id);
        break;
      }
      case "model_attempt_failed":
        this.#change(`model|${path}|${turn}|${event.step}`, (span) => ({
          detail: [span.detail, `attempt ${event.attempt ?? 1}: ${event.category}: ${event.reason}`].filter(Boolean).join("\n"),
          attempt: Math.max(span.attempt, (event.attempt ?? 1) + 1),
        }));
        break;
      case "model_ended":
        this.#close(event, `model|${path}|${turn}|${event.step}`, "done", { usage: event.usage });
        this.#openModel.delete(model);
        break;
      case "message_started":
      case "text_delta":
      case "reasoning_delta":
      case "reasoning_summary_delta":
      case "tool_arguments_delta": {
        const id = this.#openModel.get(model);
        const attempt = event.attempt ?? 1;
        if (id) {
          this.#change(id, (span) => ({
            firstTokenAt: span.firstTokenAt ?? event.time,
            attempt: Math.max(span.attempt, attempt),
          }));
        }
        break;
      }
      case "tool_started":
        this.#open(event, toolId(event, event.tool_call_id), "tool", event.name);
        break;
      case "tool_ended":
        this.#close(event, toolId(event, event.tool_call_id), event.is_error ? "failed" : "done", {});
        break;
      case "approval_requested":
        this.#open(event, `wait|${event.approval.id}`, "wait", `Approval of ${event.approval.tool}`);
        break;
      case "approval_decided":
        // The first decision counts.
        if (this.#spans.get(`wait|${event.approval_id}`)?.endedAt !== undefined) break;
        this.#close(event, `wait|${event.approval_id}`, event.verdict === "approved" ? "done" : "stopped", {
          detail: [event.verdict, event.by && `by ${event.by}`, event.reason].filter(Boolean).join(" "),
        });
        break;
    }
  }

  #open(event: Event, id: string, kind: SpanKind, label: string): void {
    const before = this.#spans.get(id);
    const attempt = event.attempt ?? 1;
    if (before) {
      // Another attempt of the same work.
      this.#spans.set(id, { ...before, attempt: Math.max(before.attempt, attempt), endedAt: undefined, state: "running" });
      return;
    }
    this.#spans.set(id, {
      id,
      kind,
      label,
      turn: turnOf(event),
      path: event.path ?? "",
      agent: event.agent ?? "",
      startedAt: event.time,
      endedAt: undefined,
      state: "running",
      attempt,
      detail: "",
      firstTokenAt: undefined,
      usage: undefined,
    });
    if (this.#spans.size > MAX_SPANS) {
      const oldest = this.#spans.keys().next().value;
      if (oldest !== undefined) this.#spans.delete(oldest);
    }
  }

  #close(event: Event, id: string, state: SpanState, more: { usage?: Usage | undefined; detail?: string }): void {
    this.#change(id, (span) => ({
      endedAt: event.time,
      state,
      attempt: Math.max(span.attempt, event.attempt ?? 1),
      usage: more.usage ?? span.usage,
      detail: [span.detail, more.detail].filter(Boolean).join("\n"),
    }));
  }

  #change(id: string, change: (span: Span) => Partial<Span>): void {
    const span = this.#spans.get(id);
    if (span) this.#spans.set(id, { ...span, ...change(span) });
  }

  /** What a turn that has ended left open has been stopped. */
  #stopAllOf(turn: number, time: string): void {
    for (const span of this.#spans.values()) {
      if (span.turn === turn && span.state === "running") {
        this.#spans.set(span.id, { ...span, state: "stopped", endedAt: time });
      }
    }
  }
}

/** The turn of the conversation: an agent that runs as a tool counts its own, and its path begins with that of the call. */
function turnOf(event: Event): number {
  return event.path ? Number.parseInt(event.path, 10) || 0 : (event.turn ?? 0);
}

function toolId(event: Event, toolCallId: string): string {
  return `tool|${event.path ?? ""}|${event.turn ?? 0}|${toolCallId}`;
}
