// The address of a page is the fragment of the URL: no path of a page can be one of the API's.

import { useSyncExternalStore } from "react";

export type Route =
  | { page: "agents" }
  | { page: "agent"; agent: string }
  | { page: "task"; task: string }
  | { page: "timeline"; task: string }
  | { page: "fleet" }
  | { page: "approvals" };

export function parseRoute(hash: string): Route {
  const [, first, second, third] = hash.replace(/^#/, "").split("/").map(decode);
  if (first === "agents" && second) return { page: "agent", agent: second };
  if (first === "tasks" && second) return { page: third === "timeline" ? "timeline" : "task", task: second };
  if (first === "fleet") return { page: "fleet" };
  if (first === "approvals") return { page: "approvals" };
  return { page: "agents" };
}

export const linkTo = {
  agents: "#/agents",
  approvals: "#/approvals",
  fleet: "#/fleet",
  agent: (name: string) => `#/agents/${encodeURIComponent(name)}`,
  task: (id: string) => `#/tasks/${encodeURIComponent(id)}`,
  timeline: (id: string) => `#/tasks/${encodeURIComponent(id)}/timeline`,
};

export function goTo(link: string): void {
  window.location.hash = link;
}

export function useRoute(): Route {
  return parseRoute(useSyncExternalStore(subscribe, () => window.location.hash));
}

function subscribe(changed: () => void): () => void {
  window.addEventListener("hashchange", changed);
  return () => window.removeEventListener("hashchange", changed);
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
