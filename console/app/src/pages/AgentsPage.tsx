// The agents that the user may see: which are ready, and what keeps the others from it.

import type { Agent } from "@steadfast/client";
import { useId, useMemo, useState } from "react";

import { Badge, ErrorNotice, Spinner } from "../parts/feedback";
import { usePoll } from "../state/poll";
import { linkTo } from "../state/route";
import { useSession } from "../state/session";

const PERIOD_MS = 4000;
/** Agents that are shown at once; the search finds the others. */
const MAX_SHOWN = 200;

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
          {found.slice(0, MAX_SHOWN).map((agent) => <AgentCard key={agent.id} agent={agent} />)}
        </ul>
        {found.length > MAX_SHOWN && <p className="text-sm text-soft">{found.length - MAX_SHOWN} more: narrow the search.</p>}
      </div>
    </div>
  );
}

function AgentCard({ agent }: { agent: Agent }) {
  return (
    <li className="card relative p-4 focus-within:border-accent hover:border-accent" data-agent={agent.name}>
      <div className="flex items-center gap-2">
        <h2 className="min-w-0 font-semibold wrap-anywhere">
          <a href={linkTo.agent(agent.name)} className="after:absolute after:inset-0">{agent.name}</a>
        </h2>
        <AgentBadge agent={agent} />
      </div>
      {agent.description && <p className="mt-1 line-clamp-3 text-sm text-soft">{agent.description}</p>}
      {agent.status_reason && <p className="mt-2 text-sm wrap-anywhere">{agent.status_reason}</p>}
    </li>
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
