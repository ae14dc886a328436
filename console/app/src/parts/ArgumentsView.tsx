// What would run, exactly: one line for each value, and what is new since the call before.

import type { JsonValue } from "@steadfast/client";
import { useMemo, useState } from "react";

import { changesOf, linesOf, type Change } from "./lines";

/** From here on it is worth saying how long it is. */
const MANY_LINES = 20;
/** Changes that are shown at most: a person compares fewer. */
const MAX_CHANGES = 1000;

interface Props {
  value: JsonValue;
  /** The arguments of the call before of the same tool. */
  before: JsonValue | undefined;
  label: string;
}

export function ArgumentsView({ value, before, label }: Props) {
  const [comparing, setComparing] = useState(false);
  const lines = useMemo(() => linesOf(value), [value]);
  const earlier = useMemo(() => (before === undefined ? undefined : linesOf(before)), [before]);
  return (
    <div>
      <div className="mb-1 flex flex-wrap items-center gap-x-3 text-xs">
        <p className="font-medium text-soft">Arguments, exactly as they run{lines.length > MANY_LINES && `: ${lines.length.toLocaleString()} lines`}</p>
        {earlier && (
          <button type="button" className="text-soft underline" aria-pressed={comparing} onClick={() => setComparing(!comparing)}>
            {comparing ? "Show all of them" : "Show changes since the last call"}
          </button>
        )}
      </div>
      <pre tabIndex={0} role="region" aria-label={comparing ? `Changes of the ${label.toLowerCase()}` : label} className="max-h-96 overflow-auto rounded-md bg-sunken p-3 font-mono text-[13px] whitespace-pre-wrap wrap-anywhere">
        {comparing && earlier ? <Changes changes={changesOf(earlier, lines)} /> : lines.join("\n")}
      </pre>
    </div>
  );
}

function Changes({ changes }: { changes: Change[] }) {
  if (changes.every(({ kind }) => kind === "skipped")) return "The same arguments as in the last call";
  return changes.slice(0, MAX_CHANGES).map((change, place) => {
    switch (change.kind) {
      case "skipped":
        return <span key={place} className="block text-soft">⋯ {change.count} {change.count === 1 ? "line" : "lines"} as before</span>;
      case "same":
        return <span key={place} className="block">{`  ${change.text}`}</span>;
      case "removed":
        return <del key={place} className="block bg-bad-soft text-bad no-underline">{`- ${change.text}`}</del>;
      case "added":
        return <ins key={place} className="block bg-good-soft text-good no-underline">{`+ ${change.text}`}</ins>;
    }
  });
}
