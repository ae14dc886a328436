//! Hands the message of a schedule's run to the schedule's fixed task.

use steadfast_contract::{
    scheduled::{Delivered, Delivery},
    signals::ReceiveEvent,
    start::StartTask,
    visibility::{MEMO_AGENT, MEMO_NAME},
};
use steadfast_workflow::{AgentTask, deliver_message::delivered_before, task_input::TaskInput};
use temporalio_client::{
    Client, WorkflowFetchHistoryOptions, WorkflowHandle, WorkflowIdConflictPolicy, WorkflowIdReusePolicy,
    WorkflowSignalOptions, WorkflowStartOptions, errors::WorkflowStartError, tonic::Code,
};
use temporalio_common::{HasWorkflowDefinition, MemoValues, UntypedWorkflow};
use temporalio_sdk::activities::{ActivityContext, ActivityError};

use super::{gone, transient};

/// The task that has the message now. Every attempt sends it under the same id, so that it counts once.
pub(super) async fn deliver(activity: &ActivityContext, delivery: Delivery) -> Result<Delivered, ActivityError> {
    let info = activity.info();
    let delivery_id = info.workflow_id.clone().unwrap_or_default();
    let sender = Sender {
        client: activity.client(),
        task_queue: info.task_queue.clone(),
        message: ReceiveEvent {
            message_id: delivery_id.clone(),
            content: delivery.content.clone(),
            sender: String::new(),
        },
        delivery,
    };
    let (task_id, reached) = if let Some(Delivered { task_id }) = before(activity).await? {
        // It is only sent to: begun again, it would be another task under the same id.
        let reached = sender.send(&task_id).await?;
        (task_id, reached)
    } else {
        let task_id = sender.delivery.task_id.clone();
        let reached = sender.begin_or_send(&task_id).await?;
        (task_id, reached)
    };
    if reached == Reached::Open {
        return Ok(Delivered { task_id });
    }
    let task_id = sender.delivery.following_task_id(&delivery_id);
    // It can have ended only if an attempt before this one has begun it, with the message.
    sender.begin_or_send(&task_id).await?;
    Ok(Delivered { task_id })
}

async fn before(activity: &ActivityContext) -> Result<Option<Delivered>, ActivityError> {
    let Some(handle) = activity.workflow_handle::<UntypedWorkflow>() else {
        return Ok(None);
    };
    let history = handle
        .fetch_history(WorkflowFetchHistoryOptions::default())
        .into_events()
        .await
        .map_err(unavailable)?;
    Ok(delivered_before(&history))
}

/// What a message came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    /// The task has it.
    Open,
    /// The task takes no more.
    Ended,
}

struct Sender {
    client: Client,
    task_queue: String,
    message: ReceiveEvent,
    delivery: Delivery,
}

impl Sender {
    async fn send(&self, task_id: &str) -> Result<Reached, ActivityError> {
        let task = handle(&self.client, AgentTask::run, task_id);
        let options = WorkflowSignalOptions::default();
        match task
            .signal(AgentTask::receive_event, self.message.clone(), options)
            .await
        {
            Ok(()) => Ok(Reached::Open),
            Err(error) if gone(&error).is_some() => Ok(Reached::Ended),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Begins the task unless it runs, and sends to it, both in one request.
    async fn begin_or_send(&self, task_id: &str) -> Result<Reached, ActivityError> {
        let delivery = &self.delivery;
        let mut memo = MemoValues::new();
        memo.insert(MEMO_AGENT, format!("{}/{}", delivery.namespace, delivery.agent));
        memo.insert(MEMO_NAME, delivery.name.clone());
        let options = WorkflowStartOptions::new(self.task_queue.clone(), task_id)
            .id_reuse_policy(WorkflowIdReusePolicy::RejectDuplicate)
            .id_conflict_policy(WorkflowIdConflictPolicy::UseExisting)
            .memo(memo)
            .build();
        let start = StartTask::new(task_id, &delivery.namespace, &delivery.agent);
        let sent = self
            .client
            .signal_with_start_workflow(
                AgentTask::run,
                TaskInput::from(start),
                AgentTask::receive_event,
                self.message.clone(),
                options,
            )
            .await;
        match sent {
            Ok(_) => Ok(Reached::Open),
            Err(WorkflowStartError::AlreadyStarted { .. }) => Ok(Reached::Ended),
            Err(WorkflowStartError::Rpc(status)) if status.code() == Code::AlreadyExists => Ok(Reached::Ended),
            Err(error) => Err(unavailable(error)),
        }
    }
}

/// By the run method: a handle by the type of the workflow stays on one thread.
fn handle<W: HasWorkflowDefinition>(client: &Client, _: W, workflow_id: &str) -> WorkflowHandle<Client, W> {
    client.get_workflow_handle(workflow_id)
}

fn unavailable(error: impl std::error::Error) -> ActivityError {
    transient("temporal_unavailable", error.to_string())
}
