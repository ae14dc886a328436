//! Timeouts and retries of everything the workflow starts: one table.

use std::time::Duration;

use steadfast_crds::{AgentRevisionSpec, agent_tool::AgentToolSpec};
use temporalio_workflow::{
    ActivityCancellationType, ActivityCloseTimeouts, ActivityOptions, LocalActivityOptions, RetryPolicy,
    WorkflowCancellationToken,
};

/// One attempt to append to the log. The log answers in seconds or not at all.
const APPEND_TIMEOUT: Duration = Duration::from_secs(30);
/// Between attempts to append while Redis is away.
const APPEND_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// One look at the newest revision.
const REVISION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the wait for a revision goes on, with retries, before it is asked again.
const REVISION_WAIT: Duration = Duration::from_hours(24);
/// Retries of the revision beyond this pause run on a timer of the server.
const LOCAL_RETRY_LIMIT: Duration = Duration::from_secs(5);
/// How long a task that ends waits for its last events to reach the log.
pub const FINAL_FLUSH: Duration = Duration::from_mins(1);

/// The model call: heartbeats tell a dead worker apart from a slow model.
pub fn model_call(id: String, spec: &AgentRevisionSpec, token: WorkflowCancellationToken) -> ActivityOptions {
    let timeouts = &spec.model.timeouts;
    let retry = &spec.model.retry;
    let policy = RetryPolicy::builder()
        .initial_interval(retry.initial_interval.as_std())
        .maximum_interval(retry.maximum_interval.as_std())
        .maximum_attempts(retry.maximum_attempts)
        .build();
    ActivityOptions::with_close_timeouts(ActivityCloseTimeouts::StartToClose(timeouts.call.as_std()))
        .activity_id(id)
        .heartbeat_timeout(timeouts.heartbeat.as_std())
        .retry_policy(policy)
        .cancellation_type(ActivityCancellationType::WaitCancellationCompleted)
        .cancellation_token(token)
        .summary(format!("{}: {}", spec.agent, spec.model.name))
        .build()
}

/// A tool call, on a foreign queue if one is given.
pub fn tool_call(
    id: String,
    agent: &str,
    tool: &str,
    spec: &AgentToolSpec,
    task_queue: Option<String>,
    heartbeat: Option<Duration>,
    token: WorkflowCancellationToken,
) -> ActivityOptions {
    let policy = RetryPolicy::builder()
        .initial_interval(spec.retry.initial_interval.as_std())
        .backoff_coefficient(spec.retry.backoff_coefficient)
        .maximum_interval(spec.retry.maximum_interval.as_std())
        .maximum_attempts(spec.retry.maximum_attempts)
        .build();
    ActivityOptions::with_close_timeouts(ActivityCloseTimeouts::StartToClose(spec.timeout.as_std()))
        .activity_id(id)
        .maybe_task_queue(task_queue)
        .maybe_heartbeat_timeout(heartbeat)
        .retry_policy(policy)
        .cancellation_token(token)
        .summary(format!("{agent}: {tool}"))
        .build()
}

/// Never cancelled with the turn: what happened must reach the log.
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

/// Waits as long as it takes: an agent whose revision is not there yet gets it by and by.
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
