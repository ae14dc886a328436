// What a page shows of a task: its messages, what happened between them, the approvals, and who acts. It takes the
// events of the log one by one, and is pure: no clock, no network. An event that comes twice changes nothing.

import { isAfter, parseEntryId, type EntryId } from "./entry_id.js";
import type { Approval, Decision, Event, TaskStatus, TurnError, TurnStatus, Usage } from "./event.js";
import { Fold } from "./fold.js";
import type { Message } from "./message.js";
import { Timeline } from "./timeline.js";

/** What happened between messages. */
export type Notice = { id: string; time: string; turn: number; agent: string } & (
  | { type: "handoff"; from: string; to: string }
  | { type: "asked_agent"; name: string; path: string }
  | { type: "guardrail"; name: string; stage: "input" | "output"; reason: string }
  | { type: "turn_failed"; error: TurnError }
  | { type: "turn_stopped"; status: Exclude<TurnStatus, "completed" | "failed"> }
  | { type: "message_rejected"; reason: string }
  | { type: "attempt_failed"; category: string; reason: string; retryInMs: number }
  | { type: "tools_unavailable"; tool: string; reason: string }
  | { type: "compacted"; generation: number }
  | { type: "approval"; approvalId: string }
  | { type: "task_ended"; status: TaskStatus; reason: string }
);

export interface ApprovalEntry {
  approval: Approval;
  decision: Decision | undefined;
  /** Of an agent that runs as a tool of this task's agent. */
  path: string;
}

/** When a tool call ran, and how often it was tried. */
export interface ToolRun {
  startedAt: string | undefined;
  endedAt: string | undefined;
  attempt: number;
}

/** What an agent that runs as a tool said. */
export interface NestedRun {
  agent: string;
  fold: Fold;
  ended: boolean;
}

export type Entry =
  | { type: "message"; message: Message }
  | { type: "notice"; notice: Notice };

/** At most so many notices are kept; the oldest go first. A log has at most 50,000 entries unless it is set otherwise. */
const MAX_NOTICES = 20_000;

export class Conversation {
  readonly timeline = new Timeline();
  readonly approvals = new Map<string, ApprovalEntry>();
  /** The agents that run as tools, by their path. */
  readonly nested = new Map<string, NestedRun>();
  status: TaskStatus = "running";
  statusReason = "";
  /** The agent that acts, after handoffs. */
  agent = "";
  /** The turn that runs, if one does. */
  runningTurn: number | undefined;
  /** The latest turn that has started. */
  latestTurn = 0;
  usage: Required<Usage> = { input_tokens: 0, cached_input_tokens: 0, output_tokens: 0, reasoning_tokens: 0, model_calls: 0 };
  /** Messages that the task has taken, by the key of their sender. */
  readonly acceptedKeys = new Set<string>();
  /** Messages that the task has refused, by the key of their sender. */
  readonly rejectedKeys = new Map<string, string>();
  /** Whether the log begins with the task. */
  complete = true;

  #fold = new Fold();
  #last: EntryId | undefined;
  #position = "0";
  #notices: { notice: Notice; after: string | undefined }[] = [];
  #toolRuns = new Map<string, ToolRun>();
  #count = 0;

  /** Where a stream goes on from. */
  get position(): string {
    return this.#position;
  }

  /** The messages, as `GET /messages` has them. */
  messages(): Message[] {
    return this.#fold.messages();
  }

  message(id: string): Message | undefined {
    return this.#fold.message(id);
  }

  toolRun(turn: number, toolCallId: string, path = ""): ToolRun | undefined {
    return this.#toolRuns.get(callKey(turn, toolCallId, path));
  }

  /** Messages and notices in the order in which they are shown. */
  entries(): Entry[] {
    const messages = this.#fold.messages();
    const known = new Set(messages.map(placeOf));
    const after = new Map<string | undefined, Notice[]>();
    for (const { notice, after: place } of this.#notices) {
      const anchor = place !== undefined && known.has(place) ? place : undefined;
      const list = after.get(anchor) ?? [];
      list.push(notice);
      after.set(anchor, list);
    }
    // What belongs to no message any more stands where its time puts it.
    const loose = after.get(undefined) ?? [];
    const entries: Entry[] = [];
    let next = 0;
    for (const message of messages) {
      for (; next < loose.length && loose[next]!.time < message.created_at; next += 1) {
        entries.push({ type: "notice", notice: loose[next]! });
      }
      entries.push({ type: "message", message });
      for (const notice of after.get(placeOf(message)) ?? []) entries.push({ type: "notice", notice });
    }
    for (const notice of loose.slice(next)) entries.push({ type: "notice", notice });
    return entries;
  }

  /** Whether a message of the user waits for turns before its own. */
  isQueued(message: Message): boolean {
    return message.author === "user" && this.status === "running" && message.turn > this.latestTurn;
  }

  /** Takes one event of the stream in. `type` and `data` are those of the server-sent event. */
  take(id: string | undefined, type: string, data: unknown): void {
    const entry = id === undefined ? undefined : parseEntryId(id);
    if (type === "log_reset") {
      this.#reset((data as { messages: Message[] }).messages);
    } else if (type !== "connected" && type !== "error") {
      if (entry && this.#last && !isAfter(entry, this.#last)) return;
      this.#apply(data as Event);
    }
    if (entry) this.#last = entry;
    if (id !== undefined) this.#position = id;
  }

  /** All messages anew: what was read before may lack some. */
  #reset(messages: Message[]): void {
    this.#fold = Fold.from(messages);
    for (const message of messages) {
      this.latestTurn = Math.max(this.latestTurn, message.author === "agent" ? message.turn : 0);
      if (message.idempotency_key) this.acceptedKeys.add(message.idempotency_key);
    }
  }

  #apply(event: Event): void {
    const path = event.path ?? "";
    this.timeline.apply(event);
    if (path) this.#nestedRun(path, event.agent ?? "").fold.applyNested(event);
    else this.#fold.apply(event);
    switch (event.type) {
      case "log_opened":
        this.complete &&= event.complete;
        break;
      case "task_updated":
        this.#taskUpdated(event.status, event.reason ?? "", event);
        break;
      case "message_accepted":
        if (event.idempotency_key) this.acceptedKeys.add(event.idempotency_key);
        break;
      case "message_rejected":
        if (event.idempotency_key) this.rejectedKeys.set(event.idempotency_key, event.reason);
        this.#note(event, { type: "message_rejected", reason: event.reason });
        break;
      case "message_done":
        if (event.message.idempotency_key) this.acceptedKeys.add(event.message.idempotency_key);
        break;
      case "turn_started":
        if (path) break;
        this.runningTurn = event.turn ?? 0;
        this.latestTurn = Math.max(this.latestTurn, event.turn ?? 0);
        break;
      case "turn_ended":
        if (!path) this.#turnEnded(event.status, event.usage ?? {}, event.error, event);
        break;
      case "tool_started": {
        const key = callKey(event.turn ?? 0, event.tool_call_id, path);
        const before = this.#toolRuns.get(key);
        this.#toolRuns.set(key, { startedAt: before?.startedAt ?? event.time, endedAt: undefined, attempt: event.attempt ?? 1 });
        break;
      }
      case "tool_ended": {
        const key = callKey(event.turn ?? 0, event.tool_call_id, path);
        const before = this.#toolRuns.get(key);
        this.#toolRuns.set(key, { startedAt: before?.startedAt, endedAt: event.time, attempt: event.attempt ?? 1 });
        break;
      }
      case "agent_started":
        if (path) {
          const known = this.nested.has(path) && this.#notices.some(({ notice }) => notice.type === "asked_agent" && notice.path === path);
          this.#nestedRun(path, event.name).agent = event.name;
          if (!known) this.#note(event, { type: "asked_agent", name: event.name, path });
        } else this.agent = event.name;
        break;
      case "agent_ended":
        if (path) this.#nestedRun(path, event.name).ended = true;
        break;
      case "handoff":
        if (!path) this.agent = event.to;
        this.#note(event, { type: "handoff", from: event.from, to: event.to });
        break;
      case "guardrail_tripped":
        this.#note(event, { type: "guardrail", name: event.name, stage: event.stage, reason: event.reason ?? "" });
        break;
      case "model_attempt_failed":
        this.#note(event, { type: "attempt_failed", category: event.category, reason: event.reason, retryInMs: event.retry_in_ms });
        break;
      case "tools_unavailable":
        this.#note(event, { type: "tools_unavailable", tool: event.tool, reason: event.reason });
        break;
      case "context_compacted":
        this.#note(event, { type: "compacted", generation: event.generation });
        break;
      case "approval_requested":
        if (!this.approvals.has(event.approval.id)) this.#note(event, { type: "approval", approvalId: event.approval.id });
        this.approvals.set(event.approval.id, {
          approval: event.approval,
          decision: this.approvals.get(event.approval.id)?.decision,
          path,
        });
        break;
      case "approval_decided": {
        const known = this.approvals.get(event.approval_id);
        // The first decision counts.
        if (known && !known.decision) this.approvals.set(event.approval_id, { ...known, decision: decisionOf(event) });
        break;
      }
    }
  }

  #taskUpdated(status: TaskStatus, reason: string, event: Event): void {
    const ended = this.status === "running" && status !== "running";
    this.status = status;
    this.statusReason = reason || this.statusReason;
    if (!ended) return;
    this.runningTurn = undefined;
    this.#note(event, { type: "task_ended", status, reason });
  }

  #turnEnded(status: TurnStatus, usage: Usage, error: TurnError | undefined, event: Event): void {
    this.runningTurn = undefined;
    for (const name of Object.keys(this.usage) as (keyof Usage)[]) this.usage[name] += usage[name] ?? 0;
    if (status === "failed") {
      this.#note(event, { type: "turn_failed", error: error ?? { category: "unknown", message: "the turn failed" } });
    } else if (status !== "completed") {
      this.#note(event, { type: "turn_stopped", status });
    }
  }

  #nestedRun(path: string, agent: string): NestedRun {
    const known = this.nested.get(path);
    if (known) return known;
    const run = { agent, fold: new Fold(), ended: false };
    this.nested.set(path, run);
    return run;
  }

  #note(event: Event, body: NoticeBody): void {
    this.#count += 1;
    const notice = {
      id: `notice-${this.#count}`,
      time: event.time,
      turn: event.turn ?? 0,
      agent: event.agent ?? "",
      ...body,
    } as Notice;
    const last = this.#fold.last();
    this.#notices.push({ notice, after: last ? placeOf(last) : undefined });
    if (this.#notices.length > MAX_NOTICES) this.#notices.shift();
  }
}

type NoticeBody = Notice extends infer N ? (N extends Notice ? Omit<N, "id" | "time" | "turn" | "agent"> : never) : never;

/** A message of a user is never taken for one of the agent, whatever its id. */
function placeOf(message: Message): string {
  return `${message.author}/${message.id}`;
}

function callKey(turn: number, toolCallId: string, path: string): string {
  return JSON.stringify([path, turn, toolCallId]);
}

function decisionOf(event: Extract<Event, { type: "approval_decided" }>): Decision {
  const { verdict, by, reason, answer, at } = event;
  return {
    verdict,
    at: at ?? event.time,
    ...(by === undefined ? {} : { by }),
    ...(reason === undefined ? {} : { reason }),
    ...(answer === undefined ? {} : { answer }),
  };
}
