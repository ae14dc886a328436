//! How a message started whose viewer came later.

use steadfast_eventlog::Entry;
use steadfast_events::EntryId;

use crate::{agentex::frames::bounded_message, app::Gateway, task::TaskRecord};

/// Pages of the log that are searched for the start of a message.
const PAGES_BACK: usize = 10;

/// The latest entry before `before` that started or ended a message; `None` if it is too far
/// back, or Redis is down.
pub(super) async fn boundary(
    gateway: &Gateway,
    task: &TaskRecord,
    message_id: &str,
    mut before: EntryId,
) -> Option<Entry> {
    let log = task.own_log();
    for _ in 0..PAGES_BACK {
        let page = gateway.log.page_before(&log, before).await.ok()?;
        before = page.last()?.id;
        let found = page
            .into_iter()
            .find(|entry| bounded_message(&entry.event.kind) == Some(message_id));
        if found.is_some() {
            return found;
        }
    }
    None
}
