//! A poll of a task queue that has no tasks: it says why the server refuses polls.

use std::time::Duration;

use temporalio_client::{
    Client, RetryOptions,
    request_extensions::RetryConfigForCall,
    tonic::{Code, Request, Status},
};
use temporalio_common::protos::temporal::api::{
    taskqueue::v1::TaskQueue,
    workflowservice::v1::{PollActivityTaskQueueRequest, PollWorkflowTaskQueueRequest},
};

use super::WORKFLOWS;

/// A poll that stays open for so long is not refused.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// Polls a task queue that has no tasks.
pub(in crate::app) struct Probe {
    client: Client,
    task_queue: String,
}

impl Probe {
    pub(in crate::app) fn new(client: Client, task_queue: &str) -> Self {
        Self {
            client,
            task_queue: format!("{task_queue}/probe"),
        }
    }

    /// Whether the server takes a poll of this kind. An unavailable server is the matter of another check.
    pub(super) async fn poll(&self, operation: &str) -> Result<(), Status> {
        let mut service = self.client.connection().workflow_service();
        let namespace = self.client.options().namespace.clone();
        let task_queue = Some(TaskQueue {
            name: self.task_queue.clone(),
            ..TaskQueue::default()
        });
        let polled = async {
            if operation == WORKFLOWS {
                let request = PollWorkflowTaskQueueRequest {
                    namespace,
                    task_queue,
                    ..PollWorkflowTaskQueueRequest::default()
                };
                service.poll_workflow_task_queue(once(request)).await.map(drop)
            } else {
                let request = PollActivityTaskQueueRequest {
                    namespace,
                    task_queue,
                    ..PollActivityTaskQueueRequest::default()
                };
                service.poll_activity_task_queue(once(request)).await.map(drop)
            }
        };
        match tokio::time::timeout(PROBE_TIMEOUT, polled).await {
            Ok(Err(status)) if is_refusal(status.code()) => Err(status),
            _ => Ok(()),
        }
    }
}

/// A request that is not repeated.
fn once<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let retries = RetryConfigForCall(RetryOptions::no_retries());
    request.extensions_mut().insert(retries);
    request
}

fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::ResourceExhausted
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::NotFound
            | Code::InvalidArgument
            | Code::FailedPrecondition
    )
}

/// What to do when polls are refused.
pub(super) fn advice(code: Code) -> &'static str {
    match code {
        Code::ResourceExhausted => {
            "the Temporal server refuses the polls of this worker, which gets no tasks: raise the frontend's limit of \
             concurrent polls (frontend.namespaceCount) or of requests per second, or run fewer workers in this namespace"
        }
        Code::PermissionDenied | Code::Unauthenticated => {
            "the Temporal server refuses the polls of this worker, which gets no tasks: its API key or certificate may \
             not poll in this namespace"
        }
        _ => "the Temporal server refuses the polls of this worker, which gets no tasks",
    }
}
