// OpenAI's APIs through the public client `openai` of npm, unmodified.
//
// Usage: openai_api.mjs GATEWAY_URL AGENT_NAME
//
// Responses, Conversations, Chat Completions and the Agents API, with the helpers of the client. Prints what it got
// as one JSON object.

import { createRequire } from "node:module";

const { OpenAI } = createRequire(process.env.NODE_CLIENTS)("openai");
const [url, agent] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "unused", maxRetries: 0 });

async function responses() {
  const first = await client.responses.create({ model: agent, input: "One" });
  const stream = client.responses.stream({ model: agent, input: "Two", previous_response_id: first.id });
  let deltas = "";
  for await (const event of stream) {
    if (event.type === "response.output_text.delta") deltas += event.delta;
  }
  const final = await stream.finalResponse();
  return { first: first.output_text, deltas, final: final.output_text };
}

async function resumed() {
  const seen = [];
  const stream = await client.responses.create({ model: agent, input: "slowly, please", stream: true, background: true });
  for await (const event of stream) {
    seen.push(event);
    if (seen.filter(({ type }) => type === "response.output_text.delta").length === 3) break;
  }
  const id = seen[0].response.id;
  const after = seen.at(-1).sequence_number;
  const rest = [];
  for await (const event of await client.responses.retrieve(id, { stream: true, starting_after: after })) rest.push(event);
  const all = [...seen, ...rest];
  return {
    gapless: all.every((event, index) => event.sequence_number === index),
    text: all.filter(({ type }) => type === "response.output_text.delta").map(({ delta }) => delta).join(""),
  };
}

async function conversation() {
  const { id } = await client.conversations.create();
  await client.responses.create({ model: agent, input: "One", conversation: id });
  const texts = [];
  for await (const item of client.conversations.items.list(id, { order: "asc", limit: 1 })) texts.push(item.content[0].text);
  return texts;
}

async function chat() {
  const runner = client.chat.completions.stream({ model: agent, messages: [{ role: "user", content: "One" }] });
  const final = await runner.finalChatCompletion();
  return final.choices[0].message.content;
}

async function agents() {
  const { sessions } = client.beta.agents;
  const environment = { type: "none" };
  const types = [];
  const created = await sessions.create({ environment, agent_id: agent, input: "One", stream: true });
  for await (const event of created) types.push(event.type);
  const session = await sessions.create({ environment, agent_id: agent });
  const stream = sessions.stream(session.id, { input: "Two" });
  const result = await stream.finalResult();
  const turns = [];
  for await (const turn of sessions.turns.list(session.id)) turns.push(turn.status);
  return { first: types[0], last: types.at(-1), text: result.outputText ?? result.output_text, turns };
}

async function error(call) {
  try {
    await call();
  } catch (error) {
    return [error.constructor.name, error.status, error.code, error.param];
  }
  return [];
}

const errors = {
  model: await error(() => client.responses.create({ model: "nobody", input: "Hi" })),
  create: await error(() => client.beta.agents.create({ model: "x" })),
};

console.log(
  JSON.stringify({
    responses: await responses(),
    resumed: await resumed(),
    conversation: await conversation(),
    chat: await chat(),
    agents: await agents(),
    errors,
  }),
);
