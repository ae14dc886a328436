//! How a message started whose viewer came later.

use steadfast_eventlog::Entry;
use steadfast_events::EntryId;

use crate::{agentex::frames::bounded_message, app::Gateway, task::TaskRecord};

/// Pages of the log that are searched for the start of a message.
const PAGES_BACK: usize = 10;

/// The latest entry before `before` that started or ended a message; `None` if it is too far
/// back, or Redis is down.
pub(super) async fn boundary(gateway: &Gateway, task: &TaskRecord, message_id: &str, before: EntryId) -> Option<Entry> {
    let bounds = |entry: &Entry| (bounded_message(&entry.event.kind) == Some(message_id)).then(|| entry.clone());
    let log = &gateway.log;
    let found = log.find_back(&task.own_log(), Some(before), PAGES_BACK, bounds).await;
    found.ok().flatten()
}
