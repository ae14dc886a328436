//! Child workflows: agents that answer one question, and tools of kind `workflow`. Cancelling the
//! turn cancels them.

use std::time::Duration;

use serde_json::Value;
use steadfast_agent_loop::TurnOutcome;
use steadfast_contract::{
    failures::TOOL_RESULT_UNREADABLE,
    signals::ReceiveEvent,
    start::{Parent, StartTask, TaskResult, WORKFLOW_TASK_TIMEOUT},
};
use steadfast_events::{Content, TextFormat};
use steadfast_payload::foreign_result;
use temporalio_workflow::{
    ChildWorkflowOptions, ParentClosePolicy, WorkflowCancellationToken, common::UntypedWorkflow,
};

use super::{Context, commands, read, update};
use crate::{
    agent_task::AgentTask,
    arguments::object_arguments,
    failure::{self, CallError},
    task_input::TaskInput,
};

/// How deep agents may ask other agents.
const DEEPEST_PATH: usize = 8;
/// Id of the one message that an asked agent receives.
const QUESTION_ID: &str = "question";

/// Why a child workflow has no result.
pub(super) struct ChildFailure {
    pub category: String,
    pub message: String,
}

impl ChildFailure {
    fn new(category: &str, message: impl Into<String>) -> Self {
        Self {
            category: category.to_owned(),
            message: message.into(),
        }
    }
}

/// A question to another agent, and the call that its answer belongs to.
pub(super) struct AskedAgent<'a> {
    pub agent: &'a str,
    /// Namespace of the agent; that of the asking agent when absent.
    pub namespace: Option<&'a str>,
    pub task_queue: &'a str,
    /// The call in the asking task: `<turn>.<step>.<index>`.
    pub place: String,
    pub timeout: Option<Duration>,
}

/// Asks another agent: a task of its own, on its own workers, shown inside of this one.
pub(super) async fn ask_agent(
    ctx: &Context,
    asked: AskedAgent<'_>,
    question: String,
    token: &WorkflowCancellationToken,
) -> Result<TaskResult, ChildFailure> {
    let (start, workflow_id, task_queue) = read(ctx, |task| {
        let path = match task.start.path() {
            "" => asked.place.clone(),
            path => format!("{path}/{}", asked.place),
        };
        let workflow_id = format!("{}.{}", ctx.workflow_id(), asked.place);
        let namespace = asked.namespace.unwrap_or_else(|| task.acting_namespace());
        let mut start = StartTask::new(workflow_id.clone(), namespace, asked.agent);
        start.creator.clone_from(&task.start.creator);
        start.params = task.start.params.clone();
        start.traceparent.clone_from(&task.start.traceparent);
        start.one_turn = true;
        let (run_id, log_run_id) = task.start.log_runs(ctx.run_id());
        start.parent = Some(Parent {
            log: task.start.log_id(),
            run_id: run_id.to_owned(),
            log_run_id: log_run_id.to_owned(),
            path,
        });
        start.messages = vec![ReceiveEvent {
            message_id: QUESTION_ID.to_owned(),
            idempotency_key: None,
            content: Content::text(question, TextFormat::Plain),
            // The person whose message led to the question, who may not approve what comes of it.
            sender: task.state.turn_sender.clone(),
        }];
        let task_queue = task.queue_of(asked.namespace, asked.agent, asked.task_queue);
        (start, workflow_id, task_queue)
    });
    if start.path().split('/').count() > DEEPEST_PATH {
        return Err(ChildFailure::new(
            "agents_too_deep",
            format!("agents ask agents more than {DEEPEST_PATH} deep; this question is not asked"),
        ));
    }
    let mut options = options(
        workflow_id,
        &task_queue,
        asked.timeout,
        format!("asks {}", asked.agent),
        token,
    );
    options.task_timeout = Some(WORKFLOW_TASK_TIMEOUT);
    let start = commands::admit(ctx, "the question", start)
        .await
        .map_err(|error| of_call(&error))?;
    update(ctx, |task| task.local.has_appended = true);
    let started = ctx
        .start_child_workflow(AgentTask::run, TaskInput::from(start.0), options)
        .await
        .map_err(|error| ChildFailure::new("agent_not_asked", error.to_string()))?;
    let result = started.result().await.map_err(|error| of_execution(&error))?;
    // The usage of the asked agent counts for this task, whatever the result.
    update(ctx, |task| task.count_usage(result.usage));
    match &result.outcome {
        Some(TurnOutcome::Failed { category, message }) => Err(ChildFailure::new(category, message.clone())),
        Some(TurnOutcome::Interrupted | TurnOutcome::Canceled) => Err(ChildFailure::new(
            "canceled",
            "the agent was stopped before it had answered",
        )),
        Some(TurnOutcome::Completed) | None => Ok(result),
    }
}

/// Runs a workflow that is not ours; its input and result are plain JSON.
pub(super) async fn run_workflow(
    ctx: &Context,
    workflow_type: &str,
    task_queue: &str,
    place: &str,
    arguments: &Value,
    timeout: Duration,
    token: &WorkflowCancellationToken,
) -> Result<Value, ChildFailure> {
    let input = object_arguments(arguments).map_err(|reason| ChildFailure::new("tool_arguments", reason))?;
    let workflow_id = format!("{}.{place}", ctx.workflow_id());
    let options = options(workflow_id, task_queue, Some(timeout), workflow_type.to_owned(), token);
    let input = commands::admit_plain(ctx, "the arguments of the workflow", input)
        .await
        .map_err(|error| of_call(&error))?;
    let started = ctx
        .start_child_workflow(UntypedWorkflow::new(workflow_type), input, options)
        .await
        .map_err(|error| ChildFailure::new("workflow_not_started", error.to_string()))?;
    let result = started.result().await.map_err(|error| of_execution(&error))?;
    foreign_result(&result.payloads).map_err(|error| ChildFailure::new(TOOL_RESULT_UNREADABLE, error.to_string()))
}

fn options(
    workflow_id: String,
    task_queue: &str,
    timeout: Option<Duration>,
    summary: String,
    token: &WorkflowCancellationToken,
) -> ChildWorkflowOptions {
    ChildWorkflowOptions::builder()
        .workflow_id(workflow_id)
        .task_queue(task_queue.to_owned())
        .maybe_execution_timeout(timeout)
        .static_summary(summary)
        .parent_close_policy(ParentClosePolicy::RequestCancel)
        .cancellation_token(token.clone())
        .build()
}

fn of_call(error: &CallError) -> ChildFailure {
    let (category, message) = error.describe();
    ChildFailure { category, message }
}

fn of_execution(error: &temporalio_workflow::common::error::ChildWorkflowExecutionError) -> ChildFailure {
    let (category, message) = failure::describe_child(error);
    ChildFailure { category, message }
}
