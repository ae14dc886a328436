//! Timeouts and retries of everything the workflow starts: one table.

use std::time::Duration;

use steadfast_agent_loop::StepId;
use steadfast_crds::{
    AgentRevisionSpec,
    agent_tool::{AgentToolSpec, Idempotency, ToolRetry},
};
use temporalio_workflow::{
    ActivityCancellationType, ActivityCloseTimeouts, ActivityOptions, LocalActivityOptions, RetryPolicy,
    WorkflowCancellationToken,
};

use steadfast_contract::scheduled::ScheduledMessage;

/// One attempt to append to the log. The log answers in seconds or not at all.
const APPEND_TIMEOUT: Duration = Duration::from_secs(30);
/// Between attempts to append while Redis is away.
const APPEND_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// One attempt to read the newest revision.
const REVISION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one activity waits for a revision, with retries.
const REVISION_WAIT: Duration = Duration::from_hours(24);
/// Retries of the revision beyond this pause run on a timer of the server.
const LOCAL_RETRY_LIMIT: Duration = Duration::from_secs(5);
/// Practically no limit: the number of attempts bounds a local tool call.
const LOCAL_TOOL_WAIT: Duration = Duration::from_hours(365 * 24);
/// One attempt to read the history of the run before.
const FETCH_TIMEOUT: Duration = Duration::from_mins(1);
/// One evaluation of all CEL checks of a stage.
const CEL_TIMEOUT: Duration = Duration::from_secs(10);
/// One rendering of a step's arguments.
const RENDER_TIMEOUT: Duration = Duration::from_secs(10);
/// One broadcast to all workers that cancels running calls.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// One attempt of a delivery: three requests to Temporal at most.
const DELIVER_TIMEOUT: Duration = Duration::from_secs(30);
/// Attempts of a compensation without a retry policy of its own. Many, because a tool that is half undone is the worst outcome.
const COMPENSATION_ATTEMPTS: u32 = 10;
/// Ends a workflow task whose commands carry as much as one message to the server may hold.
pub const NEXT_WORKFLOW_TASK: Duration = Duration::from_millis(1);
/// One attempt to have something recorded in history; any worker of the task does it, and it does nothing.
const RECORD_TIMEOUT: Duration = Duration::from_secs(30);
/// A turn that has run for so long is shown as running to those who search tasks.
pub const LONG_TURN: Duration = Duration::from_mins(1);
/// How long a task that ends waits for its last events to reach the log.
pub const FINAL_FLUSH: Duration = Duration::from_mins(1);
/// How long a run that continues as new waits for that; the next run goes on with what the log lacks.
pub const CONTINUE_FLUSH: Duration = Duration::from_secs(5);

/// The shortest timer: Temporal refuses a duration of zero, and a time that has passed needs no longer one.
pub const SHORTEST_TIMER: Duration = Duration::from_millis(1);

/// The model call: heartbeats tell a dead worker apart from a slow model.
pub fn model_call(
    id: String,
    spec: &AgentRevisionSpec,
    task_queue: Option<String>,
    token: WorkflowCancellationToken,
) -> ActivityOptions {
    let timeouts = &spec.model.timeouts;
    ActivityOptions::with_close_timeouts(ActivityCloseTimeouts::StartToClose(timeouts.call.as_std()))
        .activity_id(id)
        .maybe_task_queue(task_queue)
        .heartbeat_timeout(timeouts.heartbeat.as_std())
        .retry_policy(model_retry(spec))
        .cancellation_type(ActivityCancellationType::WaitCancellationCompleted)
        .cancellation_token(token)
        .summary(format!("{}: {}", spec.agent, spec.model.name))
        .build()
}

fn model_retry(spec: &AgentRevisionSpec) -> RetryPolicy {
    let retry = &spec.model.retry;
    RetryPolicy::builder()
        .initial_interval(retry.initial_interval.as_std())
        .maximum_interval(retry.maximum_interval.max(retry.initial_interval).as_std())
        .maximum_attempts(retry.maximum_attempts)
        .build()
}

/// The options of a compaction, which is a model call without viewers.
pub fn compact(
    id: StepId,
    spec: &AgentRevisionSpec,
    task_queue: Option<String>,
    token: WorkflowCancellationToken,
) -> ActivityOptions {
    let timeouts = &spec.model.timeouts;
    ActivityOptions::with_close_timeouts(ActivityCloseTimeouts::StartToClose(timeouts.call.as_std()))
        .activity_id(format!("c{}.{}", id.turn, id.step))
        .maybe_task_queue(task_queue)
        .heartbeat_timeout(timeouts.heartbeat.as_std())
        .retry_policy(model_retry(spec))
        .cancellation_type(ActivityCancellationType::WaitCancellationCompleted)
        .cancellation_token(token)
        .summary(format!("{}: sums up the conversation", spec.agent))
        .build()
}

/// What a tool call runs as.
pub struct ToolCallOptions<'a> {
    pub id: String,
    pub agent: &'a str,
    /// The name that Temporal's UI shows beside the agent.
    pub name: &'a str,
    pub timeout: Duration,
    pub retry: &'a ToolRetry,
    pub idempotency: Idempotency,
    /// The task's own queue when absent.
    pub task_queue: Option<String>,
    pub heartbeat: Option<Duration>,
    pub token: WorkflowCancellationToken,
}

impl<'a> ToolCallOptions<'a> {
    /// By the tool's own policy.
    pub fn of(
        id: String,
        agent: &'a str,
        name: &'a str,
        spec: &'a AgentToolSpec,
        token: WorkflowCancellationToken,
    ) -> Self {
        Self {
            id,
            agent,
            name,
            timeout: spec.timeout.as_std(),
            retry: &spec.retry,
            idempotency: spec.idempotency,
            task_queue: None,
            heartbeat: None,
            token,
        }
    }
}

/// A tool call, or one step of a tool.
pub fn tool_call(call: ToolCallOptions<'_>) -> ActivityOptions {
    ActivityOptions::with_close_timeouts(ActivityCloseTimeouts::StartToClose(call.timeout))
        .activity_id(call.id)
        .maybe_task_queue(call.task_queue)
        .maybe_heartbeat_timeout(call.heartbeat)
        .retry_policy(tool_retry(call.retry, call.idempotency))
        .cancellation_token(call.token)
        .summary(format!("{}: {}", call.agent, call.name))
        .build()
}

/// A short tool call, made in the middle of a workflow task.
pub fn local_tool_call(call: ToolCallOptions<'_>) -> LocalActivityOptions {
    LocalActivityOptions::builder()
        .activity_id(call.id)
        .start_to_close_timeout(call.timeout)
        .schedule_to_close_timeout(LOCAL_TOOL_WAIT)
        // Every pause is a timer of the server: a message or an interrupt waits for one attempt at most.
        .timer_backoff_threshold(Duration::ZERO)
        .retry_policy(tool_retry(call.retry, call.idempotency))
        .cancellation_token(call.token)
        .summary(format!("{}: {}", call.agent, call.name))
        .build()
}

/// Whether a tool call may have more than one attempt.
pub fn is_repeated(retry: &ToolRetry, idempotency: Idempotency) -> bool {
    attempts(retry, idempotency) != 1
}

fn attempts(retry: &ToolRetry, idempotency: Idempotency) -> u32 {
    // Nothing makes a second attempt safe: whether the first one acted cannot be known.
    match idempotency {
        Idempotency::None => 1,
        Idempotency::Key | Idempotency::Natural => retry.maximum_attempts,
    }
}

fn tool_retry(retry: &ToolRetry, idempotency: Idempotency) -> RetryPolicy {
    let attempts = attempts(retry, idempotency);
    RetryPolicy::builder()
        .initial_interval(retry.initial_interval.as_std())
        .backoff_coefficient(retry.backoff_coefficient)
        .maximum_interval(retry.maximum_interval.max(retry.initial_interval).as_std())
        .maximum_attempts(attempts)
        .build()
}

/// How a compensation is repeated, unless its author says otherwise.
pub fn compensation_retry() -> ToolRetry {
    ToolRetry {
        maximum_attempts: COMPENSATION_ATTEMPTS,
        ..ToolRetry::default()
    }
}

/// A hook: tried for as long as it may take, and never cancelled with the turn.
pub fn hook(name: &str, task_queue: Option<String>, timeout: Duration) -> ActivityOptions {
    ActivityOptions::with_close_timeouts(ActivityCloseTimeouts::ScheduleToClose(timeout))
        .maybe_task_queue(task_queue)
        .retry_policy(RetryPolicy::builder().maximum_attempts(2).build())
        .summary(format!("hook {name}"))
        .build()
}

/// The options of a guardrail that is an activity of a user.
pub fn guardrail(
    name: &str,
    task_queue: Option<String>,
    timeout: Duration,
    token: WorkflowCancellationToken,
) -> ActivityOptions {
    ActivityOptions::with_close_timeouts(ActivityCloseTimeouts::ScheduleToClose(timeout))
        .maybe_task_queue(task_queue)
        .cancellation_token(token)
        .summary(format!("guardrail {name}"))
        .build()
}

/// The options of the read of a state page, retried without limit.
pub fn fetch_state_page() -> ActivityOptions {
    ActivityOptions::with_close_timeouts(ActivityCloseTimeouts::StartToClose(FETCH_TIMEOUT))
        .cancellation_token(WorkflowCancellationToken::new())
        .summary("takes over from the run before".to_owned())
        .build()
}

/// The options of an activity that does nothing but stand in history, retried without limit.
pub fn record_in_history() -> ActivityOptions {
    ActivityOptions::with_close_timeouts(ActivityCloseTimeouts::StartToClose(RECORD_TIMEOUT))
        .cancellation_token(WorkflowCancellationToken::new())
        .summary("records what is large".to_owned())
        .build()
}

pub fn check_cel(token: WorkflowCancellationToken) -> LocalActivityOptions {
    LocalActivityOptions::builder()
        .start_to_close_timeout(CEL_TIMEOUT)
        .retry_policy(RetryPolicy::builder().maximum_attempts(3).build())
        .cancellation_token(token)
        .build()
}

/// Not cancelled with the turn: steps that have begun are finished or undone.
pub fn render_step() -> LocalActivityOptions {
    LocalActivityOptions::builder()
        .start_to_close_timeout(RENDER_TIMEOUT)
        .retry_policy(RetryPolicy::builder().maximum_attempts(3).build())
        .cancellation_token(WorkflowCancellationToken::new())
        .build()
}

pub fn cancel_running_calls() -> LocalActivityOptions {
    LocalActivityOptions::builder()
        .start_to_close_timeout(STOP_TIMEOUT)
        .retry_policy(RetryPolicy::builder().maximum_attempts(1).build())
        .cancellation_token(WorkflowCancellationToken::new())
        .build()
}

/// The options of reading the revision of another agent, by that agent's workers.
pub fn load_revision_of(agent: &str, task_queue: String, token: WorkflowCancellationToken) -> ActivityOptions {
    let policy = RetryPolicy::builder()
        .initial_interval(Duration::from_secs(1))
        .maximum_interval(Duration::from_mins(1))
        .build();
    ActivityOptions::with_close_timeouts(ActivityCloseTimeouts::StartToClose(REVISION_TIMEOUT))
        .task_queue(task_queue)
        .retry_policy(policy)
        .cancellation_token(token)
        .summary(format!("{agent}: reads its revision"))
        .build()
}

/// The options of a delivery, retried without limit. A cancelled delivery that is under way reports its result.
pub fn deliver(delivery: &ScheduledMessage, token: WorkflowCancellationToken) -> ActivityOptions {
    let policy = RetryPolicy::builder()
        .initial_interval(Duration::from_secs(1))
        .maximum_interval(Duration::from_mins(1))
        .build();
    ActivityOptions::with_close_timeouts(ActivityCloseTimeouts::StartToClose(DELIVER_TIMEOUT))
        .retry_policy(policy)
        .cancellation_type(ActivityCancellationType::WaitCancellationCompleted)
        .cancellation_token(token)
        .summary(format!("{}: {}", delivery.agent, delivery.name))
        .build()
}

/// Never cancelled with the turn: every event must reach the log.
pub fn append_events() -> ActivityOptions {
    let policy = RetryPolicy::builder()
        .initial_interval(APPEND_RETRY.0)
        .maximum_interval(APPEND_RETRY.1)
        .build();
    ActivityOptions::with_close_timeouts(ActivityCloseTimeouts::StartToClose(APPEND_TIMEOUT))
        .retry_policy(policy)
        .cancellation_token(WorkflowCancellationToken::new())
        .build()
}

/// The options of the first attempt to read the own revision.
pub fn try_load_revision(token: WorkflowCancellationToken) -> LocalActivityOptions {
    LocalActivityOptions::builder()
        .start_to_close_timeout(REVISION_TIMEOUT)
        .retry_policy(RetryPolicy::builder().maximum_attempts(1).build())
        .cancellation_token(token)
        .build()
}

/// The options of reading the own revision. Retried without limit: a new agent gets its first revision after a while.
pub fn load_revision(token: WorkflowCancellationToken) -> LocalActivityOptions {
    LocalActivityOptions::builder()
        .start_to_close_timeout(REVISION_TIMEOUT)
        .schedule_to_close_timeout(REVISION_WAIT)
        .timer_backoff_threshold(LOCAL_RETRY_LIMIT)
        .retry_policy(
            RetryPolicy::builder()
                .initial_interval(Duration::from_secs(1))
                .maximum_interval(Duration::from_mins(1))
                .build(),
        )
        .cancellation_token(token)
        .build()
}
