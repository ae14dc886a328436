import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";

import { ApiError, connectTo, followTask, type StreamUpdate } from "../src/index.js";

type Answer = (response: ServerResponse, request: IncomingMessage) => void;

const STREAM = { "content-type": "text/event-stream" };

/** Follows a task on a server that gives one answer after the other. */
async function follow(answers: Answer[], token?: string, silenceMs?: number) {
  const asked: (string | undefined)[] = [];
  const authorized: (string | undefined)[] = [];
  const waits: number[] = [];
  const server = createServer((request, response) => {
    asked.push(request.headers["last-event-id"] as string | undefined);
    authorized.push(request.headers.authorization);
    const answer = answers.shift();
    if (answer) answer(response, request);
    else response.writeHead(204).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const updates: StreamUpdate[] = [];
  let error: unknown;
  try {
    for await (const update of followTask({
      connection: connectTo(`http://127.0.0.1:${port}/`, () => token),
      taskId: "a task",
      ...(silenceMs === undefined ? {} : { silenceMs }),
      wait: async (ms) => void waits.push(ms),
    })) {
      updates.push(update);
    }
  } catch (thrown) {
    error = thrown;
  } finally {
    server.close();
    server.closeAllConnections();
  }
  const ids = updates.flatMap((update) => (update.type === "event" ? [update.id] : []));
  return { asked, authorized, waits, updates, ids, error };
}

const event = (id: string) => `event: text_delta\nid: ${id}\ndata: {}\n\n`;

test("it goes on after 503, a lost connection and a closed one, from where it was, and stops at 204", async () => {
  const { asked, ids, updates, error } = await follow([
    (response) => response.writeHead(503, { "content-type": "application/json" }).end('{"message":"Redis is not available now"}'),
    (response) => {
      response.writeHead(200, STREAM);
      // What was cut off is no event.
      response.write(`${event("7-1")}${event("7-2")}event: text_delta\nid: 7-3\ndata`, () => response.destroy());
    },
    (_, request) => request.socket.destroy(),
    (response) => response.writeHead(200, STREAM).end(event("7-3")),
  ]);
  assert.equal(error, undefined);
  assert.deepEqual(asked, ["0", "0", "7-2", "7-2", "7-3"]);
  assert.deepEqual(ids, ["7-1", "7-2", "7-3"]);
  const reasons = updates.flatMap((update) => (update.type === "waiting" ? [update.reason] : []));
  assert.equal(reasons[0], "Redis is not available now");
  assert.deepEqual(updates.at(-1), { type: "ended" });
});

test("a connection that is silent for too long is dead, as after a sleep, and the next one goes on from where it was", async () => {
  const { asked, ids, updates } = await follow(
    [(response) => void response.writeHead(200, STREAM).write(event("7-1")), (response) => response.writeHead(200, STREAM).end(event("7-2"))],
    undefined,
    100,
  );
  assert.deepEqual(asked, ["0", "7-1", "7-2"]);
  assert.deepEqual(ids, ["7-1", "7-2"]);
  assert.match(updates.flatMap((update) => (update.type === "waiting" ? [update.reason] : []))[0] ?? "", /nothing was heard/);
});

test("it waits for as long as Retry-After says, longer after each failure, and never without end", async () => {
  const busy: Answer = (response) => response.writeHead(503).end();
  const { waits } = await follow([
    (response) => response.writeHead(429, { "retry-after": "3" }).end(),
    ...Array.from({ length: 12 }, () => busy),
  ]);
  assert.equal(waits[0], 3000);
  assert.ok(waits.slice(1).every((ms) => ms >= 250 && ms <= 15_000), String(waits));
  assert.ok(waits.at(-1)! >= 7_500);
});

test("it does not ask in a hot loop where each stream ends at once", async () => {
  const empty: Answer = (response) => response.writeHead(200, STREAM).end();
  const { waits } = await follow([empty, empty, empty]);
  assert.equal(waits.length, 3);
  assert.ok(waits[0]! >= 100 && waits[2]! >= 250, String(waits));
});

test("it gives up where trying again cannot help, with the gateway's own words", async () => {
  const { error, authorized, asked } = await follow(
    [(response) => response.writeHead(404, { "content-type": "application/json" }).end('{"message":"the task does not exist, or you may not see it"}')],
    "secret",
  );
  assert.ok(error instanceof ApiError);
  assert.equal(error.status, 404);
  assert.equal(error.message, "the task does not exist, or you may not see it");
  assert.deepEqual(authorized, ["Bearer secret"]);
  assert.equal(asked.length, 1);
});

test("a page of a proxy is no stream", async () => {
  const { updates } = await follow([(response) => response.writeHead(200, { "content-type": "text/html" }).end("<p>sign in")]);
  assert.match(updates[0]?.type === "waiting" ? updates[0].reason : "", /a proxy may have answered/);
});

test("a proxy that sends the reader to its sign-in page ends the stream as a token that is not valid does", async () => {
  const { error, asked } = await follow([(response) => response.writeHead(302, { location: "https://login.example.com/" }).end()]);
  assert.ok(error instanceof ApiError);
  assert.equal(error.status, 401);
  assert.equal(asked.length, 1);
});
