//! What a viewer needs from outside of its subscription: how a message started, and all
//! messages of a task whose log lost entries.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use steadfast_eventlog::{Entry, Snapshot};
use steadfast_events::{EntryId, Message};

use crate::{agentex::frames::bounded_message, app::Gateway, error::ApiError, messages, task::TaskRecord};

/// Pages of the log that are searched for the start of a message.
const PAGES_BACK: usize = 10;
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(15);

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

/// The messages of a snapshot, and those that the log has lost. While Temporal is down this
/// waits for it: the caller drops the future to stop.
pub(super) async fn all_messages(
    gateway: &Gateway,
    task: &TaskRecord,
    snapshot: Snapshot,
) -> Result<Vec<Message>, ApiError> {
    if snapshot.complete {
        return Ok(snapshot.messages);
    }
    let retry = ExponentialBuilder::default()
        .with_min_delay(FIRST_RETRY)
        .with_max_delay(LONGEST_RETRY)
        .with_jitter()
        .without_max_times();
    let in_history = (|| messages::in_history(gateway, task))
        .retry(retry)
        .when(|error: &ApiError| error.status.is_server_error())
        .await?;
    Ok(messages::merge(in_history, snapshot.messages))
}
