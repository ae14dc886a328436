// Notifications of the browser about approvals, when the user has allowed them.

import type { ListedApproval } from "@steadfast/client";

let known: Set<string> | undefined;

export function canNotify(): boolean {
  return "Notification" in window && window.isSecureContext;
}

/** Tells of approvals that were not there before, while the page is hidden. */
export function notifyOf(approvals: ListedApproval[] | undefined): void {
  if (!approvals) return;
  const before = known;
  known = new Set(approvals.map((approval) => approval.id));
  if (!before || !document.hidden || !canNotify() || Notification.permission !== "granted") return;
  for (const approval of approvals) {
    if (before.has(approval.id)) continue;
    // The arguments stay out of the list of notifications, which others may see.
    new Notification(`${approval.agent} waits for your approval`, { body: approval.tool, tag: approval.id });
  }
}
