//! The workflow of a task, from its first message to its end. Its signals and queries are here;
//! `driver` runs it.
//!
//! It decides nothing that a library's version could change, reads no clock but the workflow's,
//! and writes nothing: every effect is an activity.

mod driver;

use std::sync::Arc;

use serde_json::Value;
use steadfast_contract::{
    queries::{QUERY_APPROVALS, QUERY_STATE, QUERY_TRANSCRIPT, TaskState},
    signals::{
        CompleteTask, Decide, Interrupt, ReceiveEvent, SIGNAL_CHECKPOINT, SIGNAL_COMPLETE_TASK, SIGNAL_DECIDE,
        SIGNAL_INTERRUPT, SIGNAL_RECEIVE_EVENT,
    },
    start::{TaskResult, WORKFLOW_TYPE},
};
use steadfast_events::Approval;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{
    SyncWorkflowContext, WorkflowCancellationToken, WorkflowContext, WorkflowContextView, WorkflowResult,
};

use crate::{segment_sink::SegmentSink, task::Task, task_input::TaskInput};

/// A task.
#[workflow]
pub struct AgentTask {
    pub(crate) sink: Arc<dyn SegmentSink>,
    /// Absent until the run method has begun.
    pub(crate) task: Option<Task>,
    /// Signals that arrived before that.
    pub(crate) early: Vec<EarlySignal>,
    /// Cancelled when the running turn is to stop.
    pub(crate) turn_token: Option<WorkflowCancellationToken>,
}

/// A signal that arrived before the run method began.
pub enum EarlySignal {
    Receive(ReceiveEvent),
    Decide(Decide),
    Checkpoint,
    Complete,
    Interrupt,
}

impl AgentTask {
    /// A task that offers its segments to a sink, from which the activities of this process read.
    pub fn new(sink: Arc<dyn SegmentSink>) -> Self {
        Self {
            sink,
            task: None,
            early: Vec::new(),
            turn_token: None,
        }
    }
}

#[workflow_methods(factory_only)]
impl AgentTask {
    #[run(name = WORKFLOW_TYPE)]
    pub async fn run(ctx: &mut WorkflowContext<Self>, input: TaskInput) -> WorkflowResult<TaskResult> {
        match input.0 {
            Ok(start) => driver::run(ctx, start).await,
            Err(error) => {
                // A failed task waits for a worker that can read it; a failed workflow would be over.
                ctx.force_task_fail(error);
                std::future::pending().await
            }
        }
    }

    #[signal(name = SIGNAL_RECEIVE_EVENT)]
    pub fn receive_event(&mut self, ctx: &mut SyncWorkflowContext<Self>, message: ReceiveEvent) {
        let now = driver::timestamp(ctx.workflow_time());
        match &mut self.task {
            Some(task) => task.receive(message, now),
            None => self.early.push(EarlySignal::Receive(message)),
        }
    }

    #[signal(name = SIGNAL_DECIDE)]
    pub fn decide(&mut self, ctx: &mut SyncWorkflowContext<Self>, decide: Decide) {
        let now = driver::timestamp(ctx.workflow_time());
        match &mut self.task {
            Some(task) => task.decide(decide, now),
            None => self.early.push(EarlySignal::Decide(decide)),
        }
    }

    #[signal(name = SIGNAL_CHECKPOINT)]
    pub fn checkpoint(&mut self, _: &mut SyncWorkflowContext<Self>) {
        match &mut self.task {
            Some(task) => task.local.checkpoint_requested = true,
            None => self.early.push(EarlySignal::Checkpoint),
        }
    }

    #[signal(name = SIGNAL_COMPLETE_TASK)]
    pub fn complete_task(&mut self, _: &mut SyncWorkflowContext<Self>, _: CompleteTask) {
        match &mut self.task {
            Some(task) => task.state.inbox.request_completion(),
            None => self.early.push(EarlySignal::Complete),
        }
    }

    #[signal(name = SIGNAL_INTERRUPT)]
    pub fn interrupt(&mut self, _: &mut SyncWorkflowContext<Self>, _: Interrupt) {
        let Some(task) = &mut self.task else {
            self.early.push(EarlySignal::Interrupt);
            return;
        };
        task.interrupt();
        if let Some(token) = &self.turn_token {
            task.cancel_running_calls();
            token.cancel_with_reason(driver::INTERRUPTED);
        }
    }

    #[query(name = QUERY_STATE)]
    pub fn state(&self, _: &WorkflowContextView) -> Option<TaskState> {
        self.task.as_ref().map(Task::query_state)
    }

    #[query(name = QUERY_TRANSCRIPT)]
    pub fn transcript(&self, _: &WorkflowContextView) -> Vec<Value> {
        self.task.as_ref().map(Task::items).unwrap_or_default()
    }

    #[query(name = QUERY_APPROVALS)]
    pub fn approvals(&self, _: &WorkflowContextView) -> Vec<Approval> {
        self.task
            .as_ref()
            .map(|task| task.state.approvals.waiting())
            .unwrap_or_default()
    }
}
