//! Asks Temporal what waits for workers.

use std::{sync::Arc, time::Duration};

use steadfast_contract::visibility::{SEARCH_PHASE, VisiblePhase};
use steadfast_temporal::{TemporalClient, TemporalError, TemporalSettings};
use temporalio_client::grpc::WorkflowService;
use temporalio_common::protos::temporal::api::{
    enums::v1::TaskQueueType,
    taskqueue::v1::TaskQueue,
    workflowservice::v1::{CountWorkflowExecutionsRequest, DescribeTaskQueueRequest},
};

use crate::{MANAGER, rate_limit::RateLimit};

/// Time limit of a request, with the connection and all retries.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Client for the task queues of one Temporal namespace.
pub(crate) struct QueueClient {
    temporal: TemporalClient,
    rate: Arc<RateLimit>,
}

impl QueueClient {
    /// A client that connects at its first request.
    pub(crate) fn new(settings: TemporalSettings, rate: Arc<RateLimit>) -> Self {
        Self {
            temporal: TemporalClient::new(settings, MANAGER, REQUEST_TIMEOUT),
            rate,
        }
    }

    /// How many tasks wait on a task queue: of workflows (a message, a timer, a schedule), and of activities (a retry
    /// that is due, or the turn of another Agent).
    pub(crate) async fn backlog(&self, task_queue: &str) -> Result<i64, TemporalError> {
        let workflows = self.backlog_of(task_queue, TaskQueueType::Workflow).await?;
        let activities = self.backlog_of(task_queue, TaskQueueType::Activity).await?;
        Ok(workflows.saturating_add(activities))
    }

    async fn backlog_of(&self, task_queue: &str, kind: TaskQueueType) -> Result<i64, TemporalError> {
        self.rate.permit().await;
        let request = DescribeTaskQueueRequest {
            namespace: self.temporal.namespace().to_owned(),
            task_queue: Some(TaskQueue {
                name: task_queue.to_owned(),
                ..TaskQueue::default()
            }),
            task_queue_type: kind.into(),
            report_stats: true,
            ..DescribeTaskQueueRequest::default()
        };
        let answer = self
            .temporal
            .request(request, <dyn WorkflowService>::describe_task_queue)
            .await?;
        // A server that knows no statistics must not look like one where nothing waits.
        let stats = answer.stats.ok_or_else(|| {
            TemporalError::Unsupported("it reports no statistics of task queues; it must be 1.28 or newer".to_owned())
        })?;
        Ok(stats.approximate_backlog_count.max(0))
    }

    /// Whether a turn on a task queue is known to run for long: one that waits for others, and that no worker has in
    /// memory since it was started again. Where the search attributes are not registered, nobody knows.
    pub(crate) async fn has_long_turn(&self, task_queue: &str) -> Result<bool, TemporalError> {
        self.rate.permit().await;
        let request = CountWorkflowExecutionsRequest {
            namespace: self.temporal.namespace().to_owned(),
            query: long_turns(task_queue),
        };
        let counted = self
            .temporal
            .request(request, <dyn WorkflowService>::count_workflow_executions);
        match counted.await {
            Ok(answer) => Ok(answer.count > 0),
            Err(TemporalError::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn long_turns(task_queue: &str) -> String {
    // No task queue of ours contains a quote; one from elsewhere must not end the string.
    let task_queue = task_queue.replace(['\'', '\\'], "");
    let running = VisiblePhase::Running.as_str();
    format!("TaskQueue = '{task_queue}' AND ExecutionStatus = 'Running' AND {SEARCH_PHASE} = '{running}'")
}
