// The agents that the user may see: which are ready, what keeps the others from it, and what they do now.

import type { Agent, Fleet } from "@steadfast/client";
import { useId, useMemo, useState } from "react";

import { Badge, ErrorNotice, Spinner } from "../parts/feedback";
import { usePoll } from "../state/poll";
import { linkTo } from "../state/route";
import { useSession } from "../state/session";

const PERIOD_MS = 4000;
/** Agents that are shown at once; the search finds the others. */
const MAX_SHOWN = 200;
/** Tools that are named; the others are counted. */
const MAX_TOOLS = 5;
/** What the figures of the fleet go back at least; of them, the page shows what runs now. */
const FLEET_MINUTES = 5;

type Figures = Fleet["agents"][number];

/** `namespace.name` outside of the default namespace. */
function namespaceOf(agent: Agent): string {
  const dot = agent.name.indexOf(".");
  return dot < 0 ? "" : agent.name.slice(0, dot);
}

export function AgentsPage() {
  const { gateway } = useSession();
  const searchId = useId();
  const namespaceId = useId();
  const { value: agents, error } = usePoll((signal) => gateway.agents(signal), PERIOD_MS);
  const { value: fleet } = usePoll((signal) => gateway.fleet({ minutes: FLEET_MINUTES }, signal), PERIOD_MS);
  const figures = useMemo(() => new Map(fleet?.agents.map((each) => [each.agent_name, each])), [fleet]);
  const [search, setSearch] = useState("");
  const [namespace, setNamespace] = useState("*");
  const namespaces = useMemo(() => [...new Set((agents ?? []).map(namespaceOf))].sort(), [agents]);
  const found = useMemo(() => {
    const words = search.toLowerCase().split(/\s+/).filter(Boolean);
    return (agents ?? []).filter((agent) => {
      const text = `${agent.name} ${agent.description}`.toLowerCase();
      return (namespace === "*" || namespaceOf(agent) === namespace) && words.every((word) => text.includes(word));
    });
  }, [agents, search, namespace]);
  return (
    <div className="h-full overflow-y-auto">
      <div className="mx-auto grid max-w-4xl gap-4 p-4">
        <div className="flex flex-wrap items-end gap-3">
          <h1 className="mr-auto text-xl font-semibold">Agents</h1>
          {namespaces.length > 1 && (
            <div>
              <label htmlFor={namespaceId} className="sr-only">Namespace</label>
              <select id={namespaceId} className="field" value={namespace} onChange={(event) => setNamespace(event.target.value)}>
                <option value="*">All namespaces</option>
                {namespaces.map((name) => <option key={name} value={name}>{name || "default namespace"}</option>)}
              </select>
            </div>
          )}
          <div className="w-full sm:w-64">
            <label htmlFor={searchId} className="sr-only">Search agents</label>
            <input id={searchId} type="search" className="field" placeholder="Search" value={search} onChange={(event) => setSearch(event.target.value)} />
          </div>
        </div>
        {error && <ErrorNotice error={error} what="The agents cannot be listed now" />}
        {agents === undefined && !error && <Spinner label="Loading agents…" />}
        {agents?.length === 0 && <p className="text-soft">There is no agent that you may see. Apply an Agent, or ask for the role steadfast-user in its namespace.</p>}
        {agents && agents.length > 0 && found.length === 0 && <p className="text-soft" role="status">No agent matches.</p>}
        <ul className="grid gap-3 sm:grid-cols-2">
          {found.slice(0, MAX_SHOWN).map((agent) => <AgentCard key={agent.id} agent={agent} figures={figures.get(agent.name)} />)}
        </ul>
        {found.length > MAX_SHOWN && <p className="text-sm text-soft">{found.length - MAX_SHOWN} more: narrow the search.</p>}
      </div>
    </div>
  );
}

function AgentCard({ agent, figures }: { agent: Agent; figures: Figures | undefined }) {
  return (
    <li className="card relative p-4 focus-within:border-accent hover:border-accent" data-agent={agent.name}>
      <div className="flex flex-wrap items-center gap-2">
        <h2 className="min-w-0 font-semibold wrap-anywhere">
          <a href={linkTo.agent(agent.name)} className="after:absolute after:inset-0">{agent.name}</a>
        </h2>
        <AgentBadge agent={agent} />
        <Now figures={figures} />
      </div>
      {agent.description && <p className="mt-1 line-clamp-3 text-sm text-soft">{agent.description}</p>}
      {agent.status_reason && <p className="mt-2 text-sm wrap-anywhere">{agent.status_reason}</p>}
      <Parts agent={agent} />
    </li>
  );
}

/** What its tasks do now. */
function Now({ figures }: { figures: Figures | undefined }) {
  const running = figures?.tasks_running;
  const waiting = figures?.tasks_waiting;
  return (
    <>
      {running ? <Badge tone="plain">{running} {running === 1 ? "task runs" : "tasks run"}</Badge> : null}
      {waiting ? <Badge tone="warn">{waiting} {waiting === 1 ? "task waits" : "tasks wait"} for a decision</Badge> : null}
    </>
  );
}

/** What it is made of. */
export function Parts({ agent: { model, tools } }: { agent: Agent }) {
  const named = tools.slice(0, MAX_TOOLS);
  return (
    <p className="mt-2 text-xs text-soft wrap-anywhere">
      {model && <code className="font-mono">{model}</code>}
      {model && named.length > 0 && " · "}
      {named.map((tool, place) => (
        <span key={tool}>
          {place > 0 && ", "}
          <code className="font-mono">{tool}</code>
        </span>
      ))}
      {tools.length > named.length && ` and ${tools.length - named.length} more tools`}
    </p>
  );
}

export function AgentBadge({ agent }: { agent: Agent }) {
  switch (agent.status) {
    case "Ready":
      return <Badge tone="good">ready</Badge>;
    case "Unhealthy":
      return <Badge tone="bad">not ready</Badge>;
    case "Unknown":
      return <Badge tone="plain">unknown</Badge>;
  }
}
