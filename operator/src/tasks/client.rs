//! The requests about the tasks of Agents that are deleted or move, on Temporal's raw service.

use std::time::Duration;

use steadfast_contract::{
    signals::{AgentMoved, CompleteTask, SIGNAL_AGENT_MOVED, SIGNAL_COMPLETE_TASK},
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
    deletion::{plan::Request, state::Queue},
    kube::namespaced_name::NamespacedName,
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

/// A page of running tasks.
#[derive(Debug)]
pub(crate) struct Page {
    /// Their workflow ids.
    pub(crate) tasks: Vec<String>,
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
    pub(crate) async fn list(
        &self,
        agent: &NamespacedName,
        task_queue: &str,
        queue: Queue,
        token: Vec<u8>,
    ) -> Result<Page, TemporalError> {
        let request = ListWorkflowExecutionsRequest {
            namespace: self.temporal.namespace().to_owned(),
            page_size: PAGE_SIZE,
            next_page_token: token,
            query: query(task_queue),
        };
        let answer = self
            .temporal
            .request(request, <dyn WorkflowService>::list_workflow_executions)
            .await?;
        let agent = agent.to_string();
        let own = answer.executions.into_iter().filter(|task| is_of(task, &agent, queue));
        let ids = own.filter_map(|task| task.execution.map(|execution| execution.workflow_id));
        Ok(Page {
            tasks: ids.collect(),
            next_token: answer.next_page_token,
        })
    }

    /// Asks a task to end. A task that has ended, or that was asked before, is left alone.
    pub(super) async fn ask(&self, task: &str, request: Request, uid: &str) -> Result<(), TemporalError> {
        let asked = match request {
            Request::Complete => self.complete(task, uid).await,
            Request::Cancel => self.cancel(task, uid).await,
        };
        unless_over(asked)
    }

    /// Tells a task where an agent is now. A task that has ended, or that was told before in this run, is left alone.
    pub(crate) async fn tell_moved(
        &self,
        task: &str,
        moved: &AgentMoved,
        request_id: &str,
    ) -> Result<(), TemporalError> {
        let input = plain_json(moved).map_err(|error| TemporalError::Refused(error.to_string()))?;
        unless_over(
            self.signal(task, SIGNAL_AGENT_MOVED, input, request_id.to_owned())
                .await,
        )
    }

    async fn complete(&self, task: &str, uid: &str) -> Result<(), TemporalError> {
        let input = CompleteTask {
            reason: Some(REASON.to_owned()),
        };
        let input = plain_json(&input).map_err(|error| TemporalError::Refused(error.to_string()))?;
        self.signal(task, SIGNAL_COMPLETE_TASK, input, format!("{uid}/complete"))
            .await
    }

    async fn signal(&self, task: &str, name: &str, input: Payload, request_id: String) -> Result<(), TemporalError> {
        let request = SignalWorkflowExecutionRequest {
            namespace: self.temporal.namespace().to_owned(),
            workflow_execution: Some(execution(task)),
            signal_name: name.to_owned(),
            input: Some(Payloads { payloads: vec![input] }),
            identity: self.temporal.identity().to_owned(),
            // Temporal takes a signal with an id once in a run: another pass, or another operator, repeats nothing.
            request_id,
            ..Default::default()
        };
        let signaled = self
            .temporal
            .request(request, <dyn WorkflowService>::signal_workflow_execution);
        signaled.await.map(drop)
    }

    async fn cancel(&self, task: &str, uid: &str) -> Result<(), TemporalError> {
        // The server keeps the reason as plain text.
        let reason = if self.temporal.codec().encrypts() { "" } else { REASON };
        let request = RequestCancelWorkflowExecutionRequest {
            namespace: self.temporal.namespace().to_owned(),
            workflow_execution: Some(execution(task)),
            identity: self.temporal.identity().to_owned(),
            request_id: format!("{uid}/cancel"),
            reason: reason.to_owned(),
            ..Default::default()
        };
        let canceled = self
            .temporal
            .request(request, <dyn WorkflowService>::request_cancel_workflow_execution);
        canceled.await.map(drop)
    }
}

/// What was asked of a task that has ended, or that was asked before, needs no other attempt.
fn unless_over(asked: Result<(), TemporalError>) -> Result<(), TemporalError> {
    match asked {
        Err(TemporalError::NotFound | TemporalError::AlreadyExists(_) | TemporalError::RunEnding) => Ok(()),
        asked => asked,
    }
}

/// The visibility query for the running tasks on a task queue.
fn query(task_queue: &str) -> String {
    // No task queue of ours contains a quote; one from elsewhere must not end the string.
    let task_queue = task_queue.replace(['\'', '\\'], "");
    format!("WorkflowType = '{WORKFLOW_TYPE}' AND ExecutionStatus = 'Running' AND TaskQueue = '{task_queue}'")
}

/// Whether a task belongs to the Agent. Without a memo that can be read, the queue decides.
fn is_of(task: &WorkflowExecutionInfo, agent: &str, queue: Queue) -> bool {
    let memo = task.memo.as_ref().and_then(|memo| memo.fields.get(MEMO_AGENT));
    match memo.and_then(|field| unpack::<String>(field).ok()) {
        Some(named) => named == agent,
        None => queue == Queue::Own,
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
            query("demo/team/agent/a' OR 'x' = '"),
            "WorkflowType = 'AgentTask' AND ExecutionStatus = 'Running' AND TaskQueue = 'demo/team/agent/a OR x = '"
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
            |task: &WorkflowExecutionInfo| [Queue::Own, Queue::Shared].map(|queue| is_of(task, "team/a", queue));
        assert_eq!(belongs(&task(Some("team/a"))), [true, true]);
        assert_eq!(belongs(&task(Some("team/b"))), [false, false]);
        assert_eq!(belongs(&task(None)), [true, false]);
        assert_eq!(belongs(&WorkflowExecutionInfo::default()), [true, false]);
    }
}
