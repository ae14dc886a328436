// What a task did, on an axis of time. Each turn has an axis of its own: between turns may be days.

import { costOfCalls, lostToWorkers, type LostAttempts, type PriceList, type Span } from "@steadfast/client";
import { useMemo, useState } from "react";

import { Badge, ErrorNotice, Notice, Spinner, type Tone } from "../parts/feedback";
import { usePoll } from "../state/poll";
import { between, clockTime, duration, useNow } from "../state/time";
import { linkTo } from "../state/route";
import { useSession } from "../state/session";
import { useTask } from "../state/task";

/** Turns that are shown at first: the newest. */
const PAGE_TURNS = 20;
const MIN_BAR_PERCENT = 0.4;
/** The prices change seldom, and the links with the runs of the workflow. */
const OBSERVABILITY_PERIOD_MS = 10_000;

const COLORS: Record<Span["kind"], string> = {
  turn: "bg-soft",
  model: "bg-accent",
  tool: "bg-good",
  wait: "bg-warn",
};

const LOST = "What these turns did is no longer known: the log of the task was lost, and Temporal has its messages. Turns from now on are shown.";

const LOST_COLOR = "border border-bad bg-bad-soft";

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
  const { gateway } = useSession();
  const { conversation, link, version } = useTask(taskId);
  const { value: about } = usePoll((signal) => gateway.observability(taskId, signal), OBSERVABILITY_PERIOD_MS);
  const turns = useMemo(() => turnsOf(conversation.timeline.spans()), [conversation, version]);
  const running = turns.some(({ turn }) => turn.state === "running");
  const now = useNow(1000, running);
  const [count, setCount] = useState(PAGE_TURNS);
  const shown = turns.slice(Math.max(0, turns.length - count));
  return (
    <div className="h-full overflow-y-auto">
      <div className="mx-auto grid max-w-4xl grid-cols-1 gap-4 p-4">
        <div className="flex flex-wrap items-center gap-3">
          <h1 className="mr-auto text-xl font-semibold">Timeline</h1>
          <Legend />
          {about?.links.temporal && <OutLink href={about.links.temporal}>Workflow in Temporal</OutLink>}
          {about?.links.trace && <OutLink href={about.links.trace}>Trace</OutLink>}
          <a className="button" href={linkTo.task(taskId)}>Chat</a>
        </div>
        {link.state === "connecting" && <Spinner label="Loading the task…" />}
        {link.state === "failed" && <ErrorNotice error={link.error} what="The task cannot be followed" />}
        {about?.prices_problem && <Notice tone="warn" title="The prices of models cannot be read">{about.prices_problem}</Notice>}
        {turns.length === 0 && link.state !== "connecting" && link.state !== "failed" && <p className="text-soft">{conversation.latestTurn > 0 ? LOST : "No turn has started yet."}</p>}
        {turns.length > shown.length && <button type="button" className="button" onClick={() => setCount(count + PAGE_TURNS)}>Show earlier turns</button>}
        {shown.map((each, index) => (
          <TurnSection key={each.turn.id} each={each} now={now} before={shown[index - 1]?.turn} prices={about?.prices ?? undefined} />
        ))}
      </div>
    </div>
  );
}

/** To a page of another server, which learns nothing of this one. */
function OutLink({ href, children }: { href: string; children: string }) {
  return <a className="button" href={href} target="_blank" rel="noopener noreferrer">{children}<span className="sr-only"> (opens in a new tab)</span></a>;
}

function Legend() {
  const lost = <span aria-hidden="true" className={`size-2.5 rounded-sm ${LOST_COLOR}`} />;
  return (
    <ul className="flex flex-wrap gap-3 text-xs text-soft" aria-label="Colours">
      {[["model", "model call"], ["tool", "tool call"], ["wait", "wait for a person"]].map(([kind, label]) => (
        <li key={kind} className="flex items-center gap-1">
          <span aria-hidden="true" className={`size-2.5 rounded-sm ${COLORS[kind as Span["kind"]]}`} />
          {label}
        </li>
      ))}
      <li className="flex items-center gap-1">{lost}lost attempt</li>
    </ul>
  );
}

function TurnSection({ each: { turn, spans }, now, before, prices }: { each: Turn; now: number; before: Span | undefined; prices: PriceList | undefined }) {
  const begin = Date.parse(turn.startedAt);
  const end = turn.endedAt === undefined ? Math.max(now, begin) : Date.parse(turn.endedAt);
  const length = Math.max(1, end - begin);
  const lost = lostToWorkers(spans);
  return (
    <section aria-labelledby={turn.id} className="card p-4">
      {before?.endedAt && <p className="mb-2 text-xs text-soft">{between(before.endedAt, turn.startedAt)} after the turn before</p>}
      <div className="flex flex-wrap items-center gap-2">
        <h2 id={turn.id} className="font-semibold">{turn.label}</h2>
        <Badge tone={STATES[turn.state]}>{turn.state}</Badge>
        <span className="text-sm text-soft">
          <time dateTime={turn.startedAt}>{clockTime(turn.startedAt)}</time>, {duration(length)}
          {turn.usage && <>, {tokensOf(turn)}</>}
          {prices && <TurnCost prices={prices} spans={spans} />}
        </span>
        {lost.attempts > 0 && <Badge tone="bad">{plural(lost.attempts, "attempt")} and {duration(lost.milliseconds)} lost with a worker</Badge>}
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
            {spans.map((span) => <SpanRow key={span.id} span={span} begin={begin} length={length} now={now} prices={prices} />)}
          </tbody>
        </table>
      </div>
    </section>
  );
}

interface SpanRowProps {
  span: Span;
  begin: number;
  length: number;
  now: number;
  prices: PriceList | undefined;
}

function SpanRow({ span, begin, length, now, prices }: SpanRowProps) {
  const from = Date.parse(span.startedAt);
  const to = span.endedAt === undefined ? Math.max(now, from) : Date.parse(span.endedAt);
  const percent = (time: number) => Math.min(100, Math.max(0, ((time - begin) / length) * 100));
  const left = percent(from);
  const width = Math.max(MIN_BAR_PERCENT, percent(to) - left);
  const firstToken = span.firstTokenAt ? Date.parse(span.firstTokenAt) - Date.parse(span.attemptStartedAt) : undefined;
  const cost = prices && span.usage ? costOfCalls(prices, [span]) : undefined;
  return (
    <tr className="border-t border-line align-top">
      <th scope="row" className="py-1.5 pr-2 text-left font-normal">
        <span className="wrap-anywhere">{span.path && <span className="text-soft">{span.agent}: </span>}{span.label}</span>
        <span className="flex flex-wrap gap-x-3 gap-y-1 text-xs text-soft">
          {span.state !== "done" && <Badge tone={STATES[span.state]}>{span.state}</Badge>}
          {span.attempt > 1 && <Badge tone="warn">{span.attempt} attempts</Badge>}
          {span.model && <span className="wrap-anywhere">{span.model}</span>}
          {firstToken !== undefined && <span>first token {duration(firstToken)}</span>}
          {span.usage && <span>{tokensOf(span)}</span>}
          {prices && cost && <span>{cost.unknown > 0 ? "no price" : money(cost.amount, prices.currency)}</span>}
        </span>
        {span.lost.map((lost) => <span key={lost.attempt} className="block text-xs text-bad">{lostText(lost)}</span>)}
        {span.detail && <span className="block text-xs whitespace-pre-wrap text-soft wrap-anywhere">{span.detail}</span>}
      </th>
      <td className="py-1.5" aria-label={`begins ${duration(from - begin)} after the turn`}>
        <span className="relative block h-4 rounded-sm bg-sunken">
          <span className={`absolute inset-y-0 rounded-sm ${span.state === "failed" ? "bg-bad" : COLORS[span.kind]}`} style={{ left: `${left}%`, width: `${Math.min(width, 100 - left)}%` }} />
          {span.lost.map((lost) => {
            const start = percent(Date.parse(lost.startedAt));
            const part = Math.max(MIN_BAR_PERCENT, percent(Date.parse(lost.endedAt)) - start);
            return <span key={lost.attempt} className={`absolute inset-y-0 rounded-sm ${LOST_COLOR}`} style={{ left: `${start}%`, width: `${Math.min(part, 100 - start)}%` }} />;
          })}
        </span>
      </td>
      <td className="py-1.5 pl-2 text-right whitespace-nowrap tabular-nums">{duration(to - from)}</td>
    </tr>
  );
}

function TurnCost({ prices, spans }: { prices: PriceList; spans: Span[] }) {
  const { amount, unknown } = costOfCalls(prices, spans);
  return (
    <>
      , {money(amount, prices.currency)}
      {unknown > 0 && ` without ${plural(unknown, "call")} of unknown cost`}
    </>
  );
}

/** What is far below a cent is shown with the digits that say something. */
function money(amount: number, currency: string): string {
  const digits = amount > 0 && amount < 0.01 ? 6 : amount < 1 ? 4 : 2;
  return new Intl.NumberFormat(undefined, { style: "currency", currency, minimumFractionDigits: 2, maximumFractionDigits: digits }).format(amount);
}

function plural(count: number, word: string): string {
  return `${count.toLocaleString()} ${word}${count === 1 ? "" : "s"}`;
}

function lostText({ attempt, count, startedAt, lastAt, endedAt, cause }: LostAttempts): string {
  const which = count === 1 ? `attempt ${attempt}` : `attempts ${attempt} to ${attempt + count - 1}`;
  const time = `${between(startedAt, endedAt)} lost: ${between(startedAt, lastAt)} of work, ${between(lastAt, endedAt)} until the next attempt`;
  return cause === "worker" ? `${which}: the worker died or was cut off; ${time}` : `${which} failed; ${time}`;
}

function tokensOf({ usage }: Span): string {
  const input = usage?.input_tokens ?? 0;
  const cached = usage?.cached_input_tokens ? ` (${usage.cached_input_tokens.toLocaleString()} cached)` : "";
  return `${input.toLocaleString()} in${cached}, ${(usage?.output_tokens ?? 0).toLocaleString()} out`;
}
