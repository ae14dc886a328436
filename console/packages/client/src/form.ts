// From the JSON Schema of an approval to the fields of a form, and from what was filled in to the answer. Pure. The
// gateway checks the answer against the whole schema: what this does not understand is a field for JSON.

import type { JsonValue } from "./message.js";

/** Deeper objects are one field for JSON. */
const MAX_DEPTH = 4;
/** A schema with more properties is one field for JSON. */
const MAX_FIELDS = 200;

export interface FieldBase {
  /** Names from the top, which is empty. */
  path: string[];
  label: string;
  help: string;
  required: boolean;
}

export type Field = FieldBase &
  (
    | { kind: "text"; long: boolean; input: "text" | "email" | "url" | "date" | "datetime-local"; initial: string; minLength?: number; maxLength?: number }
    | { kind: "number"; integer: boolean; initial: string; minimum?: number; maximum?: number }
    | { kind: "boolean"; initial: boolean }
    | { kind: "choice"; options: { value: JsonValue; label: string }[]; initial: string }
    | { kind: "choices"; options: { value: JsonValue; label: string }[]; initial: string[] }
    | { kind: "json"; initial: string }
    | { kind: "group"; fields: Field[] }
  );

/** What was filled in, by the path of the field as JSON text; choices are numbers of options. */
export type Values = Record<string, string | boolean | string[]>;

export type Answer = { ok: true; answer: JsonValue } | { ok: false; path: string[]; message: string };

type Schema = { [name: string]: JsonValue };

export function fieldOf(schema: JsonValue): Field {
  return build(schema, [], "Answer", true, { left: MAX_FIELDS });
}

export function keyOf(field: Field): string {
  return JSON.stringify(field.path);
}

/** The values with which a form begins. */
export function initialValues(field: Field): Values {
  if (field.kind === "group") return Object.assign({}, ...field.fields.map(initialValues)) as Values;
  return { [keyOf(field)]: field.initial };
}

/** The answer, or the first field that cannot be one. */
export function answerOf(field: Field, values: Values): Answer {
  const answer = read(field, values);
  if (!answer.ok) return answer;
  return { ok: true, answer: answer.answer === undefined ? null : answer.answer };
}

type Read = { ok: true; answer: JsonValue | undefined } | { ok: false; path: string[]; message: string };

function read(field: Field, values: Values): Read {
  const wrong = (message: string): Read => ({ ok: false, path: field.path, message: `${field.label}: ${message}` });
  const missing = (): Read => (field.required ? wrong("is required") : { ok: true, answer: undefined });
  if (field.kind === "group") return readGroup(field, values);
  const value = values[keyOf(field)] ?? field.initial;
  switch (field.kind) {
    case "boolean":
      return { ok: true, answer: value === true };
    case "text": {
      const text = String(value);
      if (text === "" && (!field.required || (field.minLength ?? 0) > 0 || field.input !== "text")) return missing();
      if (field.minLength !== undefined && text.length < field.minLength) return wrong(`has at least ${field.minLength} characters`);
      if (field.maxLength !== undefined && text.length > field.maxLength) return wrong(`has at most ${field.maxLength} characters`);
      if (field.input !== "datetime-local") return { ok: true, answer: text };
      const time = new Date(text);
      return Number.isNaN(time.getTime()) ? wrong("is no time") : { ok: true, answer: time.toISOString() };
    }
    case "number": {
      const text = String(value).trim();
      if (text === "") return missing();
      const number = Number(text);
      if (!Number.isFinite(number)) return wrong("is no number");
      if (field.integer && !Number.isSafeInteger(number)) return wrong("is no whole number");
      if (field.minimum !== undefined && number < field.minimum) return wrong(`is at least ${field.minimum}`);
      if (field.maximum !== undefined && number > field.maximum) return wrong(`is at most ${field.maximum}`);
      return { ok: true, answer: number };
    }
    case "choice": {
      const option = value === "" ? undefined : field.options[Number(value)];
      return option ? { ok: true, answer: option.value } : missing();
    }
    case "choices": {
      const chosen = (Array.isArray(value) ? value : []).map((index) => field.options[Number(index)]);
      return { ok: true, answer: chosen.flatMap((option) => (option ? [option.value] : [])) };
    }
    case "json": {
      const text = String(value).trim();
      if (text === "") return missing();
      try {
        return { ok: true, answer: JSON.parse(text) as JsonValue };
      } catch {
        return wrong("is no JSON");
      }
    }
  }
}

function readGroup(field: Field & { kind: "group" }, values: Values): Read {
  const entries: [string, JsonValue][] = [];
  for (const member of field.fields) {
    const answer = read(member, values);
    if (!answer.ok) return answer;
    if (answer.answer !== undefined) entries.push([member.path.at(-1) ?? "", answer.answer]);
  }
  // An optional object of which nothing was filled in is absent.
  if (!field.required && entries.length === 0) return { ok: true, answer: undefined };
  return { ok: true, answer: Object.fromEntries(entries) };
}

function build(schema: JsonValue, path: string[], name: string, required: boolean, budget: { left: number }): Field {
  const object: Schema = isObject(schema) ? schema : {};
  const base: FieldBase = { path, label: text(object.title) ?? name, help: text(object.description) ?? "", required };
  const type = typeOf(object);
  const initial = object.default;
  if (type === "object" && isObject(object.properties) && path.length < MAX_DEPTH) {
    const names = Object.keys(object.properties);
    if (names.length <= budget.left) {
      budget.left -= names.length;
      const needed = Array.isArray(object.required) ? object.required : [];
      const properties = object.properties;
      const fields = names.map((each) => build(properties[each] ?? {}, [...path, each], each, needed.includes(each), budget));
      return { ...base, kind: "group", fields };
    }
  }
  const options = optionsOf(object);
  if (options) {
    const index = options.findIndex((option) => same(option.value, initial));
    return { ...base, kind: "choice", options, initial: index < 0 ? "" : String(index) };
  }
  const items = type === "array" && isObject(object.items) ? optionsOf(object.items) : undefined;
  if (items) {
    const chosen = Array.isArray(initial) ? initial : [];
    const indexes = items.flatMap((option, index) => (chosen.some((each) => same(each, option.value)) ? [String(index)] : []));
    return { ...base, kind: "choices", options: items, initial: indexes };
  }
  switch (type) {
    case "boolean":
      return { ...base, kind: "boolean", initial: initial === true };
    case "number":
    case "integer":
      return {
        ...base,
        kind: "number",
        integer: type === "integer",
        initial: typeof initial === "number" ? String(initial) : "",
        ...bound("minimum", object.minimum),
        ...bound("maximum", object.maximum),
      };
    case "string": {
      const input = INPUTS[text(object.format) ?? ""] ?? "text";
      const longest = typeof object.maxLength === "number" ? object.maxLength : undefined;
      return {
        ...base,
        kind: "text",
        input,
        long: input === "text" && (longest === undefined || longest > 120),
        initial: typeof initial === "string" ? initial : "",
        ...bound("minLength", object.minLength),
        ...bound("maxLength", object.maxLength),
      };
    }
    default:
      return { ...base, kind: "json", initial: initial === undefined ? "" : JSON.stringify(initial, null, 2) };
  }
}

const INPUTS: Record<string, "email" | "url" | "date" | "datetime-local"> = {
  email: "email",
  uri: "url",
  date: "date",
  "date-time": "datetime-local",
};

/** The values of `enum`, `const`, and `oneOf` or `anyOf` of constants. */
function optionsOf(schema: Schema): { value: JsonValue; label: string }[] | undefined {
  if (Array.isArray(schema.enum)) {
    const names = Array.isArray(schema.enumNames) ? schema.enumNames : [];
    return schema.enum.map((value, index) => ({ value, label: text(names[index]) ?? shown(value) }));
  }
  const alternatives = Array.isArray(schema.oneOf) ? schema.oneOf : Array.isArray(schema.anyOf) ? schema.anyOf : [];
  if (alternatives.length === 0) return undefined;
  const options = alternatives.flatMap((each) =>
    isObject(each) && each.const !== undefined ? [{ value: each.const, label: text(each.title) ?? shown(each.const) }] : [],
  );
  return options.length === alternatives.length ? options : undefined;
}

function typeOf(schema: Schema): string | undefined {
  if (typeof schema.type === "string") return schema.type;
  if (Array.isArray(schema.type)) {
    const types = schema.type.filter((each) => each !== "null");
    return types.length === 1 ? text(types[0]) : undefined;
  }
  return isObject(schema.properties) ? "object" : undefined;
}

function bound<Name extends string>(name: Name, value: JsonValue | undefined): { [key in Name]?: number } {
  return (typeof value === "number" ? { [name]: value } : {}) as { [key in Name]?: number };
}

function isObject(value: JsonValue | undefined): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: JsonValue | undefined): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function shown(value: JsonValue): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function same(a: JsonValue | undefined, b: JsonValue | undefined): boolean {
  return a !== undefined && JSON.stringify(a) === JSON.stringify(b);
}
