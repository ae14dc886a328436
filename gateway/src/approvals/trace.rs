//! What a log still knows of an approval. The memo of a task holds only what
//! waits, and its arguments cut; the log holds what was asked whole, and what became of it.

use steadfast_eventlog::{EventLog, LogError};
use steadfast_events::EntryId;
use steadfast_events::{Approval, EventKind};

use super::ruling_in;
use crate::wire::Ruling;

/// Pages of the log that are looked through.
const PAGES_BACK: usize = 20;

/// An approval in the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    pub requested: Option<Approval>,
    pub ruling: Option<Ruling>,
}

/// Looks back through a task's log, as far as the request of the approval.
pub async fn trace(log: &EventLog, task_id: &str, approval_id: &str) -> Result<Trace, LogError> {
    let mut trace = Trace::default();
    let mut before = EntryId {
        epoch: u64::MAX,
        number: u64::MAX,
    };
    for _ in 0..PAGES_BACK {
        let page = log.page_before(task_id, before).await?;
        let Some(last) = page.last() else { break };
        before = last.id;
        for entry in page {
            // Entries come latest first; the first decision counts.
            if let Some(ruling) = ruling_in(&entry.event, approval_id) {
                trace.ruling = Some(ruling);
            }
            if let EventKind::ApprovalRequested { approval } = entry.event.kind
                && approval.id == approval_id
            {
                trace.requested = Some(approval);
                return Ok(trace);
            }
        }
    }
    Ok(trace)
}
