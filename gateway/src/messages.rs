//! All messages of a task: from its log, and from the task's history where the log lost entries.

use std::collections::BTreeMap;

use steadfast_eventlog::Snapshot;
use steadfast_events::{EntryId, Message};
use temporalio_common::protos::temporal::api::history::v1::{HistoryEvent, history_event::Attributes};

use crate::{app::Gateway, error::ApiError, task::TaskRecord, temporal::TemporalError};

/// The messages of a task, oldest first. While Redis is down, the finished ones.
pub(crate) async fn messages(gateway: &Gateway, task: &TaskRecord) -> Result<Vec<Message>, ApiError> {
    let snapshot = match gateway.log.snapshot(&task.id).await {
        Ok(snapshot) => snapshot,
        Err(error) if error.is_outage() => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot read the log in Redis; reading messages from Temporal alone"
            );
            Snapshot::default()
        }
        Err(error) => return Err(error.into()),
    };
    complete(gateway, task, snapshot).await
}

/// The messages of a task as of an entry of its log.
pub(crate) async fn messages_until(
    gateway: &Gateway,
    task: &TaskRecord,
    until: EntryId,
) -> Result<Vec<Message>, ApiError> {
    let snapshot = gateway.log.snapshot_until(&task.id, until).await?;
    complete(gateway, task, snapshot).await
}

async fn complete(gateway: &Gateway, task: &TaskRecord, snapshot: Snapshot) -> Result<Vec<Message>, ApiError> {
    if snapshot.complete {
        return Ok(snapshot.messages);
    }
    let in_history = in_history(gateway, &task.id).await?;
    Ok(merge(in_history, snapshot.messages))
}

/// The finished messages in the histories of a task's runs, oldest first. A run has only the
/// messages since the compaction before it, so the earlier runs are read too.
pub(crate) async fn in_history(gateway: &Gateway, task_id: &str) -> Result<Vec<Message>, ApiError> {
    let mut runs = Vec::new();
    // An empty run id names the newest run.
    let mut run_id = Some(String::new());
    while let Some(id) = run_id {
        // One history at a time: together they could be larger than memory.
        let history = match gateway.temporal.history(task_id, &id).await {
            Ok(history) => history,
            // Temporal deletes older runs first, so all runs before this one are gone too.
            Err(TemporalError::NotFound) => break,
            Err(error) => return Err(error.into()),
        };
        let messages = steadfast_history::messages(task_id, &history)
            .map_err(|error| ApiError::internal("the task's history cannot be read", error))?;
        runs.push(messages);
        run_id = previous_run(&history);
    }
    if runs.is_empty() {
        return Err(gateway.task_expired().await);
    }
    Ok(join_runs(runs.into_iter().rev()))
}

/// The run that continued as the run of this history.
fn previous_run(history: &[HistoryEvent]) -> Option<String> {
    match &history.first()?.attributes {
        Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) => {
            Some(started.continued_execution_run_id.clone()).filter(|id| !id.is_empty())
        }
        _ => None,
    }
}

/// The messages of a chain of runs, oldest first. A message of several runs keeps its first
/// place and its latest content.
fn join_runs(runs: impl IntoIterator<Item = Vec<Message>>) -> Vec<Message> {
    let mut joined: Vec<Message> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for message in runs.into_iter().flatten() {
        if let Some(place) = places.get(&message.id) {
            joined[*place] = message;
        } else {
            places.insert(message.id.clone(), joined.len());
            joined.push(message);
        }
    }
    joined
}

/// The messages of history in their order, each as the log has it if it is finished there;
/// then the messages that only the log has.
pub(crate) fn merge(in_history: Vec<Message>, in_log: Vec<Message>) -> Vec<Message> {
    let mut order = Vec::with_capacity(in_log.len());
    let mut from_log: BTreeMap<String, Message> = BTreeMap::new();
    for message in in_log {
        order.push(message.id.clone());
        from_log.insert(message.id.clone(), message);
    }
    let mut merged: Vec<Message> = in_history
        .into_iter()
        .map(|message| match from_log.remove(&message.id) {
            Some(logged) if logged.status.is_final() => logged,
            _ => message,
        })
        .collect();
    merged.extend(order.into_iter().filter_map(|id| from_log.remove(&id)));
    merged
}

#[cfg(test)]
mod tests {
    use steadfast_events::{Author, Content, MessageStatus, TextFormat};
    use temporalio_common::protos::temporal::api::history::v1::WorkflowExecutionStartedEventAttributes;

    use super::*;

    fn message(id: &str, text: &str, status: MessageStatus) -> Message {
        Message {
            id: id.to_owned(),
            turn: 1,
            agent: "haiku".to_owned(),
            author: Author::Agent,
            content: Content::Text {
                text: text.to_owned(),
                format: TextFormat::Plain,
            },
            status,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            updated_at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn history_gives_the_order_and_the_log_finished_and_newer_messages() {
        use MessageStatus::{Done, InProgress};
        let projected = vec![
            message("a", "history", Done),
            message("b", "history", Done),
            message("c", "history", Done),
        ];
        let logged = vec![
            message("d", "log", InProgress),
            message("c", "log", Done),
            message("b", "lo", InProgress),
        ];
        assert_eq!(
            merge(projected, logged),
            vec![
                message("a", "history", Done),
                message("b", "history", Done),
                message("c", "log", Done),
                message("d", "log", InProgress),
            ]
        );
    }

    #[test]
    fn an_interrupted_message_is_taken_from_the_log() {
        use MessageStatus::{Done, Interrupted};
        assert_eq!(
            merge(
                vec![message("a", "history", Done)],
                vec![message("a", "lo", Interrupted)]
            ),
            vec![message("a", "lo", Interrupted)]
        );
    }

    #[test]
    fn a_message_of_an_earlier_run_keeps_its_place() {
        use MessageStatus::Done;
        let runs = [
            vec![message("a", "first", Done), message("b", "first", Done)],
            vec![message("b", "second", Done), message("c", "second", Done)],
            vec![message("d", "third", Done), message("c", "third", Done)],
        ];
        assert_eq!(
            join_runs(runs),
            vec![
                message("a", "first", Done),
                message("b", "second", Done),
                message("c", "third", Done),
                message("d", "third", Done),
            ]
        );
    }

    #[test]
    fn a_run_names_the_run_that_continued_as_it() {
        let started = |before: &str| {
            vec![HistoryEvent {
                attributes: Some(Attributes::WorkflowExecutionStartedEventAttributes(
                    WorkflowExecutionStartedEventAttributes {
                        continued_execution_run_id: before.to_owned(),
                        ..Default::default()
                    },
                )),
                ..Default::default()
            }]
        };
        assert_eq!(previous_run(&started("earlier")).as_deref(), Some("earlier"));
        assert_eq!(previous_run(&started("")), None);
        assert_eq!(previous_run(&[]), None);
    }
}
