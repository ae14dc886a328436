// OpenAI's APIs through the public client `openai` of npm, unmodified.
//
// Usage: openai_api.mjs GATEWAY_URL AGENT_NAME
//
// Responses, Conversations and Chat Completions, with the helpers of the client. Prints what it got as one JSON object.

import { createRequire } from "node:module";

const require = createRequire(process.env.NODE_CLIENTS);
const { OpenAI } = require("openai");
const { makeParseableResponseFormat, makeParseableTextFormat } = require("openai/lib/parser");
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
  const helper = await client.responses.stream({ response_id: id, starting_after: after }).finalResponse();
  return {
    gapless: all.every((event, index) => event.sequence_number === index),
    text: all.filter(({ type }) => type === "response.output_text.delta").map(({ delta }) => delta).join(""),
    helper: helper.output_text,
  };
}

/** A stream that says nothing in mid-answer, for longer than its keep-alives. */
async function silence() {
  return (await client.responses.stream({ model: agent, input: "be silent" }).finalResponse()).output_text;
}

async function conversation() {
  const { id } = await client.conversations.create();
  await client.responses.create({ model: agent, input: "One", conversation: id });
  const texts = [];
  for await (const item of client.conversations.items.list(id, { order: "asc", limit: 1 })) texts.push(item.content[0].text);
  const same_id = (await client.conversations.retrieve(id)).id === id;
  const { deleted } = await client.conversations.delete(id);
  return { texts, same_id, deleted };
}

async function chat() {
  const runner = client.chat.completions.stream({ model: agent, messages: [{ role: "user", content: "One" }] });
  const final = await runner.finalChatCompletion();
  return final.choices[0].message.content;
}

async function parsed() {
  const parser = (text) => JSON.parse(text);
  const format = { type: "json_schema", name: "weather", schema: { type: "object" } };
  const text = { format: makeParseableTextFormat(format, parser) };
  const response = await client.responses.parse({ model: agent, input: "as JSON", text });
  const completion = await client.chat.completions.parse({
    model: agent,
    messages: [{ role: "user", content: "as JSON" }],
    response_format: makeParseableResponseFormat({ type: "json_schema", json_schema: { name: "weather" } }, parser),
  });
  return { response: response.output_parsed, completion: completion.choices[0].message.parsed };
}

async function canceled() {
  let id;
  for await (const event of await client.responses.create({ model: agent, input: "endlessly", stream: true, background: true })) {
    if (event.type === "response.created") id = event.response.id;
    if (event.type === "response.output_text.delta") break;
  }
  return (await client.responses.cancel(id)).status;
}

async function decided(approve) {
  const asking = await client.responses.create({ model: agent, input: "ask a person" });
  const request = asking.output.at(-1);
  const input = [{ type: "mcp_approval_response", approval_request_id: request.id, approve, reason: "because" }];
  const final = await client.responses.stream({ model: agent, previous_response_id: asking.id, input }).finalResponse();
  return { asked: [request.type, request.name], items: final.output.map(({ type }) => type), text: final.output_text };
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

const silent = silence();
console.log(
  JSON.stringify({
    responses: await responses(),
    resumed: await resumed(),
    parsed: await parsed(),
    canceled: await canceled(),
    approved: await decided(true),
    denied: await decided(false),
    conversation: await conversation(),
    chat: await chat(),
    errors,
    silence: await silent,
  }),
);
