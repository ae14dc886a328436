//! The requests about the tasks of Agents, on Temporal's raw service. Whoever sends one waits for the rate first.

use std::time::Duration;

use serde::Serialize;
use steadfast_contract::{
    signals::{AgentMoved, CompleteTask, SIGNAL_AGENT_MOVED, SIGNAL_CHECKPOINT, SIGNAL_COMPLETE_TASK},
    start::WORKFLOW_TYPE,
    visibility::MEMO_AGENT,
};
use steadfast_payload::{plain_json, unpack};
use steadfast_temporal::{TemporalClient, TemporalError, TemporalSettings};
use temporalio_client::grpc::WorkflowService;
use temporalio_common::protos::temporal::api::{
    common::v1::{Payload, Payloads, WorkflowExecution},
    workflow::v1::WorkflowExecutionInfo,
    workflowservice::v1::{
        ListWorkflowExecutionsRequest, RequestCancelWorkflowExecutionRequest, SignalWorkflowExecutionRequest,
    },
};

use crate::{
    MANAGER,
    tasks::{QueueKind, TaskSet},
};

/// Time limit of a request, with the connection and all retries.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Tasks that are listed and asked before another Agent has its turn.
const PAGE_SIZE: i32 = 100;
const REASON: &str = "the Agent was deleted";

/// Client for the tasks of one Temporal namespace.
pub(crate) struct TaskClient {
    temporal: TemporalClient,
}

/// One running task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    /// Its workflow id.
    pub(crate) id: String,
    /// Id of its run now.
    pub(crate) run_id: String,
}

/// A page of running tasks.
#[derive(Debug)]
pub(crate) struct Page {
    /// The tasks.
    pub(crate) tasks: Vec<Task>,
    /// The token of the next page; empty on the last one.
    pub(crate) next_token: Vec<u8>,
}

impl TaskClient {
    /// A client that connects at its first request.
    pub(crate) fn new(settings: TemporalSettings) -> Self {
        Self {
            temporal: TemporalClient::new(settings, MANAGER, REQUEST_TIMEOUT),
        }
    }

    /// A page of the running tasks of an Agent.
    pub(crate) async fn list(&self, tasks: &TaskSet, token: Vec<u8>) -> Result<Page, TemporalError> {
        let agent = tasks.agent.to_string();
        let is_own = |task: &WorkflowExecutionInfo| is_of(task, &agent, tasks.kind);
        self.list_where("TaskQueue", &tasks.task_queue, token, is_own).await
    }

    /// A page of the tasks that run on a version of workers.
    pub(crate) async fn list_on_version(
        &self,
        deployment: &str,
        build_id: &str,
        token: Vec<u8>,
    ) -> Result<Page, TemporalError> {
        let version = format!("{deployment}:{build_id}");
        self.list_where("TemporalWorkerDeploymentVersion", &version, token, |_| true)
            .await
    }

    async fn list_where(
        &self,
        attribute: &str,
        value: &str,
        token: Vec<u8>,
        is_wanted: impl Fn(&WorkflowExecutionInfo) -> bool,
    ) -> Result<Page, TemporalError> {
        let request = ListWorkflowExecutionsRequest {
            namespace: self.temporal.namespace().to_owned(),
            page_size: PAGE_SIZE,
            next_page_token: token,
            query: query(attribute, value),
        };
        let answer = self
            .temporal
            .request(request, <dyn WorkflowService>::list_workflow_executions)
            .await?;
        let executions = answer.executions.into_iter().filter(is_wanted);
        let tasks = executions.filter_map(|task| {
            let execution = task.execution?;
            Some(Task {
                id: execution.workflow_id,
                run_id: execution.run_id,
            })
        });
        Ok(Page {
            tasks: tasks.collect(),
            next_token: answer.next_page_token,
        })
    }

    /// Asks a task of a deleted Agent to end after its turn. A task that has ended, or that was asked before, is left alone.
    pub(crate) async fn complete(&self, id: &str, uid: &str) -> Result<(), TemporalError> {
        let input = CompleteTask {
            reason: Some(REASON.to_owned()),
        };
        let input = Some(input_of(&input)?);
        self.signal(execution(id), SIGNAL_COMPLETE_TASK, input, format!("{uid}/complete"))
            .await
    }

    /// Asks a task of a deleted Agent to end at once. A task that has ended, or that was asked before, is left alone.
    pub(crate) async fn cancel(&self, id: &str, uid: &str) -> Result<(), TemporalError> {
        // The server keeps the reason as plain text.
        let reason = if self.temporal.codec().encrypts() { "" } else { REASON };
        let request = RequestCancelWorkflowExecutionRequest {
            namespace: self.temporal.namespace().to_owned(),
            workflow_execution: Some(execution(id)),
            identity: self.temporal.identity().to_owned(),
            request_id: format!("{uid}/cancel"),
            reason: reason.to_owned(),
            ..Default::default()
        };
        let canceled = self
            .temporal
            .request(request, <dyn WorkflowService>::request_cancel_workflow_execution);
        unless_over(canceled.await.map(drop))
    }

    /// Tells a task where an agent is now. A task that has ended, or that was told before in this run, is left alone.
    pub(crate) async fn tell_moved(&self, id: &str, moved: &AgentMoved, request_id: &str) -> Result<(), TemporalError> {
        let input = Some(input_of(moved)?);
        self.signal(execution(id), SIGNAL_AGENT_MOVED, input, request_id.to_owned())
            .await
    }

    /// Asks the run of a task to continue as new. One that has ended, or that was asked before, is left alone.
    pub(crate) async fn checkpoint(&self, task: &Task) -> Result<(), TemporalError> {
        let run = WorkflowExecution {
            workflow_id: task.id.clone(),
            run_id: task.run_id.clone(),
        };
        let request_id = format!("{}/checkpoint", task.run_id);
        self.signal(run, SIGNAL_CHECKPOINT, None, request_id).await
    }

    async fn signal(
        &self,
        execution: WorkflowExecution,
        name: &str,
        input: Option<Payload>,
        request_id: String,
    ) -> Result<(), TemporalError> {
        let request = SignalWorkflowExecutionRequest {
            namespace: self.temporal.namespace().to_owned(),
            workflow_execution: Some(execution),
            signal_name: name.to_owned(),
            input: input.map(|input| Payloads { payloads: vec![input] }),
            identity: self.temporal.identity().to_owned(),
            // Temporal takes a signal with an id once in a run: another pass, or another operator, repeats nothing.
            request_id,
            ..Default::default()
        };
        let signaled = self
            .temporal
            .request(request, <dyn WorkflowService>::signal_workflow_execution);
        unless_over(signaled.await.map(drop))
    }
}

fn input_of(value: &impl Serialize) -> Result<Payload, TemporalError> {
    plain_json(value).map_err(|error| TemporalError::Refused(error.to_string()))
}

/// What was asked of a task that has ended, or that was asked before, needs no other attempt.
fn unless_over(asked: Result<(), TemporalError>) -> Result<(), TemporalError> {
    match asked {
        Err(TemporalError::NotFound | TemporalError::AlreadyExists(_) | TemporalError::RunEnding) => Ok(()),
        asked => asked,
    }
}

/// The visibility query for the running tasks with a search attribute.
fn query(attribute: &str, value: &str) -> String {
    // No name of ours contains a quote; one from elsewhere must not end the string.
    let value = value.replace(['\'', '\\'], "");
    format!("WorkflowType = '{WORKFLOW_TYPE}' AND ExecutionStatus = 'Running' AND {attribute} = '{value}'")
}

/// Whether a task belongs to the Agent. Without a memo that can be read, the queue decides.
fn is_of(task: &WorkflowExecutionInfo, agent: &str, kind: QueueKind) -> bool {
    let memo = task.memo.as_ref().and_then(|memo| memo.fields.get(MEMO_AGENT));
    match memo.and_then(|field| unpack::<String>(field).ok()) {
        Some(named) => named == agent,
        None => kind == QueueKind::Own,
    }
}

fn execution(workflow_id: &str) -> WorkflowExecution {
    WorkflowExecution {
        workflow_id: workflow_id.to_owned(),
        run_id: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use temporalio_common::protos::temporal::api::common::v1::Memo;

    use super::*;

    #[test]
    fn a_quote_does_not_end_the_name_of_a_queue() {
        assert_eq!(
            query("TaskQueue", "demo/team/agent/a' OR 'x' = '"),
            "WorkflowType = 'AgentTask' AND ExecutionStatus = 'Running' AND TaskQueue = 'demo/team/agent/a OR x = '"
        );
    }

    #[test]
    fn tasks_are_found_by_their_version() {
        assert_eq!(
            query("TemporalWorkerDeploymentVersion", "demo/team/agent/a:1-abc"),
            "WorkflowType = 'AgentTask' AND ExecutionStatus = 'Running' AND \
             TemporalWorkerDeploymentVersion = 'demo/team/agent/a:1-abc'"
        );
    }

    #[test]
    fn a_task_of_another_agent_on_the_same_queue_is_left_alone() {
        let task = |agent: Option<&str>| WorkflowExecutionInfo {
            memo: Some(Memo {
                fields: agent.map_or_else(HashMap::new, |agent| {
                    HashMap::from([(MEMO_AGENT.to_owned(), plain_json(&agent).unwrap())])
                }),
            }),
            ..Default::default()
        };
        let belongs =
            |task: &WorkflowExecutionInfo| [QueueKind::Own, QueueKind::Shared].map(|kind| is_of(task, "team/a", kind));
        assert_eq!(belongs(&task(Some("team/a"))), [true, true]);
        assert_eq!(belongs(&task(Some("team/b"))), [false, false]);
        assert_eq!(belongs(&task(None)), [true, false]);
        assert_eq!(belongs(&WorkflowExecutionInfo::default()), [true, false]);
    }
}
