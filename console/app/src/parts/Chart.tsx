// A small chart of bars or lines over time, and the same as a table. Drawn as SVG: what a screen reader gets is the
// summary, and the table on demand.

import { upperBound } from "@steadfast/client";
import { useId, useState } from "react";

const WIDTH = 480;
const HEIGHT = 120;
/** Room for the figures of the axis. */
const LEFT = 44;
const BOTTOM = 16;
const TOP = 6;

export interface Line {
  label: string;
  /** A class for `fill` or `stroke`; and what marks the line where colours cannot be told apart. */
  color: Color;
  /** Absent where nothing was measured. */
  values: (number | undefined)[];
}

export type Color = "accent" | "good" | "warn" | "bad";

const FILL: Record<Color, string> = { accent: "fill-accent", good: "fill-good", warn: "fill-warn", bad: "fill-bad" };
const STROKE: Record<Color, string> = { accent: "stroke-accent", good: "stroke-good", warn: "stroke-warn", bad: "stroke-bad" };
const BACKGROUND: Record<Color, string> = { accent: "bg-accent", good: "bg-good", warn: "bg-warn", bad: "bg-bad" };
const DASHES = ["", "5 3", "2 2", "7 2 2 2"];

interface ChartProps {
  title: string;
  /** `bars` are put on each other. */
  kind: "bars" | "lines";
  lines: Line[];
  /** What each place on the axis is called. */
  places: string[];
  format: (value: number) => string;
}

export function Chart({ title, kind, lines, places, format }: ChartProps) {
  const [table, setTable] = useState(false);
  const id = useId();
  const sums = places.map((_, index) => lines.reduce((sum, line) => sum + (line.values[index] ?? 0), 0));
  const top = upperBound(kind === "bars" ? sums : lines.flatMap((line) => line.values.map((value) => value ?? 0)));
  const isEmpty = lines.every((line) => line.values.every((value) => value === undefined || value === 0));
  return (
    <section className="card grid grid-cols-1 content-start gap-2 p-4" aria-labelledby={id}>
      <div className="flex flex-wrap items-center gap-2">
        <h2 id={id} className="mr-auto font-semibold">{title}</h2>
        <button type="button" className="button min-h-8 py-0.5 text-xs" aria-pressed={table} onClick={() => setTable(!table)}>
          Table<span className="sr-only"> of {title}</span>
        </button>
      </div>
      {table ? <ChartTable title={title} lines={lines} places={places} format={format} /> : (
        <>
          <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={summary(title, lines, format)} className="w-full">
            <Axis top={top} places={places} format={format} />
            {kind === "bars" ? <Bars lines={lines} top={top} count={places.length} /> : <Lines lines={lines} top={top} count={places.length} />}
          </svg>
          <ul className="flex flex-wrap gap-x-3 gap-y-1 text-xs text-soft" aria-hidden="true">
            {lines.map((line) => (
              <li key={line.label} className="flex items-center gap-1"><span className={`size-2.5 rounded-sm ${BACKGROUND[line.color]}`} />{line.label}</li>
            ))}
            {isEmpty && <li>nothing in this time</li>}
          </ul>
        </>
      )}
    </section>
  );
}

const inner = { width: WIDTH - LEFT, height: HEIGHT - TOP - BOTTOM };
const yOf = (value: number, top: number) => TOP + inner.height * (1 - value / top);

function Axis({ top, places, format }: { top: number; places: string[]; format: (value: number) => string }) {
  return (
    <g className="fill-soft text-[9px]">
      {[0, top / 2, top].map((value) => (
        <g key={value}>
          <line x1={LEFT} x2={WIDTH} y1={yOf(value, top)} y2={yOf(value, top)} className="stroke-line" strokeWidth="0.5" />
          <text x={LEFT - 4} y={yOf(value, top) + 3} textAnchor="end">{format(value)}</text>
        </g>
      ))}
      <text x={LEFT} y={HEIGHT - 4}>{places[0]}</text>
      <text x={WIDTH} y={HEIGHT - 4} textAnchor="end">{places[places.length - 1]}</text>
    </g>
  );
}

function Bars({ lines, top, count }: { lines: Line[]; top: number; count: number }) {
  const step = inner.width / count;
  const gap = Math.min(2, step / 4);
  return Array.from({ length: count }, (_, index) => {
    let below = 0;
    return lines.map((line) => {
      const value = line.values[index] ?? 0;
      if (value === 0) return null;
      const y = yOf(below + value, top);
      const height = yOf(below, top) - y;
      below += value;
      return <rect key={`${index} ${line.label}`} x={LEFT + index * step + gap / 2} y={y} width={step - gap} height={height} className={FILL[line.color]} />;
    });
  });
}

function Lines({ lines, top, count }: { lines: Line[]; top: number; count: number }) {
  const step = inner.width / count;
  return lines.map((line, order) => {
    const points = line.values.flatMap((value, index) => (value === undefined ? [] : [{ x: LEFT + (index + 0.5) * step, y: yOf(value, top) }]));
    return (
      <g key={line.label}>
        <polyline points={points.map(({ x, y }) => `${x},${y}`).join(" ")} fill="none" className={STROKE[line.color]} strokeWidth="1.5" strokeDasharray={DASHES[order % DASHES.length]} />
        {points.map(({ x, y }) => <circle key={x} cx={x} cy={y} r="2" className={FILL[line.color]} />)}
      </g>
    );
  });
}

function ChartTable({ title, lines, places, format }: Omit<ChartProps, "kind">) {
  const rows = places.map((place, index) => ({ place, values: lines.map((line) => line.values[index]) }));
  const known = rows.filter((row) => row.values.some((value) => value !== undefined));
  return (
    <div className="max-h-64 overflow-auto" tabIndex={0} role="region" aria-label={`Table of ${title}`}>
      <table className="w-full text-sm">
        <thead className="text-left text-xs text-soft">
          <tr>
            <th scope="col" className="font-medium">Time</th>
            {lines.map((line) => <th key={line.label} scope="col" className="text-right font-medium">{line.label}</th>)}
          </tr>
        </thead>
        <tbody>
          {known.map((row) => (
            <tr key={row.place} className="border-t border-line">
              <th scope="row" className="text-left font-normal">{row.place}</th>
              {row.values.map((value, index) => <td key={lines[index]?.label} className="text-right tabular-nums">{value === undefined ? "–" : format(value)}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
      {known.length === 0 && <p className="text-sm text-soft">Nothing in this time.</p>}
    </div>
  );
}

function summary(title: string, lines: Line[], format: (value: number) => string): string {
  const parts = lines.map((line) => {
    const known = line.values.filter((value) => value !== undefined);
    if (known.length === 0) return `${line.label}: nothing`;
    return `${line.label}: at most ${format(Math.max(...known))}, last ${format(known[known.length - 1] ?? 0)}`;
  });
  return `${title}. ${parts.join(". ")}`;
}
