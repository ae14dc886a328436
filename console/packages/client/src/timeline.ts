// What a task did, on an axis of time: turns, model calls, tool calls and waits for people. Pure.

import type { Event, Usage } from "./event.js";

export type SpanKind = "turn" | "model" | "tool" | "wait";
export type SpanState = "running" | "done" | "failed" | "stopped";

/** Attempts of a call that came to nothing, and the time until the next one began. */
export interface LostAttempts {
  /** The first of them, and how many: one that was lost before its first event is known by the number of the next. */
  attempt: number;
  count: number;
  startedAt: string;
  /** The last that was heard of them. */
  lastAt: string;
  /** When the next attempt began. */
  endedAt: string;
  /** `failure`: the attempt said why it failed. `worker`: it said nothing, because its worker died or was cut off. */
  cause: "worker" | "failure";
}

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
  /** Of a model call; empty where the worker is of a version that did not say it. */
  model: string;
  lost: LostAttempts[];
  /** When the latest attempt began. */
  attemptStartedAt: string;
  /** When the first text of a model call came. */
  firstTokenAt: string | undefined;
  usage: Usage | undefined;
}

/** The attempt of a call that runs, or that ran last. */
interface Attempt {
  number: number;
  startedAt: string;
  lastAt: string;
  failed: boolean;
}

/** At most so many spans are kept; the oldest go first. */
const MAX_SPANS = 10_000;

export class Timeline {
  #spans = new Map<string, Span>();
  #openModel = new Map<string, string>();
  #attempts = new Map<string, Attempt>();

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
        this.#change(id, (span) => ({ model: event.model ?? span.model }));
        this.#openModel.set(model, id);
        break;
      }
      case "model_attempt_failed":
        this.#heardOf(`model|${path}|${turn}|${event.step}`, event, true);
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
          this.#heardOf(id, event);
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
      const lost = this.#lostBefore(id, attempt, event.time);
      const begins = lost.length > 0 ? { attemptStartedAt: event.time, firstTokenAt: undefined, lost: [...before.lost, ...lost] } : {};
      this.#spans.set(id, { ...before, ...begins, attempt: Math.max(before.attempt, attempt), endedAt: undefined, state: "running" });
      return;
    }
    this.#attempts.set(id, { number: attempt, startedAt: event.time, lastAt: event.time, failed: false });
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
      model: "",
      lost: [],
      attemptStartedAt: event.time,
      firstTokenAt: undefined,
      usage: undefined,
    });
    if (this.#spans.size > MAX_SPANS) {
      const oldest = this.#spans.keys().next().value;
      if (oldest !== undefined) {
        this.#spans.delete(oldest);
        this.#attempts.delete(oldest);
      }
    }
  }

  /** What a later attempt says of the ones before it, which are over. */
  #lostBefore(id: string, attempt: number, time: string): LostAttempts[] {
    const before = this.#attempts.get(id);
    if (!before || attempt <= before.number) return [];
    this.#attempts.set(id, { number: attempt, startedAt: time, lastAt: time, failed: false });
    const { number, startedAt, lastAt, failed } = before;
    return [{ attempt: number, count: attempt - number, startedAt, lastAt, endedAt: time, cause: failed ? "failure" : "worker" }];
  }

  #heardOf(id: string, event: Event, failed = false): void {
    const attempt = this.#attempts.get(id);
    if (!attempt || (event.attempt ?? 1) !== attempt.number) return;
    attempt.lastAt = event.time;
    attempt.failed ||= failed;
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

/** What the deaths of workers cost: attempts, and the time from the beginning of each to that of the next. */
export function lostToWorkers(spans: Span[]): { attempts: number; milliseconds: number } {
  const lost = spans.flatMap((span) => span.lost).filter((attempt) => attempt.cause === "worker");
  return {
    attempts: lost.reduce((sum, attempt) => sum + attempt.count, 0),
    milliseconds: lost.reduce((sum, attempt) => sum + Math.max(0, Date.parse(attempt.endedAt) - Date.parse(attempt.startedAt)), 0),
  };
}

/** The turn of the conversation: an agent that runs as a tool counts its own, and its path begins with that of the call. */
function turnOf(event: Event): number {
  return event.path ? Number.parseInt(event.path, 10) || 0 : (event.turn ?? 0);
}

function toolId(event: Event, toolCallId: string): string {
  return `tool|${event.path ?? ""}|${event.turn ?? 0}|${toolCallId}`;
}
