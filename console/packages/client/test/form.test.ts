import assert from "node:assert/strict";
import { test } from "node:test";

import { answerOf, fieldOf, initialValues, keyOf, type Field, type JsonValue, type Values } from "../src/index.js";

const SCHEMA: JsonValue = {
  type: "object",
  required: ["amount", "speed"],
  properties: {
    amount: { type: "integer", minimum: 1, maximum: 100 },
    speed: { enum: ["slow", "fast"], default: "fast" },
    note: { type: "string", title: "A note", maxLength: 3 },
    gift: { type: "boolean" },
    colours: { type: "array", items: { enum: ["red", "blue"] } },
    address: { type: "object", required: ["city"], properties: { city: { type: "string", minLength: 1 } } },
    extra: {},
  },
};

function filled(schema: JsonValue, values: Record<string, string | boolean | string[]>) {
  const field = fieldOf(schema);
  const all: Values = { ...initialValues(field) };
  for (const [path, value] of Object.entries(values)) all[JSON.stringify(path === "" ? [] : path.split("."))] = value;
  return answerOf(field, all);
}

test("an answer has what was filled in, and what begins with a value", () => {
  const address = { "address.city": "Oslo" };
  assert.deepEqual(filled(SCHEMA, { amount: "7", gift: true, colours: ["1"], extra: '{"a":1}', ...address }), {
    ok: true,
    answer: { amount: 7, speed: "fast", gift: true, colours: ["blue"], address: { city: "Oslo" }, extra: { a: 1 } },
  });
});

test("the first field that is wrong is named", () => {
  const message = (values: Record<string, string>) => {
    const answer = filled(SCHEMA, { "address.city": "Oslo", ...values });
    return answer.ok ? "" : answer.message;
  };
  assert.equal(message({}), "amount: is required");
  assert.equal(message({ amount: "1.5" }), "amount: is no whole number");
  assert.equal(message({ amount: "101" }), "amount: is at most 100");
  assert.equal(message({ amount: "1", note: "long" }), "A note: has at most 3 characters");
  assert.equal(message({ amount: "1", extra: "{" }), "extra: is no JSON");
});

test("an answer need not be an object, and a schema that is not understood asks for JSON", () => {
  assert.deepEqual(filled({ type: "string" }, { "": "yes" }), { ok: true, answer: "yes" });
  assert.deepEqual(filled({ oneOf: [{ const: 1, title: "One" }, { const: 2 }] }, { "": "1" }), { ok: true, answer: 2 });
  assert.deepEqual(filled({ $ref: "#/x" }, { "": "[1]" }), { ok: true, answer: [1] });
  assert.deepEqual(filled(true, { "": "1" }), { ok: true, answer: 1 });
});

test("a schema of any size makes a form of bounded size", () => {
  const properties = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`f${index}`, { type: "string" }]));
  assert.equal(fieldOf({ type: "object", properties }).kind, "json");
  let deep: JsonValue = { type: "string" };
  for (let level = 0; level < 60; level += 1) deep = { type: "object", properties: { next: deep } };
  let field: Field = fieldOf(deep);
  let levels = 0;
  while (field.kind === "group") {
    field = field.fields[0]!;
    levels += 1;
  }
  assert.deepEqual([levels, field.kind], [4, "json"]);
  assert.equal(keyOf(field), '["next","next","next","next"]');
});

test("a property named like a member of every object is a property", () => {
  const answer = filled(JSON.parse('{"type":"object","properties":{"__proto__":{"type":"string"}}}') as JsonValue, { __proto__x: "" });
  assert.equal(answer.ok, true);
});
