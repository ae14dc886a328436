//! Looks an approval up in the log of its task. The memo of a task has only the pending
//! approvals, with cut arguments; the log has whole requests and decisions.

use steadfast_eventlog::{EventLog, LogError};
use steadfast_events::{Approval, EventKind, LogId};

use super::ApprovalState;

/// Pages of the log that are searched.
const PAGES_BACK: usize = 20;

/// An approval as far as the log has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LoggedApproval {
    pub(crate) request: Option<Approval>,
    /// The state after the decision; `None` while no decision is found.
    pub(crate) decided: Option<ApprovalState>,
}

/// Searches a log backwards, up to the request of the approval.
pub(crate) async fn look_up(log: &EventLog, id: &LogId, approval_id: &str) -> Result<LoggedApproval, LogError> {
    let mut found = LoggedApproval::default();
    let request = log.find_back(id, None, PAGES_BACK, |entry| {
        // The entries are in reverse order, and the first decision counts.
        if let Some(decided) = ApprovalState::of_event(&entry.event, approval_id) {
            found.decided = Some(decided);
        }
        match &entry.event.kind {
            EventKind::ApprovalRequested { approval } if approval.id == approval_id => Some(approval.clone()),
            _ => None,
        }
    });
    found.request = request.await?;
    Ok(found)
}
