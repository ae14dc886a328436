// What a task did, on an axis of time. Each turn has an axis of its own: between turns may be days.

import type { Span } from "@steadfast/client";
import { useMemo, useState } from "react";

import { Badge, ErrorNotice, Spinner, type Tone } from "../parts/feedback";
import { between, clockTime, duration, useNow } from "../state/time";
import { linkTo } from "../state/route";
import { useTask } from "../state/task";

/** Turns that are shown at first: the newest. */
const PAGE_TURNS = 20;
const MIN_BAR_PERCENT = 0.4;

const COLORS: Record<Span["kind"], string> = {
  turn: "bg-soft",
  model: "bg-accent",
  tool: "bg-good",
  wait: "bg-warn",
};

const STATES: Record<Span["state"], Tone> = { running: "plain", done: "good", failed: "bad", stopped: "warn" };

interface Turn {
  turn: Span;
  spans: Span[];
}

function turnsOf(spans: Span[]): Turn[] {
  const turns = new Map<number, Turn>();
  for (const span of spans) if (span.kind === "turn") turns.set(span.turn, { turn: span, spans: [] });
  for (const span of spans) if (span.kind !== "turn") turns.get(span.turn)?.spans.push(span);
  return [...turns.values()];
}

export function TimelinePage({ taskId }: { taskId: string }) {
  const { conversation, link, version } = useTask(taskId);
  const turns = useMemo(() => turnsOf(conversation.timeline.spans()), [conversation, version]);
  const running = turns.some(({ turn }) => turn.state === "running");
  const now = useNow(1000, running);
  const [count, setCount] = useState(PAGE_TURNS);
  const shown = turns.slice(Math.max(0, turns.length - count));
  return (
    <div className="h-full overflow-y-auto">
      <div className="mx-auto grid max-w-4xl gap-4 p-4">
        <div className="flex flex-wrap items-center gap-3">
          <h1 className="mr-auto text-xl font-semibold">Timeline</h1>
          <Legend />
          <a className="button" href={linkTo.task(taskId)}>Chat</a>
        </div>
        {link.state === "connecting" && <Spinner label="Loading the task…" />}
        {link.state === "failed" && <ErrorNotice error={link.error} what="The task cannot be followed" />}
        {turns.length === 0 && link.state !== "connecting" && link.state !== "failed" && <p className="text-soft">No turn has started yet.</p>}
        {turns.length > shown.length && <button type="button" className="button" onClick={() => setCount(count + PAGE_TURNS)}>Show earlier turns</button>}
        {shown.map((each, index) => (
          <TurnSection key={each.turn.id} each={each} now={now} before={shown[index - 1]?.turn} />
        ))}
      </div>
    </div>
  );
}

function Legend() {
  return (
    <ul className="flex flex-wrap gap-3 text-xs text-soft" aria-label="Colours">
      {[["model", "model call"], ["tool", "tool call"], ["wait", "wait for a person"]].map(([kind, label]) => (
        <li key={kind} className="flex items-center gap-1">
          <span aria-hidden="true" className={`size-2.5 rounded-sm ${COLORS[kind as Span["kind"]]}`} />
          {label}
        </li>
      ))}
    </ul>
  );
}

function TurnSection({ each: { turn, spans }, now, before }: { each: Turn; now: number; before: Span | undefined }) {
  const begin = Date.parse(turn.startedAt);
  const end = turn.endedAt === undefined ? Math.max(now, begin) : Date.parse(turn.endedAt);
  const length = Math.max(1, end - begin);
  return (
    <section aria-labelledby={turn.id} className="card p-4">
      {before?.endedAt && <p className="mb-2 text-xs text-soft">{between(before.endedAt, turn.startedAt)} after the turn before</p>}
      <div className="flex flex-wrap items-center gap-2">
        <h2 id={turn.id} className="font-semibold">{turn.label}</h2>
        <Badge tone={STATES[turn.state]}>{turn.state}</Badge>
        <span className="text-sm text-soft">
          <time dateTime={turn.startedAt}>{clockTime(turn.startedAt)}</time>, {duration(length)}
          {turn.usage && <>, {tokensOf(turn)}</>}
        </span>
      </div>
      {turn.detail && <p className="mt-1 text-sm text-bad wrap-anywhere">{turn.detail}</p>}
      <div className="mt-3 overflow-x-auto" tabIndex={0} role="region" aria-label={`Steps of turn ${turn.turn}`}>
        <table className="w-full min-w-130 border-collapse text-sm">
          <thead className="text-left text-xs text-soft">
            <tr>
              <th scope="col" className="w-56 font-medium">Step</th>
              <th scope="col" className="font-medium">Time</th>
              <th scope="col" className="w-24 text-right font-medium">Duration</th>
            </tr>
          </thead>
          <tbody>
            {spans.map((span) => <SpanRow key={span.id} span={span} begin={begin} length={length} now={now} />)}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function SpanRow({ span, begin, length, now }: { span: Span; begin: number; length: number; now: number }) {
  const from = Date.parse(span.startedAt);
  const to = span.endedAt === undefined ? Math.max(now, from) : Date.parse(span.endedAt);
  const percent = (time: number) => Math.min(100, Math.max(0, ((time - begin) / length) * 100));
  const left = percent(from);
  const width = Math.max(MIN_BAR_PERCENT, percent(to) - left);
  const firstToken = span.firstTokenAt ? Date.parse(span.firstTokenAt) - from : undefined;
  return (
    <tr className="border-t border-line align-top">
      <th scope="row" className="py-1.5 pr-2 text-left font-normal">
        <span className="wrap-anywhere">{span.path && <span className="text-soft">{span.agent}: </span>}{span.label}</span>
        <span className="flex flex-wrap gap-x-3 gap-y-1 text-xs text-soft">
          {span.state !== "done" && <Badge tone={STATES[span.state]}>{span.state}</Badge>}
          {span.attempt > 1 && <Badge tone="warn">{span.attempt} attempts</Badge>}
          {firstToken !== undefined && <span>first token {duration(firstToken)}</span>}
          {span.usage && <span>{tokensOf(span)}</span>}
        </span>
        {span.detail && <span className="block text-xs whitespace-pre-wrap text-soft wrap-anywhere">{span.detail}</span>}
      </th>
      <td className="py-1.5" aria-label={`begins ${duration(from - begin)} after the turn`}>
        <span className="relative block h-4 rounded-sm bg-sunken">
          <span className={`absolute inset-y-0 rounded-sm ${span.state === "failed" ? "bg-bad" : COLORS[span.kind]}`} style={{ left: `${left}%`, width: `${Math.min(width, 100 - left)}%` }} />
        </span>
      </td>
      <td className="py-1.5 pl-2 text-right whitespace-nowrap tabular-nums">{duration(to - from)}</td>
    </tr>
  );
}

function tokensOf({ usage }: Span): string {
  const input = usage?.input_tokens ?? 0;
  const cached = usage?.cached_input_tokens ? ` (${usage.cached_input_tokens.toLocaleString()} cached)` : "";
  return `${input.toLocaleString()} in${cached}, ${(usage?.output_tokens ?? 0).toLocaleString()} out`;
}
