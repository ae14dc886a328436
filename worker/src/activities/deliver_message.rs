//! Activity: delivers a scheduled message to the task of its schedule.

use steadfast_contract::{
    scheduled::{DeliveredTo, ScheduledMessage},
    signals::ReceiveEvent,
    start::{StartTask, WORKFLOW_TASK_TIMEOUT},
    visibility::{MEMO_AGENT, MEMO_NAME},
};
use steadfast_workflow::{AgentTask, deliver_message::delivered_before, task_input::TaskInput};
use temporalio_client::{
    Client, WorkflowHandle, WorkflowIdConflictPolicy, WorkflowIdReusePolicy, WorkflowSignalOptions,
    WorkflowStartOptions, errors::WorkflowStartError, tonic::Code,
};
use temporalio_common::{HasWorkflowDefinition, MemoValues, UntypedWorkflow};
use temporalio_sdk::activities::ActivityContext;

use crate::{
    failure::{ActivityFailure, CallFailure},
    fetch_history::{fetch_history, not_found},
};

/// Returns the task that has got the message. Every attempt sends the same message ID, so that the task accepts it
/// once.
pub(super) async fn deliver(
    activity: &ActivityContext,
    delivery: ScheduledMessage,
) -> Result<DeliveredTo, ActivityFailure> {
    let info = activity.info();
    let delivery_id = info.workflow_id.clone().unwrap_or_default();
    let sender = Sender {
        client: activity.client(),
        task_queue: info.task_queue.clone(),
        message: ReceiveEvent {
            message_id: delivery_id.clone(),
            idempotency_key: None,
            content: delivery.content.clone(),
            sender: String::new(),
        },
        delivery,
    };
    let (task_id, effect) = if let Some(DeliveredTo { task_id }) = delivered_earlier(activity).await? {
        // Only a signal: a start would create a new task with the same ID.
        let effect = sender.signal(&task_id).await?;
        (task_id, effect)
    } else {
        let task_id = sender.delivery.task_id.clone();
        let effect = sender.signal_with_start(&task_id).await?;
        (task_id, effect)
    };
    if effect == SignalEffect::Delivered {
        return Ok(DeliveredTo { task_id });
    }
    let task_id = sender.delivery.following_task_id(&delivery_id);
    // If the following task has ended, an earlier attempt has started it with the message.
    sender.signal_with_start(&task_id).await?;
    Ok(DeliveredTo { task_id })
}

/// The task that an earlier run of the workflow delivered the message to.
async fn delivered_earlier(activity: &ActivityContext) -> Result<Option<DeliveredTo>, ActivityFailure> {
    let Some(handle) = activity.workflow_handle::<UntypedWorkflow>() else {
        return Ok(None);
    };
    let history = fetch_history(&handle).await.map_err(unavailable)?;
    Ok(delivered_before(&history))
}

/// The effect of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SignalEffect {
    /// The task has the message.
    Delivered,
    /// The task has ended and accepts no message.
    Ended,
}

struct Sender {
    client: Client,
    task_queue: String,
    message: ReceiveEvent,
    delivery: ScheduledMessage,
}

impl Sender {
    async fn signal(&self, task_id: &str) -> Result<SignalEffect, ActivityFailure> {
        let task = handle(&self.client, AgentTask::run, task_id);
        let options = WorkflowSignalOptions::default();
        match task
            .signal(AgentTask::receive_event, self.message.clone(), options)
            .await
        {
            Ok(()) => Ok(SignalEffect::Delivered),
            Err(error) if not_found(&error).is_some() => Ok(SignalEffect::Ended),
            Err(error) => Err(unavailable(error).into()),
        }
    }

    /// Starts the task unless it runs, and signals it, in one request.
    async fn signal_with_start(&self, task_id: &str) -> Result<SignalEffect, ActivityFailure> {
        let delivery = &self.delivery;
        let mut memo = MemoValues::new();
        memo.insert(MEMO_AGENT, format!("{}/{}", delivery.namespace, delivery.agent));
        memo.insert(MEMO_NAME, delivery.name.clone());
        let options = WorkflowStartOptions::new(self.task_queue.clone(), task_id)
            .id_reuse_policy(WorkflowIdReusePolicy::RejectDuplicate)
            .id_conflict_policy(WorkflowIdConflictPolicy::UseExisting)
            .memo(memo)
            .task_timeout(WORKFLOW_TASK_TIMEOUT)
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
            Ok(_) => Ok(SignalEffect::Delivered),
            Err(WorkflowStartError::AlreadyStarted { .. }) => Ok(SignalEffect::Ended),
            Err(WorkflowStartError::Rpc(status)) if status.code() == Code::AlreadyExists => Ok(SignalEffect::Ended),
            Err(error) => Err(unavailable(error).into()),
        }
    }
}

/// A handle by the run method: a handle by the workflow type is not `Send`.
fn handle<W: HasWorkflowDefinition>(client: &Client, _: W, workflow_id: &str) -> WorkflowHandle<Client, W> {
    client.get_workflow_handle(workflow_id)
}

fn unavailable(error: impl std::error::Error + 'static) -> CallFailure {
    CallFailure::transient_error("temporal_unavailable", &error)
}
