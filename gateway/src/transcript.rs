//! All messages of a task: from its log, and where the log does not reach back
//! to the beginning, from the task's history too.

use std::{collections::BTreeMap, time::Duration};

use axum::http::StatusCode;
use steadfast_eventlog::Snapshot;
use steadfast_events::EntryId;
use steadfast_events::Message;
use temporalio_common::protos::temporal::api::history::v1::{HistoryEvent, history_event::Attributes};

use crate::{error::ApiError, gateway::Gateway, task::TaskRecord, temporal::TemporalError};

/// The messages of a task, oldest first. While Redis is away, the finished ones.
pub async fn messages(gateway: &Gateway, task: &TaskRecord) -> Result<Vec<Message>, ApiError> {
    let snapshot = match gateway.log.snapshot(&task.id).await {
        Ok(snapshot) => snapshot,
        Err(error) if error.is_outage() => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "reading messages from Temporal alone"
            );
            Snapshot::default()
        }
        Err(error) => return Err(error.into()),
    };
    completed(gateway, task, snapshot).await
}

/// The messages of a task as of an entry of its log.
pub async fn messages_until(gateway: &Gateway, task: &TaskRecord, until: EntryId) -> Result<Vec<Message>, ApiError> {
    let snapshot = gateway.log.snapshot_until(&task.id, until).await?;
    completed(gateway, task, snapshot).await
}

/// Adds what a log that is not complete has lost.
pub async fn completed(gateway: &Gateway, task: &TaskRecord, snapshot: Snapshot) -> Result<Vec<Message>, ApiError> {
    if snapshot.complete {
        return Ok(snapshot.messages);
    }
    match of_run_chain(gateway, task).await? {
        Some(projected) => Ok(merge(projected, snapshot.messages)),
        None => Err(gone(gateway).await),
    }
}

/// The finished messages of all runs that Temporal still has; `None` when it has none. What a
/// compaction took out of the transcript stands in earlier runs only.
async fn of_run_chain(gateway: &Gateway, task: &TaskRecord) -> Result<Option<Vec<Message>>, ApiError> {
    let mut runs = Vec::new();
    let mut run_id = Some(task.run_id.clone());
    while let Some(id) = run_id {
        // One history at a time: together they could be larger than memory.
        let history = match gateway.temporal.history(&task.id, &id).await {
            Ok(history) => history,
            // Older runs are gone too: they ended earlier.
            Err(TemporalError::NotFound) => break,
            Err(error) => return Err(error.into()),
        };
        let messages = steadfast_history::messages(&task.id, &history)
            .map_err(|error| ApiError::internal("the task's history cannot be read", error))?;
        runs.push(messages);
        run_id = run_before(&history);
    }
    Ok((!runs.is_empty()).then(|| join_runs(runs.into_iter().rev())))
}

/// The run that handed over to this one.
fn run_before(history: &[HistoryEvent]) -> Option<String> {
    match &history.first()?.attributes {
        Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) => {
            Some(started.continued_execution_run_id.clone()).filter(|id| !id.is_empty())
        }
        _ => None,
    }
}

/// The messages of a chain of runs, oldest first. What several runs hold stands where it stood
/// first, as the last of them has it.
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

/// What to say of a task that Temporal no longer keeps.
pub async fn gone(gateway: &Gateway) -> ApiError {
    let message = match gateway.temporal.retention().await.ok().flatten() {
        Some(retention) => {
            format!(
                "the task is gone: Temporal keeps tasks for {} after they end",
                in_words(retention)
            )
        }
        None => "the task is gone: Temporal no longer keeps it".to_owned(),
    };
    ApiError::new(StatusCode::GONE, message)
}

/// Temporal's messages in their order, each in the log's version if that is
/// finished; then those that only the log has.
fn merge(projected: Vec<Message>, logged: Vec<Message>) -> Vec<Message> {
    let mut order = Vec::with_capacity(logged.len());
    let mut from_log: BTreeMap<String, Message> = BTreeMap::new();
    for message in logged {
        order.push(message.id.clone());
        from_log.insert(message.id.clone(), message);
    }
    let mut merged: Vec<Message> = projected
        .into_iter()
        .map(|message| match from_log.remove(&message.id) {
            Some(logged) if logged.status.is_final() => logged,
            _ => message,
        })
        .collect();
    merged.extend(order.into_iter().filter_map(|id| from_log.remove(&id)));
    merged
}

fn in_words(duration: Duration) -> String {
    let hours = duration.as_secs() / 3600;
    match hours {
        0 => format!("{} minutes", duration.as_secs() / 60),
        hours if hours % 24 == 0 => format!("{} days", hours / 24),
        hours => format!("{hours} hours"),
    }
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
    fn history_gives_the_order_and_the_log_its_finished_and_newer_messages() {
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
    fn what_an_interrupted_message_said_is_taken_from_the_log() {
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
    fn what_only_an_earlier_run_holds_stays_in_its_place() {
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
    fn a_run_names_the_one_before_it() {
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
        assert_eq!(run_before(&started("earlier")).as_deref(), Some("earlier"));
        assert_eq!(run_before(&started("")), None);
        assert_eq!(run_before(&[]), None);
    }

    #[test]
    fn a_retention_is_told_in_words() {
        assert_eq!(in_words(Duration::from_hours(72)), "3 days");
        assert_eq!(in_words(Duration::from_hours(30)), "30 hours");
        assert_eq!(in_words(Duration::from_mins(5)), "5 minutes");
    }
}
