// The public client `agentex` of npm, unmodified.
//
// Usage: agentex.mjs GATEWAY_URL AGENT_NAME
//
// Agents, tasks, a message whose answer comes in the response, whole and streamed, and the state of a task that the
// client keeps up to date from its stream. Prints what it got as one JSON object.

import { createRequire } from "node:module";

// The client writes what it does not know to standard output, where only our JSON object belongs.
console.debug = () => {};

const require = createRequire(process.env.NODE_CLIENTS);
const { Agentex } = require("agentex");
const { agentRPCNonStreaming, agentRPCWithStreaming, subscribeTaskState } = require("agentex/lib");
const [url, agentName] = process.argv.slice(2);
const client = new Agentex({ baseURL: url, apiKey: "unused", maxRetries: 0 });

// Agentex's own `task_updated` is newer than this client, which makes an error of it and goes on.
const UNKNOWN = "Unknown event received";

const text = (content) => ({ type: "text", author: "user", content });

async function call(method, params) {
  const { result, error } = await agentRPCNonStreaming(client, { agentName }, method, params);
  if (error) throw new Error(error.message);
  return result;
}

async function answers() {
  const whole = await call("message/send", { task_name: "node", content: text("One") });
  const types = [];
  let deltas = "";
  const stream = agentRPCWithStreaming(client, { agentName }, "message/send", {
    task_name: "node",
    content: text("Two"),
  });
  for await (const { result } of stream) {
    if (result.type === "delta") deltas += result.delta.text_delta;
    else types.push(result.type);
  }
  return { whole: whole.map(({ content }) => content.content), types, deltas };
}

// The client's own copy of a task: read once, then kept up to date from the stream.
async function state() {
  const task = await call("task/create", {});
  const controller = new AbortController();
  let agents;
  let isSent = false;
  const errors = [];
  let messages = [];
  const listener = {
    onTaskChange() {},
    onAgentsChange: (listed) => (agents = listed.map(({ name }) => name)),
    onMessagesChange(changed) {
      messages = changed;
      const last = changed.at(-1) ?? changed[0];
      const answer = changed.find(({ content }) => content.author === "agent");
      if (last && answer?.streaming_status === "DONE") controller.abort();
    },
    onError: (message) => message === UNKNOWN || errors.push(message),
    async onStreamStatusChange(status) {
      if (status === "connected" && !isSent) {
        isSent = true;
        await call("event/send", { task_id: task.id, content: text("Three") });
      }
    },
  };
  await subscribeTaskState(client, { taskID: task.id }, listener, { signal: controller.signal });
  const listed = await client.messages.list({ task_id: task.id });
  const byId = (one, other) => (one.id < other.id ? -1 : 1);
  const outline = (all) => [...all].sort(byId).map(({ id, content }) => [id, content.content]);
  return {
    agents,
    errors,
    same: JSON.stringify(outline(messages)) === JSON.stringify(outline(listed)),
    texts: listed.map(({ content }) => content.content).reverse(),
    retrieved: (await client.messages.retrieve(listed[0].id)).content.content,
  };
}

// The stack of the tests has more agents than a page has by itself.
const listed = await client.agents.list({ limit: 1000 });
const output = {
  listed: listed.some(({ name }) => name === agentName),
  answers: await answers(),
  state: await state(),
};
process.stdout.write(JSON.stringify(output));
