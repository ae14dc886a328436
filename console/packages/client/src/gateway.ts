// The calls of the gateway's API that a chat needs, and those that explain it.

import type { Agent, Attachment, Fleet, ListedApproval, ListedMessage, MessagePage, SignIn, Task, TaskObservability, TaskSummary } from "./api.js";
import { ApiError, errorOf, type Connection } from "./http.js";
import type { JsonValue } from "./message.js";

export interface ListTasks {
  agentName?: string;
  status?: Task["status"];
  limit?: number;
  page?: number;
}

/** Whose intervals the figures of the fleet have, and how far they go back. */
export interface FleetSelection {
  agentName?: string | undefined;
  namespace?: string | undefined;
  minutes?: number;
}

export interface DecisionAnswer {
  id: string;
  /** `pending`: the decision is durable, and the task has not taken it in yet. */
  decision: string;
  by?: string;
  reason?: string;
}

export class GatewayClient {
  constructor(readonly connection: Connection) {}

  /** How people sign in; needs no token. */
  signInWays(signal?: AbortSignal): Promise<SignIn> {
    return this.#get("/sign-in", signal);
  }

  agents(signal?: AbortSignal): Promise<Agent[]> {
    return this.#all<Agent>("/agents?", signal);
  }

  agent(name: string, signal?: AbortSignal): Promise<Agent> {
    return this.#get(`/agents/name/${encodeURIComponent(name)}`, signal);
  }

  /** The agent that takes the messages of a task, also after a handoff; `undefined` where it is gone. */
  async agentOfTask(taskId: string, signal?: AbortSignal): Promise<Agent | undefined> {
    const agents = await this.#get<Agent[]>(`/agents?${queryOf({ task_id: taskId })}`, signal);
    return agents[0];
  }

  tasks({ agentName, status, limit = 30, page = 1 }: ListTasks = {}, signal?: AbortSignal): Promise<TaskSummary[]> {
    const query = queryOf({ agent_name: agentName, status, limit, page_number: page, relationships: "agents" });
    return this.#get(`/tasks?${query}`, signal);
  }

  task(id: string, signal?: AbortSignal): Promise<Task> {
    return this.#get(`/tasks/${encodeURIComponent(id)}`, signal);
  }

  /** Links to what others show of the task, and the prices of models. */
  observability(taskId: string, signal?: AbortSignal): Promise<TaskObservability> {
    return this.#get(`/tasks/${encodeURIComponent(taskId)}/observability`, signal);
  }

  /** What the agents did, as far as the replica that answers counts it. */
  fleet({ agentName, namespace, minutes }: FleetSelection, signal?: AbortSignal): Promise<Fleet> {
    return this.#get(`/fleet?${queryOf({ agent_name: agentName, namespace, minutes })}`, signal);
  }

  /** The task, or the one that the same key has made before. */
  createTask(agentName: string, params: { name?: string; task_metadata?: Record<string, JsonValue> }, key: string): Promise<Task> {
    return this.#call(agentName, "task/create", params, key);
  }

  /** Sends a text. The same key sends it once, however often it is tried. */
  async sendText(agentName: string, taskId: string, text: string, key: string, attachments: Attachment[] = []): Promise<void> {
    const content = { type: "text", author: "user", content: text, format: "plain", ...(attachments.length > 0 ? { attachments } : {}) };
    await this.#call(agentName, "event/send", { task_id: taskId, content }, key);
  }

  /**
   * Stores a file for messages of the task. The same bytes are stored once. What a file is, its bytes say: browsers
   * guess the media type from its name.
   */
  upload(taskId: string, bytes: Blob, name: string): Promise<Attachment> {
    const path = `/tasks/${encodeURIComponent(taskId)}/attachments?${queryOf({ name })}`;
    return this.#request(path, { method: "POST", body: new Blob([bytes]) });
  }

  /** The bytes of an attachment of a message. */
  async attachment(taskId: string, fileId: string, signal?: AbortSignal): Promise<Blob> {
    const path = `/tasks/${encodeURIComponent(taskId)}/attachments/${encodeURIComponent(fileId)}`;
    const response = await this.connection.fetch(path, signal ? { signal } : {});
    if (!response.ok) throw await errorOf(response);
    return response.blob();
  }

  interrupt(taskId: string): Promise<Task> {
    return this.#post(`/tasks/${encodeURIComponent(taskId)}/interrupt`, {});
  }

  cancel(taskId: string): Promise<Task> {
    return this.#post(`/tasks/${encodeURIComponent(taskId)}/cancel`, {});
  }

  complete(taskId: string): Promise<Task> {
    return this.#post(`/tasks/${encodeURIComponent(taskId)}/complete`, {});
  }

  messages(taskId: string, cursor?: string, limit = 50, signal?: AbortSignal): Promise<MessagePage> {
    return this.#get(`/messages/paginated?${queryOf({ task_id: taskId, cursor, limit })}`, signal);
  }

  /** One message, with the whole of a large result. */
  message(taskId: string, messageId: string, signal?: AbortSignal): Promise<ListedMessage> {
    return this.#get(`/messages/${encodeURIComponent(messageId)}?${queryOf({ task_id: taskId })}`, signal);
  }

  /** The pending approvals, oldest first. */
  approvals(signal?: AbortSignal): Promise<ListedApproval[]> {
    return this.#get("/approvals?limit=200", signal);
  }

  /** One approval, with all its arguments. */
  approval(id: string, signal?: AbortSignal): Promise<ListedApproval> {
    return this.#get(`/approvals/${encodeURIComponent(id)}`, signal);
  }

  approve(id: string, body: { reason?: string; answer?: JsonValue }): Promise<DecisionAnswer> {
    return this.#post(`/approvals/${encodeURIComponent(id)}/approve`, body);
  }

  reject(id: string, body: { reason?: string }): Promise<DecisionAnswer> {
    return this.#post(`/approvals/${encodeURIComponent(id)}/reject`, body);
  }

  async #call<T>(agentName: string, method: string, params: object, key: string): Promise<T> {
    const path = `/agents/name/${encodeURIComponent(agentName)}/rpc`;
    const answer = await this.#post<{ result: T }>(path, { jsonrpc: "2.0", id: 1, method, params }, key);
    return answer.result;
  }

  /** All pages of a list; the gateway's lists end at the 10,000th entry. */
  async #all<T>(path: string, signal?: AbortSignal): Promise<T[]> {
    const LIMIT = 1000;
    const all: T[] = [];
    for (let page = 1; page <= 10; page += 1) {
      const entries = await this.#get<T[]>(`${path}${queryOf({ limit: LIMIT, page_number: page })}`, signal);
      all.push(...entries);
      if (entries.length < LIMIT) break;
    }
    return all;
  }

  #get<T>(path: string, signal?: AbortSignal): Promise<T> {
    return this.#request(path, signal ? { signal } : {});
  }

  #post<T>(path: string, body: object, key?: string): Promise<T> {
    const headers: Record<string, string> = { "content-type": "application/json" };
    if (key) headers["idempotency-key"] = key;
    return this.#request(path, { method: "POST", headers, body: JSON.stringify(body) });
  }

  async #request<T>(path: string, init: RequestInit): Promise<T> {
    const response = await this.connection.fetch(path, init);
    if (!response.ok) throw await errorOf(response);
    if (!response.headers.get("content-type")?.includes("json")) {
      throw new ApiError(response.status, "the answer is not JSON: a proxy may have answered in place of the gateway");
    }
    return (await response.json()) as T;
  }
}

function queryOf(values: Record<string, string | number | undefined>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== undefined) query.set(name, String(value));
  return query.toString();
}
