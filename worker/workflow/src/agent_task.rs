//! The workflow of a task, from its first message to its end. Its signals and queries are here;
//! `driver` runs it.
//!
//! It decides nothing that a library's version could change, reads no clock but the workflow's,
//! and writes nothing: every effect is an activity.

mod driver;
mod start_check;

use std::{sync::Arc, time::SystemTime};

use serde_json::Value;
use steadfast_contract::{
    queries::{QUERY_APPROVALS, QUERY_STATE, QUERY_TRANSCRIPT, TaskState},
    signals::{
        AgentMoved, AnswerPart, CompleteTask, Decide, Interrupt, ReceiveEvent, SIGNAL_AGENT_MOVED, SIGNAL_ANSWER_PART,
        SIGNAL_CHECKPOINT, SIGNAL_COMPLETE_TASK, SIGNAL_DECIDE, SIGNAL_INTERRUPT, SIGNAL_RECEIVE_EVENT,
        SIGNAL_UPDATE_METADATA, UpdateMetadata,
    },
    start::{TaskResult, WORKFLOW_TYPE},
    visibility::MEMO_METADATA,
};
use steadfast_events::Approval;
use steadfast_payload::Packed;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{
    MemoValue, SyncWorkflowContext, WorkflowCancellationToken, WorkflowContext, WorkflowContextView, WorkflowResult,
};

use crate::{segment_sink::SegmentSink, task::Task, task_input::TaskInput};

/// A task.
#[workflow]
pub struct AgentTask {
    pub(crate) sink: Arc<dyn SegmentSink>,
    /// The agents whose tasks this process runs; every agent when absent.
    pub(crate) serves: Option<ServedAgents>,
    /// Absent until the run method has begun.
    pub(crate) task: Option<Task>,
    /// Signals that arrived before the task had its state.
    early: Vec<Signal>,
    /// Cancelled when the running turn is to stop.
    pub(crate) turn_token: Option<WorkflowCancellationToken>,
}

/// The agents whose tasks a process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServedAgents {
    /// One agent.
    One { namespace: String, agent: String },
    /// The agents of a namespace that are on the pool of this process. Which these are changes while it runs: an agent
    /// that is on no pool, or on another one, has no revision here, and its task waits.
    OfPool { namespace: String },
}

impl ServedAgents {
    pub(crate) fn include(&self, namespace: &str, agent: &str) -> bool {
        match self {
            Self::One {
                namespace: own,
                agent: served,
            } => own == namespace && served == agent,
            Self::OfPool { namespace: own } => own == namespace,
        }
    }
}

/// A signal that a task has received.
pub enum Signal {
    Receive(ReceiveEvent),
    Decide(Decide),
    Checkpoint,
    AgentMoved(AgentMoved),
    Complete,
    Interrupt,
    /// The memo has it already.
    UpdateMetadata,
    AnswerPart(AnswerPart),
}

impl AgentTask {
    /// A task that offers its segments to a sink, from which the activities of this process read.
    pub fn new(sink: Arc<dyn SegmentSink>) -> Self {
        Self {
            sink,
            serves: None,
            task: None,
            early: Vec::new(),
            turn_token: None,
        }
    }

    /// Refuses the tasks of other agents.
    #[must_use]
    pub fn serving(mut self, agents: ServedAgents) -> Self {
        self.serves = Some(agents);
        self
    }

    /// The signals that arrived before the task had its state, unless it still has not.
    pub(crate) fn take_early(&mut self) -> Vec<Signal> {
        if self.task.as_ref().is_none_or(Task::awaits_state) {
            return Vec::new();
        }
        std::mem::take(&mut self.early)
    }

    fn signaled(&mut self, signal: Signal, time: Option<SystemTime>) {
        self.receive_signal(signal, driver::timestamp(time));
    }

    /// Takes in a signal. Every one counts: a run takes a limited number of them.
    pub(crate) fn receive_signal(&mut self, signal: Signal, now: jiff::Timestamp) {
        let Some(task) = self.task.as_mut().filter(|task| !task.awaits_state()) else {
            self.early.push(signal);
            return;
        };
        task.count_signal();
        match signal {
            Signal::Receive(message) => task.receive(message, now),
            Signal::Decide(decide) => task.decide(decide, now),
            Signal::Checkpoint => task.local.checkpoint_requested = true,
            Signal::AgentMoved(moved) => task.agent_moved(moved),
            Signal::Complete => task.state.inbox.request_completion(),
            Signal::Interrupt => {
                task.interrupt();
                if let Some(token) = &self.turn_token {
                    task.cancel_running_calls();
                    token.cancel_with_reason(driver::INTERRUPTED);
                }
            }
            Signal::UpdateMetadata => {}
            Signal::AnswerPart(part) => task.local.answer_parts.add(part),
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
        self.signaled(Signal::Receive(message), ctx.workflow_time());
    }

    #[signal(name = SIGNAL_DECIDE)]
    pub fn decide(&mut self, ctx: &mut SyncWorkflowContext<Self>, decide: Decide) {
        self.signaled(Signal::Decide(decide), ctx.workflow_time());
    }

    #[signal(name = SIGNAL_CHECKPOINT)]
    pub fn checkpoint(&mut self, ctx: &mut SyncWorkflowContext<Self>) {
        self.signaled(Signal::Checkpoint, ctx.workflow_time());
    }

    #[signal(name = SIGNAL_AGENT_MOVED)]
    pub fn agent_moved(&mut self, ctx: &mut SyncWorkflowContext<Self>, moved: AgentMoved) {
        self.signaled(Signal::AgentMoved(moved), ctx.workflow_time());
    }

    #[signal(name = SIGNAL_COMPLETE_TASK)]
    pub fn complete_task(&mut self, ctx: &mut SyncWorkflowContext<Self>, _: CompleteTask) {
        self.signaled(Signal::Complete, ctx.workflow_time());
    }

    #[signal(name = SIGNAL_INTERRUPT)]
    pub fn interrupt(&mut self, ctx: &mut SyncWorkflowContext<Self>, _: Interrupt) {
        self.signaled(Signal::Interrupt, ctx.workflow_time());
    }

    #[signal(name = SIGNAL_UPDATE_METADATA)]
    pub fn update_metadata(&mut self, ctx: &mut SyncWorkflowContext<Self>, update: UpdateMetadata) {
        // A value that is not written changes nothing; the next one may be.
        let _ = ctx.upsert_memo([(MEMO_METADATA, Some(MemoValue::new(update.metadata)))]);
        self.signaled(Signal::UpdateMetadata, ctx.workflow_time());
    }

    #[signal(name = SIGNAL_ANSWER_PART)]
    pub fn answer_part(&mut self, ctx: &mut SyncWorkflowContext<Self>, part: Packed<AnswerPart>) {
        self.signaled(Signal::AnswerPart(part.0), ctx.workflow_time());
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
