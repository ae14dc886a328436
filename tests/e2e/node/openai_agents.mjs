// OpenAI's Agents API through the public client `openai` of npm, unmodified.
//
// Usage: openai_agents.mjs GATEWAY_URL AGENT_NAME
//
// Sessions, streams and their helpers, a function of the client, approvals, cancelling, lists, and a stream that is
// dropped and resumed. Prints what it got as one JSON object.

import { createRequire } from "node:module";

const { OpenAI } = createRequire(process.env.NODE_CLIENTS)("openai");
const [url, agent] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "unused", maxRetries: 0 });
const { sessions } = client.beta.agents;
const environment = { type: "none" };

const TEXT_DELTA = "agent.session.turn.output_text.delta";

async function created() {
  const types = [];
  for await (const event of await sessions.create({ environment, agent_id: agent, input: "One", stream: true })) {
    types.push(event.type);
  }
  return { first: types[0], last: types.at(-1) };
}

async function helper() {
  const session = await sessions.create({ environment, agent_id: agent });
  const result = await sessions.stream(session.id, { input: "Two" }).finalResult();
  const turns = [];
  for await (const turn of sessions.turns.list(session.id)) turns.push(turn.status);
  const texts = [];
  for await (const item of sessions.items.list(session.id, { order: "asc" })) texts.push(item.content[0].text);
  return { text: result.outputText ?? result.output_text, turns, texts };
}

/** A question of the agent is a function of the client. */
async function answered() {
  const session = await sessions.create({ environment, agent_id: agent });
  let prompt;
  const ask = (asked) => {
    prompt = asked.prompt;
    return "certainly";
  };
  const stream = sessions.stream(session.id, { input: "ask a person", toolHandlers: { ask } });
  const result = await stream.finalResult();
  return { prompt, text: result.outputText ?? result.output_text };
}

/** A call that needs leave is an approval. */
async function decided(decision) {
  const session = await sessions.create({ environment, agent_id: agent });
  let text;
  for await (const event of sessions.stream(session.id, { input: "look it up" })) {
    if (event.type === "agent.session.requires_action") {
      for (const { request_id } of event.session.required_actions) {
        const response = { type: "mcp_tool_call", decision };
        const result = { type: "agent.session.input.mcp_approval_request_result", request_id, response };
        await sessions.events.create(session.id, { events: [result] });
      }
    }
    if (event.type === "agent.session.turn.output_text.done") text = event.text;
  }
  return text;
}

async function canceled() {
  const session = await sessions.create({ environment, agent_id: agent });
  const types = [];
  for await (const { type } of sessions.stream(session.id, { input: "endlessly" })) {
    if (type === TEXT_DELTA && types.length === 0) {
      types.push("cancel");
      await sessions.events.create(session.id, { events: [{ type: "agent.session.input.cancel" }] });
    }
    if (["agent.session.turn.cancelled", "agent.session.idle"].includes(type)) types.push(type);
  }
  return types;
}

/** A stream is cut in mid-answer, and goes on after the last event that arrived. */
async function resumed() {
  const seen = [];
  const count = () => seen.filter(({ type }) => type === TEXT_DELTA).length;
  for await (const event of await sessions.create({ environment, agent_id: agent, input: "slowly, please", stream: true })) {
    seen.push(event);
    if (count() === 3) break;
  }
  const before = seen.length;
  const session = seen[0].session.id;
  const after = seen.at(-1).event_id;
  for await (const event of await sessions.events.stream(session, { query: { after } })) {
    seen.push(event);
    if (event.type === "agent.session.idle") break;
  }
  return {
    went_on: seen.length > before,
    no_event_twice: new Set(seen.map(({ event_id }) => event_id)).size === seen.length,
    text: seen.filter(({ type }) => type === TEXT_DELTA).map(({ delta }) => delta).join(""),
  };
}

async function lists() {
  const metadata = { list: "of node" };
  const session = await sessions.create({ environment, agent_id: agent, metadata });
  let listed = [];
  while (!listed.includes(session.id)) {
    listed = [];
    for await (const found of sessions.list({ agent_id: agent, metadata, limit: 1 })) listed.push(found.id);
  }
  const names = [];
  for await (const found of client.beta.agents.list({ limit: 1 })) names.push(found.name);
  const { deleted } = await sessions.delete(session.id);
  return { found: listed.length === 1, agent: names.includes(agent), deleted };
}

console.log(
  JSON.stringify({
    created: await created(),
    helper: await helper(),
    answered: await answered(),
    approved: await decided("approve"),
    denied: await decided("deny"),
    canceled: await canceled(),
    resumed: await resumed(),
    lists: await lists(),
  }),
);
