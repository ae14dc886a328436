// A JSON value as lines that people can read and compare, and what two of them differ in. Pure.

import type { JsonValue } from "@steadfast/client";

/** Longer sides are not compared line by line: the time and the memory grow with their product. */
const MAX_COMPARED_LINES = 1500;
/** Lines that are the same on both sides and stand next to one that is not. */
const CONTEXT_LINES = 3;

/**
 * One line for each value, in the order in which they were given. A text of several lines has one line for each of them,
 * each a JSON string: nothing is hidden, not even a space at an end.
 */
export function linesOf(value: JsonValue): string[] {
  const lines: string[] = [];
  write(value, "", "", "", lines);
  return lines;
}

function write(value: JsonValue, indent: string, name: string, after: string, lines: string[]): void {
  const inner = `${indent}  `;
  if (typeof value === "string") {
    const parts = value.split(/(?<=\n)/);
    if (parts.length < 2) lines.push(`${indent}${name}${JSON.stringify(value)}${after}`);
    else {
      if (name) lines.push(`${indent}${name}`.trimEnd());
      parts.forEach((part, place) => lines.push(`${inner}${JSON.stringify(part)}${place === parts.length - 1 ? after : ""}`));
    }
    return;
  }
  const isList = Array.isArray(value);
  const members: [string, JsonValue][] = isList ? value.map((each) => ["", each]) : typeof value === "object" && value !== null ? Object.entries(value) : [];
  if (members.length === 0) {
    lines.push(`${indent}${name}${JSON.stringify(value)}${after}`);
    return;
  }
  lines.push(`${indent}${name}${isList ? "[" : "{"}`);
  members.forEach(([key, each], place) => write(each, inner, isList ? "" : `${JSON.stringify(key)}: `, place === members.length - 1 ? "" : ",", lines));
  lines.push(`${indent}${isList ? "]" : "}"}${after}`);
}

export type Change =
  | { kind: "same" | "removed" | "added"; text: string }
  /** Lines that are the same on both sides. */
  | { kind: "skipped"; count: number };

/** What has changed from one list of lines to the other, each change with the lines around it. */
export function changesOf(before: string[], after: string[]): Change[] {
  let begin = 0;
  while (begin < before.length && begin < after.length && before[begin] === after[begin]) begin += 1;
  let end = 0;
  const most = Math.min(before.length, after.length) - begin;
  while (end < most && before[before.length - 1 - end] === after[after.length - 1 - end]) end += 1;
  const same = (lines: string[]): Change[] => lines.map((text) => ({ kind: "same", text }));
  return folded([
    ...same(before.slice(0, begin)),
    ...between(before.slice(begin, before.length - end), after.slice(begin, after.length - end)),
    ...same(before.slice(before.length - end)),
  ]);
}

/** The fewest lines that have to go and to come: what stays is a longest common subsequence. */
function between(before: string[], after: string[]): Change[] {
  const removed = (text: string): Change => ({ kind: "removed", text });
  const added = (text: string): Change => ({ kind: "added", text });
  if (before.length > MAX_COMPARED_LINES || after.length > MAX_COMPARED_LINES) return [...before.map(removed), ...after.map(added)];
  const width = after.length + 1;
  /** At `i * width + j`: how many lines the rests from `i` and `j` on have in common. */
  const common = new Uint16Array((before.length + 1) * width);
  for (let i = before.length - 1; i >= 0; i -= 1) {
    for (let j = after.length - 1; j >= 0; j -= 1) {
      const right = i * width + j;
      common[right] = before[i] === after[j] ? common[right + width + 1]! + 1 : Math.max(common[right + width]!, common[right + 1]!);
    }
  }
  const changes: Change[] = [];
  let [i, j] = [0, 0];
  while (i < before.length || j < after.length) {
    const here = i * width + j;
    if (i < before.length && j < after.length && before[i] === after[j]) {
      changes.push({ kind: "same", text: before[i]! });
      i += 1;
      j += 1;
    } else if (j === after.length || (i < before.length && common[here + width]! >= common[here + 1]!)) {
      changes.push(removed(before[i]!));
      i += 1;
    } else {
      changes.push(added(after[j]!));
      j += 1;
    }
  }
  return changes;
}

/** Lines far from every change are counted. */
function folded(changes: Change[]): Change[] {
  const isNear = new Array<boolean>(changes.length).fill(false);
  changes.forEach(({ kind }, place) => {
    if (kind !== "same") isNear.fill(true, Math.max(0, place - CONTEXT_LINES), place + CONTEXT_LINES + 1);
  });
  const shown: Change[] = [];
  changes.forEach((change, place) => {
    const last = shown.at(-1);
    if (isNear[place]) shown.push(change);
    else if (last?.kind === "skipped") last.count += 1;
    else shown.push({ kind: "skipped", count: 1 });
  });
  return shown;
}
