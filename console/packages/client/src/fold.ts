// From events to messages, as a pure function: the twin of `eventlog/events/src/fold.rs`, held to the same vectors in
// `eventlog/events/tests/vectors`. A finished message is final; started messages and their deltas are a preview that
// may be retracted. A message is never changed in place, so that a view may compare by identity.

import type { Event } from "./event.js";
import { withDefaults, type Author, type Content, type JsonValue, type Message } from "./message.js";

/** Limit for the parts of a reasoning message. */
const MAX_REASONING_PARTS = 4096;

interface Slot {
  message: Message | undefined;
  /** The latest attempt that wrote it. Events of an earlier attempt that still runs are ignored. */
  attempt: number;
}

/** Folds a whole log. */
export function fold(events: Iterable<Event>): Message[] {
  const state = new Fold();
  for (const event of events) state.apply(event);
  return state.messages();
}

/** The messages so far; takes one event after the other. */
export class Fold {
  /** In order of first appearance; a retracted message keeps its place. */
  #slots: Slot[] = [];
  // Apart from each other: no message of a user takes the place of one of the agent, whatever its id.
  #ofAgent = new Map<string, number>();
  #ofUsers = new Map<string, number>();

  /** A fold that has these messages already, as after `log_reset`. */
  static from(messages: Iterable<Message>): Fold {
    const state = new Fold();
    for (const message of messages) state.#done(message, 1);
    return state;
  }

  /** Applies the next event of the log. An agent that runs as a tool is not part of the conversation. */
  apply(event: Event): void {
    if (!event.path) this.applyNested(event);
  }

  /** Applies an event wherever it comes from: for the messages of an agent that runs as a tool. */
  applyNested(event: Event): void {
    switch (event.type) {
      case "message_started":
        return this.#start(event, event.message_id, event.content);
      case "text_delta":
        return this.#extend(event, event.message_id, (content) =>
          content.type === "text" ? { ...content, text: content.text + event.delta } : content,
        );
      case "reasoning_delta":
        return this.#extend(event, event.message_id, (content) =>
          content.type === "reasoning"
            ? { ...content, content: extendPart(content.content, event.index, event.delta) }
            : content,
        );
      case "reasoning_summary_delta":
        return this.#extend(event, event.message_id, (content) =>
          content.type === "reasoning"
            ? { ...content, summary: extendPart(content.summary, event.index, event.delta) }
            : content,
        );
      case "tool_arguments_delta":
        return this.#extend(event, event.message_id, (content) =>
          content.type === "tool_request"
            ? { ...content, arguments: extendArguments(content.arguments, event.delta) }
            : content,
        );
      case "message_done":
        return this.#done(event.message, attemptOf(event));
      case "message_reset":
        return this.#reset(event.message_id, attemptOf(event));
    }
  }

  /** The messages in order of first appearance. */
  messages(): Message[] {
    return this.#slots.flatMap((slot) => (slot.message ? [slot.message] : []));
  }

  /** One message by its id; one of the agent before one of a user. */
  message(id: string): Message | undefined {
    const place = this.#place(id);
    return place === undefined ? undefined : this.#slots[place]?.message;
  }

  /** The message that stands last, also while the one after it is retracted. */
  last(): Message | undefined {
    return this.#slots.findLast((slot) => slot.message)?.message;
  }

  #place(id: string): number | undefined {
    return this.#ofAgent.get(id) ?? this.#ofUsers.get(id);
  }

  #slot(author: Author, id: string, attempt: number): Slot {
    const places = author === "agent" ? this.#ofAgent : this.#ofUsers;
    const place = places.get(id);
    const known = place === undefined ? undefined : this.#slots[place];
    if (known) {
      known.attempt = Math.max(known.attempt, attempt);
      return known;
    }
    const slot: Slot = { message: undefined, attempt };
    places.set(id, this.#slots.length);
    this.#slots.push(slot);
    return slot;
  }

  #start(event: Event, id: string, content: Content): void {
    const attempt = attemptOf(event);
    const place = this.#ofAgent.get(id);
    const slot = place === undefined ? undefined : this.#slots[place];
    if (slot) {
      const done = slot.message !== undefined && slot.message.status !== "in_progress";
      // A finished message starts anew only for a later attempt.
      if (attempt < slot.attempt || (done && attempt === slot.attempt)) return;
    }
    this.#slot("agent", id, attempt).message = {
      id,
      turn: event.turn ?? 0,
      agent: event.agent ?? "",
      author: "agent",
      content: withDefaults(content),
      status: "in_progress",
      created_at: event.time,
      updated_at: event.time,
    };
  }

  #extend(event: Event, id: string, change: (content: Content) => Content): void {
    const place = this.#ofAgent.get(id);
    const slot = place === undefined ? undefined : this.#slots[place];
    if (!slot || attemptOf(event) < slot.attempt || slot.message?.status !== "in_progress") return;
    slot.message = { ...slot.message, content: change(slot.message.content), updated_at: event.time };
  }

  #done(message: Message, attempt: number): void {
    this.#slot(message.author, message.id, attempt).message = { ...message, content: withDefaults(message.content) };
  }

  #reset(id: string, attempt: number): void {
    const place = this.#place(id);
    const slot = place === undefined ? undefined : this.#slots[place];
    if (!slot) return;
    slot.message = undefined;
    slot.attempt = Math.max(slot.attempt, attempt);
  }
}

function attemptOf(event: Event): number {
  return event.attempt ?? 1;
}

function extendPart(parts: string[], index: number, delta: string): string[] {
  if (!Number.isInteger(index) || index < 0 || index >= MAX_REASONING_PARTS) return parts;
  const extended = parts.slice();
  while (extended.length <= index) extended.push("");
  extended[index] += delta;
  return extended;
}

/** Arguments arrive as pieces of JSON text and stay a string until they are complete. */
function extendArguments(args: JsonValue, delta: string): JsonValue {
  return typeof args === "string" ? args + delta : delta;
}
