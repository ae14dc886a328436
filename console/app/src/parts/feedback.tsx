// Small parts that say how something is.

import type { ReactNode } from "react";

const TONES = {
  good: "border-good text-good bg-good-soft",
  warn: "border-warn text-warn bg-warn-soft",
  bad: "border-bad text-bad bg-bad-soft",
  plain: "border-line text-soft bg-sunken",
};

export type Tone = keyof typeof TONES;

export function Badge({ tone, children }: { tone: Tone; children: ReactNode }) {
  return <span className={`badge ${TONES[tone]}`}>{children}</span>;
}

/** A box that says what is wrong, or worth knowing. */
export function Notice({ tone, title, children, role }: { tone: Tone; title: string; children?: ReactNode; role?: "alert" | "status" }) {
  return (
    <div role={role} className={`rounded-lg border px-3 py-2 text-sm ${TONES[tone]}`}>
      <p className="font-medium">{title}</p>
      {children !== undefined && <div className="mt-0.5 text-ink wrap-anywhere">{children}</div>}
    </div>
  );
}

export function Spinner({ label }: { label: string }) {
  return (
    <span role="status" className="inline-flex items-center gap-2 text-sm text-soft">
      <span aria-hidden="true" className="size-2 animate-pulse rounded-full bg-accent" />
      {label}
    </span>
  );
}

export function ErrorNotice({ error, what }: { error: Error; what: string }) {
  return (
    <Notice tone="bad" role="alert" title={what}>
      {error.message}
    </Notice>
  );
}
