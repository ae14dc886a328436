//! All messages of a task: from its log, and from the task's history where the log lost entries.

use std::{collections::BTreeMap, sync::Arc};

use steadfast_eventlog::Snapshot;
use steadfast_events::{Author, Content, EntryId, Message};
use temporalio_common::protos::temporal::api::history::v1::{HistoryEvent, history_event::Attributes};

use crate::{
    app::Gateway,
    error::ApiError,
    load::{RebuildError, Run, RunMessages},
    task::TaskRecord,
    temporal::TemporalError,
};

/// The messages of a task, oldest first. While Redis is down, the finished ones.
pub(crate) async fn messages(gateway: &Gateway, task: &TaskRecord) -> Result<Vec<Message>, ApiError> {
    let snapshot = match gateway.log.snapshot(&task.own_log()).await {
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
    complete(gateway, task, judged(task, snapshot)).await
}

/// All messages of a task that has ended, if its log lacks some of them.
pub(crate) async fn missing_at_the_end(gateway: &Gateway, task: &TaskRecord) -> Result<Option<Vec<Message>>, ApiError> {
    let snapshot = judged(task, gateway.log.snapshot(&task.own_log()).await?);
    if snapshot.complete {
        return Ok(None);
    }
    let in_log = snapshot.messages.clone();
    let all = complete(gateway, task, snapshot).await?;
    Ok((all != in_log).then_some(all))
}

/// A log that was away when the task ended lacks its last messages.
fn judged(task: &TaskRecord, snapshot: Snapshot) -> Snapshot {
    let lacks_end = task.status.is_terminal() && !snapshot.ended;
    Snapshot {
        complete: snapshot.complete && !lacks_end,
        ..snapshot
    }
}

/// The messages of a task as of an entry of its log.
pub(crate) async fn messages_until(
    gateway: &Gateway,
    task: &TaskRecord,
    until: EntryId,
) -> Result<Vec<Message>, ApiError> {
    let snapshot = gateway.log.snapshot_until(&task.own_log(), until).await?;
    complete(gateway, task, snapshot).await
}

async fn complete(gateway: &Gateway, task: &TaskRecord, snapshot: Snapshot) -> Result<Vec<Message>, ApiError> {
    if snapshot.complete {
        return Ok(snapshot.messages);
    }
    let in_history = in_history(gateway, task).await?;
    Ok(merge(in_history, snapshot.messages))
}

/// The finished messages in the histories of a task's runs, oldest first. A run has only the
/// messages since the compaction before it, so the earlier runs are read too.
pub(crate) async fn in_history(gateway: &Gateway, task: &TaskRecord) -> Result<Vec<Message>, ApiError> {
    let mut runs: Vec<Arc<RunMessages>> = Vec::new();
    let mut next = newest_run(gateway, task).await?;
    while let Some(run) = next {
        // On the heap: whoever shows messages would carry 26 KB otherwise.
        let read = Box::pin(read_run(gateway, &task.id, &run.run_id));
        let messages = match gateway.load.rebuilds.run(run.clone(), read).await {
            Ok(messages) => messages,
            Err(error) => match &*error {
                // Temporal deletes older runs first, so all runs before this one are gone too.
                RebuildError::Fetch(TemporalError::NotFound) => break,
                RebuildError::Fetch(_) => return Err(ApiError::unavailable("Temporal", error)),
                RebuildError::Read(_) => {
                    return Err(ApiError::internal("the task's history cannot be read", error));
                }
            },
        };
        next = messages.previous_run.clone().map(|run_id| Run {
            run_id,
            events: None,
            ..run
        });
        runs.push(messages);
    }
    if runs.is_empty() {
        return Err(gateway.task_expired().await);
    }
    Ok(join_runs(runs.iter().rev().map(|run| run.messages.as_slice())))
}

/// The newest run of a task as it is now; `None` if Temporal no longer keeps the task.
async fn newest_run(gateway: &Gateway, task: &TaskRecord) -> Result<Option<Run>, ApiError> {
    let description = match gateway.describe_shared(&task.id).await {
        Ok(description) => description,
        Err(error) if matches!(*error, TemporalError::NotFound) => return Ok(None),
        Err(error) => return Err(ApiError::unavailable("Temporal", error)),
    };
    let Some(info) = description.workflow_execution_info.as_ref() else {
        return Ok(None);
    };
    if info.first_run_id != task.first_run_id {
        // The task is gone, and another one has its id.
        return Err(ApiError::not_found("the task"));
    }
    Ok(info.execution.as_ref().map(|execution| Run {
        task_id: task.id.clone(),
        run_id: execution.run_id.clone(),
        events: Some(info.history_length),
    }))
}

async fn read_run(gateway: &Gateway, task_id: &str, run_id: &str) -> Result<RunMessages, RebuildError> {
    let history = gateway.temporal.history(task_id, run_id).await?;
    Ok(RunMessages {
        messages: steadfast_history::messages(task_id, &history)?,
        previous_run: previous_run(&history),
    })
}

/// The message with the whole of a result of which the log has only the beginning. What Temporal
/// no longer has stays cut.
pub(crate) async fn whole(gateway: &Gateway, task: &TaskRecord, message: Message) -> Result<Message, ApiError> {
    let is_cut = matches!(
        message.content,
        Content::ToolResponse {
            whole_bytes: Some(_),
            ..
        }
    );
    let mut next = if is_cut { newest_run(gateway, task).await? } else { None };
    while let Some(run) = next {
        let history = match gateway.temporal.history(&task.id, &run.run_id).await {
            Ok(history) => history,
            Err(TemporalError::NotFound) => break,
            Err(error) => return Err(error.into()),
        };
        let found = steadfast_history::whole_result(&task.id, &history, &message.id)
            .map_err(|error| ApiError::internal("the task's history cannot be read", error))?;
        if let Some(Message { content, .. }) = found {
            return Ok(Message { content, ..message });
        }
        next = previous_run(&history).map(|run_id| Run { run_id, ..run });
    }
    Ok(message)
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
fn join_runs<'a>(runs: impl IntoIterator<Item = &'a [Message]>) -> Vec<Message> {
    let mut joined: Vec<Message> = Vec::new();
    let mut places: BTreeMap<(Author, String), usize> = BTreeMap::new();
    for message in runs.into_iter().flatten() {
        if let Some(place) = places.get(&identity(message)) {
            joined[*place] = message.clone();
        } else {
            places.insert(identity(message), joined.len());
            joined.push(message.clone());
        }
    }
    joined
}

/// A message of a user is never taken for one of the agent, whatever its id.
fn identity(message: &Message) -> (Author, String) {
    (message.author, message.id.clone())
}

/// The messages of history in their order, each as the log has it if it is finished there;
/// then the messages that only the log has.
pub(crate) fn merge(in_history: Vec<Message>, in_log: Vec<Message>) -> Vec<Message> {
    let mut order = Vec::with_capacity(in_log.len());
    let mut from_log: BTreeMap<(Author, String), Message> = BTreeMap::new();
    for message in in_log {
        order.push(identity(&message));
        from_log.insert(identity(&message), message);
    }
    let mut merged: Vec<Message> = in_history
        .into_iter()
        .map(|message| match from_log.remove(&identity(&message)) {
            Some(logged) if logged.status.is_final() => logged,
            _ => message,
        })
        .collect();
    merged.extend(order.into_iter().filter_map(|id| from_log.remove(&id)));
    merged
}

#[cfg(test)]
mod tests {
    use steadfast_events::{MessageStatus, TextFormat};
    use temporalio_common::protos::temporal::api::history::v1::WorkflowExecutionStartedEventAttributes;

    use super::*;

    fn message(id: &str, text: &str, status: MessageStatus) -> Message {
        Message {
            id: id.to_owned(),
            idempotency_key: None,
            turn: 1,
            agent: "haiku".to_owned(),
            author: Author::Agent,
            content: Content::text(text, TextFormat::Plain),
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
            join_runs(runs.iter().map(Vec::as_slice)),
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
