//! Erasing a task: every run of its workflow and of the agents that worked as its tools, in Temporal, their logs and
//! spilled answers in Redis, and the attachments of its messages.
//!
//! What depends on a run is deleted before the run, and the newest run of the task last: an erasure that fails in the
//! middle can be repeated, and finds the rest.

use std::collections::BTreeSet;

use steadfast_contract::start::WORKFLOW_TYPE;
use steadfast_events::LogId;
use temporalio_common::protos::temporal::api::{
    common::v1::WorkflowExecution,
    history::v1::{HistoryEvent, history_event::Attributes},
};

use crate::{app::Gateway, attachments, error::ApiError, task::TaskRecord, temporal::TemporalError};

/// Why a workflow ended, as its history says.
const ERASED: &str = "the task is erased";

/// A run of a workflow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    workflow_id: String,
    run_id: String,
}

/// What belongs to a task. The newest run of the task is first, and every run comes after the run that names it.
#[derive(Debug, Default)]
struct TaskData {
    runs: Vec<Run>,
    logs: Vec<LogId>,
}

/// Ends the task if it runs, and deletes everything that it has left.
pub(crate) async fn erase(gateway: &Gateway, task: &TaskRecord) -> Result<(), ApiError> {
    ended(
        gateway
            .temporal
            .terminate_task(&task.id, &task.first_run_id, ERASED)
            .await,
    )?;
    // The task may have continued as new before it was ended.
    let newest = TaskRecord::read(gateway.temporal.describe(&task.id).await?).filter(|newest| newest.is_same_as(task));
    let newest = newest.ok_or_else(|| ApiError::not_found("the task"))?;
    let data = collect(gateway, Run::new(newest.id, newest.run_id)).await?;
    attachments::erase(gateway, task).await?;
    for log in &data.logs {
        gateway.log.erase(log).await?;
    }
    for Run { workflow_id, run_id } in data.runs.iter().rev() {
        ended(gateway.temporal.delete(workflow_id, run_id).await)?;
    }
    Ok(())
}

/// Ends every run that belongs to the run, and finds what they name.
async fn collect(gateway: &Gateway, newest: Run) -> Result<TaskData, ApiError> {
    let mut data = TaskData::default();
    let mut known: BTreeSet<Run> = BTreeSet::from([newest.clone()]);
    let mut waiting = vec![newest];
    while let Some(run) = waiting.pop() {
        // From here on it begins nothing that its history does not name.
        ended(
            gateway
                .temporal
                .terminate_run(&run.workflow_id, &run.run_id, ERASED)
                .await,
        )?;
        let mut token = Vec::new();
        loop {
            let page = gateway
                .temporal
                .history_part(&run.workflow_id, &run.run_id, token)
                .await;
            let (events, next) = match page {
                Ok(page) => page,
                // Deleted before, with everything that it names.
                Err(TemporalError::NotFound) => break,
                Err(error) => return Err(error.into()),
            };
            for event in &events {
                if let Some(first_run_id) = first_run_of(event) {
                    data.runs.push(run.clone());
                    data.logs.push(LogId::new(&run.workflow_id, first_run_id));
                }
                waiting.extend(named_in(event, &run).filter(|named| known.insert(named.clone())));
            }
            if next.is_empty() {
                break;
            }
            token = next;
        }
    }
    data.logs.sort_unstable_by(|a, b| a.first_run_id.cmp(&b.first_run_id));
    data.logs.dedup();
    Ok(data)
}

impl Run {
    fn new(workflow_id: impl Into<String>, run_id: impl Into<String>) -> Self {
        Self {
            workflow_id: workflow_id.into(),
            run_id: run_id.into(),
        }
    }
}

/// The first run of the chain, from the first event of a history.
fn first_run_of(event: &HistoryEvent) -> Option<&str> {
    match &event.attributes {
        Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) => Some(&started.first_execution_run_id),
        _ => None,
    }
}

/// The other runs that an event of a run names: the run before, the next run, the run that a reset began from, and an
/// agent that works as a tool. A child workflow of another type is not part of the conversation.
fn named_in(event: &HistoryEvent, run: &Run) -> impl Iterator<Item = Run> {
    let same_workflow = |run_id: &String| Run::new(&run.workflow_id, run_id);
    let child = |execution: &WorkflowExecution| Run::new(&execution.workflow_id, &execution.run_id);
    let named = match &event.attributes {
        Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) => {
            Some(same_workflow(&started.continued_execution_run_id))
        }
        Some(Attributes::WorkflowExecutionContinuedAsNewEventAttributes(continued)) => {
            Some(same_workflow(&continued.new_execution_run_id))
        }
        Some(Attributes::WorkflowTaskFailedEventAttributes(failed)) => Some(same_workflow(&failed.base_run_id)),
        Some(Attributes::ChildWorkflowExecutionStartedEventAttributes(started)) => {
            let is_task = started
                .workflow_type
                .as_ref()
                .is_some_and(|kind| kind.name == WORKFLOW_TYPE);
            started.workflow_execution.as_ref().filter(|_| is_task).map(child)
        }
        _ => None,
    };
    named.into_iter().filter(|named| !named.run_id.is_empty())
}

/// A workflow that has ended, or is gone, needs no more.
fn ended(answer: Result<(), TemporalError>) -> Result<(), TemporalError> {
    match answer {
        Err(TemporalError::NotFound) => Ok(()),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use temporalio_common::protos::temporal::api::{
        common::v1::WorkflowType,
        history::v1::{
            ChildWorkflowExecutionStartedEventAttributes, WorkflowExecutionContinuedAsNewEventAttributes,
            WorkflowExecutionStartedEventAttributes, WorkflowTaskFailedEventAttributes,
        },
    };

    use super::*;

    fn named(attributes: Attributes) -> Vec<Run> {
        let event = HistoryEvent {
            attributes: Some(attributes),
            ..HistoryEvent::default()
        };
        named_in(&event, &Run::new("t", "second")).collect()
    }

    fn child(workflow_type: &str) -> Attributes {
        Attributes::ChildWorkflowExecutionStartedEventAttributes(ChildWorkflowExecutionStartedEventAttributes {
            workflow_execution: Some(WorkflowExecution {
                workflow_id: "t.1.0.0".to_owned(),
                run_id: "child".to_owned(),
            }),
            workflow_type: Some(WorkflowType {
                name: workflow_type.to_owned(),
            }),
            ..Default::default()
        })
    }

    #[test]
    fn a_history_names_the_runs_beside_it_and_the_agents_that_worked_for_it() {
        let started = |before: &str| {
            Attributes::WorkflowExecutionStartedEventAttributes(WorkflowExecutionStartedEventAttributes {
                continued_execution_run_id: before.to_owned(),
                ..Default::default()
            })
        };
        assert_eq!(named(started("")), []);
        assert_eq!(named(started("first")), [Run::new("t", "first")]);
        let continued = WorkflowExecutionContinuedAsNewEventAttributes {
            new_execution_run_id: "third".to_owned(),
            ..Default::default()
        };
        let continued = Attributes::WorkflowExecutionContinuedAsNewEventAttributes(continued);
        assert_eq!(named(continued), [Run::new("t", "third")]);
        let reset = WorkflowTaskFailedEventAttributes {
            base_run_id: "reset".to_owned(),
            ..Default::default()
        };
        let reset = Attributes::WorkflowTaskFailedEventAttributes(reset);
        assert_eq!(named(reset), [Run::new("t", "reset")]);
        assert_eq!(named(child(WORKFLOW_TYPE)), [Run::new("t.1.0.0", "child")]);
    }

    #[test]
    fn a_workflow_that_a_tool_started_is_not_part_of_the_conversation() {
        assert_eq!(named(child("Refund")), []);
    }
}
