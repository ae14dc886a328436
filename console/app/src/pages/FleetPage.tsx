// What the agents did in the last minutes or hours, as far as the replica of the gateway that answers has counted it.

import { slotsOf, type Fleet, type FleetFigures, type FleetInterval } from "@steadfast/client";
import { useEffect, useId, useMemo, useState, type ReactNode } from "react";

import { Chart, type Color, type Line } from "../parts/Chart";
import { ErrorNotice, Notice, Spinner } from "../parts/feedback";
import { usePoll } from "../state/poll";
import { linkTo } from "../state/route";
import { useSession } from "../state/session";
import { clockTime, duration } from "../state/time";

const PERIOD_MS = 5000;
const WINDOWS = [60, 180, 720];
/** Agents that are shown at once: those with the most turns. */
const MAX_SHOWN = 100;

const PLACE = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const COMPACT = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });

const count = (value: number) => COMPACT.format(value);
const seconds = (value: number) => duration(value * 1000);

export function FleetPage() {
  const { gateway } = useSession();
  const [minutes, setMinutes] = useState(60);
  const [namespace, setNamespace] = useState("");
  const [agentName, setAgentName] = useState("");
  const selection = { minutes, namespace: namespace || undefined, agentName: agentName || undefined };
  const { value: fleet, error, refresh } = usePoll((signal) => gateway.fleet(selection, signal), PERIOD_MS);
  useEffect(refresh, [minutes, namespace, agentName, refresh]);
  return (
    <div className="h-full overflow-y-auto">
      <div className="mx-auto grid max-w-5xl grid-cols-1 gap-4 p-4">
        <div className="flex flex-wrap items-end gap-3">
          <h1 className="mr-auto text-xl font-semibold">Fleet</h1>
          {fleet && (
            <>
              <Choice label="Namespace" value={namespace} onChange={(value) => (setNamespace(value), setAgentName(""))}>
                <option value="">All namespaces</option>
                {fleet.namespaces.map((each) => <option key={each.namespace}>{each.namespace}</option>)}
              </Choice>
              <Choice label="Agent" value={agentName} onChange={setAgentName}>
                <option value="">All agents</option>
                {fleet.agents.filter((each) => !namespace || each.namespace === namespace).map((each) => <option key={each.agent_name}>{each.agent_name}</option>)}
              </Choice>
            </>
          )}
          <Choice label="Time" value={String(minutes)} onChange={(value) => setMinutes(Number(value))}>
            {WINDOWS.map((each) => <option key={each} value={each}>{each < 120 ? `last ${each} minutes` : `last ${each / 60} hours`}</option>)}
          </Choice>
        </div>
        {error && <ErrorNotice error={error} what="The figures cannot be read now" />}
        {!fleet && !error && <Spinner label="Loading the figures…" />}
        {fleet && <Figures fleet={fleet} namespace={namespace} agentName={agentName} />}
      </div>
    </div>
  );
}

function Choice({ label, value, onChange, children }: { label: string; value: string; onChange: (value: string) => void; children: ReactNode }) {
  const id = useId();
  return (
    <div>
      <label htmlFor={id} className="block text-xs text-soft">{label}</label>
      <select id={id} className="field" value={value} onChange={(event) => onChange(event.target.value)}>{children}</select>
    </div>
  );
}

function Figures({ fleet, namespace, agentName }: { fleet: Fleet; namespace: string; agentName: string }) {
  const agents = useMemo(() => {
    const selected = fleet.agents.filter((each) => (!namespace || each.namespace === namespace) && (!agentName || each.agent_name === agentName));
    return selected.sort((a, b) => turnsOf(b) - turnsOf(a) || a.agent_name.localeCompare(b.agent_name));
  }, [fleet, namespace, agentName]);
  const namespaces = fleet.namespaces.filter((each) => !namespace || each.namespace === namespace);
  return (
    <>
      <Scope fleet={fleet} />
      <Charts fleet={fleet} />
      <FiguresTable title="Agents" of="Agent" rows={agents.slice(0, MAX_SHOWN).map((figures) => ({ name: figures.agent_name, link: linkTo.agent(figures.agent_name), figures }))} />
      {agents.length > MAX_SHOWN && <p className="text-sm text-soft">{agents.length - MAX_SHOWN} more: choose a namespace or an agent.</p>}
      {agents.length === 0 && <p className="text-soft">There is no agent that you may see.</p>}
      {!agentName && <FiguresTable title="Namespaces" of="Namespace" rows={namespaces.map((figures) => ({ name: figures.namespace, link: undefined, figures }))} />}
    </>
  );
}

/** What the figures are of: somebody who does not know it would read them wrong. */
function Scope({ fleet }: { fleet: Fleet }) {
  return (
    <Notice tone="plain" title={`Counted by this replica of the gateway since ${clockTime(fleet.counting_since)}`}>
      Turns of the messages that clients sent through it. Turns of schedules and of messages through other replicas are not among them, and a restart
      begins anew; with several replicas, each shows its part. The metrics of the workers have all of them.
      {fleet.uncounted_messages > 0 && ` ${fleet.uncounted_messages.toLocaleString()} turns could not be counted.`}
    </Notice>
  );
}

function Charts({ fleet }: { fleet: Fleet }) {
  const slots = useMemo(() => slotsOf(fleet), [fleet]);
  const places = slots.map((slot) => PLACE.format(new Date(slot.start)));
  const line = (label: string, color: Color, value: (figures: FleetInterval) => number | undefined): Line => ({
    label,
    color,
    values: slots.map((slot) => slot.figures && value(slot.figures)),
  });
  const common = { places };
  return (
    <div className="grid grid-cols-1 gap-4 md:grid-cols-2">
      <Chart {...common} title="Turns" kind="bars" format={count} lines={[
        line("completed", "good", (figures) => figures.completed),
        line("failed", "bad", (figures) => figures.failed),
        line("interrupted or canceled", "warn", (figures) => figures.interrupted + figures.canceled),
      ]} />
      <Chart {...common} title="Tokens" kind="bars" format={count} lines={[
        line("input", "accent", (figures) => figures.input_tokens - figures.cached_input_tokens),
        line("cached input", "good", (figures) => figures.cached_input_tokens),
        line("output", "warn", (figures) => figures.output_tokens),
      ]} />
      <Chart {...common} title="Length of a turn" kind="lines" format={seconds} lines={[
        line("p50", "accent", (figures) => figures.turn_seconds?.p50),
        line("p95", "warn", (figures) => figures.turn_seconds?.p95),
      ]} />
      <Chart {...common} title="Time to the first token" kind="lines" format={seconds} lines={[
        line("p50", "accent", (figures) => figures.first_token_seconds?.p50),
        line("p95", "warn", (figures) => figures.first_token_seconds?.p95),
      ]} />
      <Chart {...common} title="Approvals waiting" kind="lines" format={count} lines={[line("waiting", "warn", (figures) => figures.approvals_waiting ?? undefined)]} />
    </div>
  );
}

const turnsOf = (figures: FleetFigures) => figures.completed + figures.failed + figures.interrupted + figures.canceled;

interface Row {
  name: string;
  link: string | undefined;
  figures: FleetFigures;
}

function FiguresTable({ title, of, rows }: { title: string; of: string; rows: Row[] }) {
  if (rows.length === 0) return null;
  const head = [of, "Turns", "Failed", "Model calls", "Tokens in", "cached", "Tokens out", "Turn p50", "p95", "First token p50", "p95", "Approvals waiting"];
  return (
    <section className="card p-4" aria-label={title}>
      <h2 className="mb-2 font-semibold">{title}</h2>
      <div className="overflow-x-auto" tabIndex={0} role="region" aria-label={`Figures of ${title.toLowerCase()}`}>
        <table className="w-full min-w-160 text-sm">
          <thead className="text-xs text-soft">
            <tr>{head.map((label, index) => <th key={`${label}${index}`} scope="col" className={`font-medium ${index === 0 ? "text-left" : "pl-2 text-right"}`}>{label}</th>)}</tr>
          </thead>
          <tbody>{rows.map((row) => <FiguresRow key={row.name} row={row} />)}</tbody>
        </table>
      </div>
    </section>
  );
}

function FiguresRow({ row: { name, link, figures } }: { row: Row }) {
  const failures = Object.entries(figures.failures).sort(([, a], [, b]) => b - a);
  const time = (value: number | undefined) => (value === undefined ? "–" : seconds(value));
  return (
    <tr className="border-t border-line align-top" data-fleet={name}>
      <th scope="row" className="py-1 text-left font-normal wrap-anywhere">
        {link ? <a href={link} className="underline">{name}</a> : name}
        {failures.length > 0 && <span className="block text-xs text-bad">{failures.map(([category, times]) => `${category}: ${times}`).join(", ")}</span>}
      </th>
      {[
        turnsOf(figures).toLocaleString(),
        figures.failed.toLocaleString(),
        figures.model_calls.toLocaleString(),
        count(figures.input_tokens),
        count(figures.cached_input_tokens),
        count(figures.output_tokens),
        time(figures.turn_seconds?.p50),
        time(figures.turn_seconds?.p95),
        time(figures.first_token_seconds?.p50),
        time(figures.first_token_seconds?.p95),
        figures.approvals_waiting?.toLocaleString() ?? "–",
      ].map((value, index) => <td key={index} className="py-1 pl-2 text-right whitespace-nowrap tabular-nums">{value}</td>)}
    </tr>
  );
}
