// Reads server-sent events (HTML Standard, section 9.2.6). Pure.

/** One dispatched event. */
export interface ServerSentEvent {
  /** The value of `event:`; `message` when absent. */
  event: string;
  data: string;
  /** Its own `id:`, from which a reader may go on. */
  id: string | undefined;
}

/** The longest line, and the longest event: all messages of a long task come as one. */
const MAX_EVENT_CHARS = 64 * 1024 * 1024;

/** Takes text as it arrives and gives the events that are complete. */
export class SseParser {
  /** The server's `retry:`, in milliseconds. */
  retryMs: number | undefined;

  #rest = "";
  #skipLineFeed = false;
  #atStart = true;
  #event = "";
  #data: string[] = [];
  #size = 0;
  #id: string | undefined;

  push(text: string): ServerSentEvent[] {
    if (text === "") return [];
    if (this.#atStart) {
      this.#atStart = false;
      if (text.startsWith("\uFEFF")) text = text.slice(1);
    }
    if (this.#skipLineFeed && text.startsWith("\n")) text = text.slice(1);
    this.#skipLineFeed = text.endsWith("\r");
    const lines = (this.#rest + text).split(/\r\n|\n|\r/);
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > MAX_EVENT_CHARS) throw tooLong();
    return lines.flatMap((line) => this.#line(line));
  }

  #line(line: string): ServerSentEvent[] {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return [];
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    switch (field) {
      case "event":
        this.#event = value;
        break;
      case "data":
        this.#size += value.length;
        if (this.#size > MAX_EVENT_CHARS) throw tooLong();
        this.#data.push(value);
        break;
      case "id":
        if (!value.includes("\0")) this.#id = value;
        break;
      case "retry":
        if (/^\d+$/.test(value)) this.retryMs = Number(value);
        break;
    }
    return [];
  }

  #dispatch(): ServerSentEvent[] {
    const event = { event: this.#event || "message", data: this.#data.join("\n"), id: this.#id };
    const hasData = this.#data.length > 0;
    this.#event = "";
    this.#id = undefined;
    this.#data = [];
    this.#size = 0;
    return hasData ? [event] : [];
  }
}

function tooLong(): Error {
  return new Error(`an event of the stream is longer than ${MAX_EVENT_CHARS} characters`);
}
