// What waits for a person, across all tasks, the oldest first.

import type { Approval, Decision, ListedApproval } from "@steadfast/client";
import { useEffect, useState } from "react";

import { ApprovalCard } from "../parts/ApprovalCard";
import { ErrorNotice, Spinner } from "../parts/feedback";
import { canNotify } from "../state/notifications";
import type { Polled } from "../state/poll";

export function ApprovalsPage({ approvals }: { approvals: Polled<ListedApproval[]> }) {
  const { value, error, refresh } = approvals;
  // A card that was decided here stays, so that its outcome can be read.
  const [decidedHere, setDecidedHere] = useState<ListedApproval[]>([]);
  useEffect(() => refresh(), [refresh]);
  const pending = value ?? [];
  const ids = new Set(pending.map((approval) => approval.id));
  const shown = [...decidedHere.filter((approval) => !ids.has(approval.id)), ...pending].sort((a, b) => a.requested_at.localeCompare(b.requested_at));
  return (
    <div className="h-full overflow-y-auto">
      <div className="mx-auto grid max-w-3xl gap-4 p-4">
        <div className="flex flex-wrap items-center gap-3">
          <h1 className="mr-auto text-xl font-semibold">Approvals</h1>
          <NotifyButton />
        </div>
        {error && <ErrorNotice error={error} what="The approvals cannot be listed now" />}
        {value === undefined && !error && <Spinner label="Loading approvals…" />}
        {value && shown.length === 0 && <p className="text-soft">Nothing waits for you. What does will appear here by itself.</p>}
        <p role="status" className="sr-only">{pending.length} approvals waiting</p>
        <ul className="grid gap-4">
          {shown.map((approval) => (
            <li key={approval.id}>
              <ApprovalCard
                approval={approval as unknown as Approval}
                decision={decisionOf(approval)}
                taskId={approval.parent_task_id ?? approval.task_id}
                onDecided={() => {
                  setDecidedHere((before) => [...before.filter((each) => each.id !== approval.id), approval]);
                  refresh();
                }}
              />
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}

function decisionOf(approval: ListedApproval): Decision | undefined {
  return approval.decision === "pending" ? undefined : { verdict: approval.decision, ...(approval.by ? { by: approval.by } : {}) };
}

function NotifyButton() {
  const [permission, setPermission] = useState(() => (canNotify() ? Notification.permission : "denied"));
  if (permission !== "default") return null;
  return (
    <button type="button" className="button" onClick={() => void Notification.requestPermission().then(setPermission)}>
      Notify me
    </button>
  );
}
