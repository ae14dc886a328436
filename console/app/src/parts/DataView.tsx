// Structured content as a table or a tree, and as JSON. Nothing in it is HTML.

import type { JsonValue } from "@steadfast/client";
import { useState } from "react";

/** Rows that are shown at once; more on demand. */
const PAGE_ROWS = 100;
const MAX_COLUMNS = 12;
/** Deeper values are shown as JSON. */
const MAX_DEPTH = 8;

export function JsonText({ value, label }: { value: JsonValue; label: string }) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return (
    <pre tabIndex={0} role="region" aria-label={label} className="max-h-96 overflow-auto rounded-md bg-sunken p-3 font-mono text-[13px] whitespace-pre-wrap wrap-anywhere">
      {text}
    </pre>
  );
}

/** A value as a table or a tree, with its JSON one press away. */
export function DataView({ value, label }: { value: JsonValue; label: string }) {
  const [raw, setRaw] = useState(false);
  const plain = typeof value !== "object" || value === null;
  return (
    <div className="min-w-0">
      {!plain && (
        <button type="button" className="mb-1 text-xs text-soft underline" aria-pressed={raw} onClick={() => setRaw(!raw)}>
          {raw ? "Show as table" : "Show as JSON"}
        </button>
      )}
      {raw || plain ? <JsonText value={value} label={label} /> : <div className="overflow-x-auto" tabIndex={0} role="region" aria-label={label}><Value value={value} depth={0} /></div>}
    </div>
  );
}

function Value({ value, depth }: { value: JsonValue; depth: number }) {
  if (Array.isArray(value)) {
    if (value.length === 0) return <span className="text-soft">empty list</span>;
    if (depth >= MAX_DEPTH) return <code>{JSON.stringify(value)}</code>;
    const columns = columnsOf(value);
    return columns ? <Table rows={value as Record<string, JsonValue>[]} columns={columns} depth={depth} /> : <List values={value} depth={depth} />;
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value);
    if (entries.length === 0) return <span className="text-soft">empty object</span>;
    if (depth >= MAX_DEPTH) return <code>{JSON.stringify(value)}</code>;
    return <Members entries={entries} depth={depth} />;
  }
  return <span className="whitespace-pre-wrap wrap-anywhere">{value === null ? "null" : String(value)}</span>;
}

/** The columns of a list of flat objects with few different members. */
function columnsOf(values: JsonValue[]): string[] | undefined {
  const columns = new Set<string>();
  for (const value of values) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    for (const name of Object.keys(value)) columns.add(name);
    if (columns.size > MAX_COLUMNS) return undefined;
  }
  return [...columns];
}

const CELL = "border border-line px-2 py-1 text-left align-top";

function Table({ rows, columns, depth }: { rows: Record<string, JsonValue>[]; columns: string[]; depth: number }) {
  const { shown, more } = usePages(rows);
  return (
    <>
      <table className="border-collapse text-sm">
        <thead>
          <tr>{columns.map((name) => <th key={name} scope="col" className={`${CELL} bg-sunken font-medium`}>{name}</th>)}</tr>
        </thead>
        <tbody>
          {shown.map((row, index) => (
            <tr key={index}>
              {columns.map((name) => <td key={name} className={CELL}>{row[name] === undefined ? null : <Value value={row[name]} depth={depth + 1} />}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
      {more}
    </>
  );
}

function Members({ entries, depth }: { entries: [string, JsonValue][]; depth: number }) {
  const { shown, more } = usePages(entries);
  return (
    <>
      <table className="border-collapse text-sm">
        <tbody>
          {shown.map(([name, value]) => (
            <tr key={name}>
              <th scope="row" className={`${CELL} bg-sunken font-medium`}>{name}</th>
              <td className={CELL}><Value value={value} depth={depth + 1} /></td>
            </tr>
          ))}
        </tbody>
      </table>
      {more}
    </>
  );
}

function List({ values, depth }: { values: JsonValue[]; depth: number }) {
  const { shown, more } = usePages(values);
  return (
    <>
      <ol className="list-decimal pl-6 text-sm">
        {shown.map((value, index) => <li key={index} className="py-0.5"><Value value={value} depth={depth + 1} /></li>)}
      </ol>
      {more}
    </>
  );
}

function usePages<T>(all: T[]) {
  const [rows, setRows] = useState(PAGE_ROWS);
  const more =
    all.length > rows ? (
      <button type="button" className="mt-1 text-xs underline" onClick={() => setRows(rows + PAGE_ROWS)}>
        Show {Math.min(PAGE_ROWS, all.length - rows)} more of {all.length}
      </button>
    ) : null;
  return { shown: all.slice(0, rows), more };
}
