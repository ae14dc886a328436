//! Describes failed activities: a category, and a message for people and models.

use steadfast_contract::failures::TIMEOUT;
use steadfast_payload::failure_message;
use temporalio_workflow::common::{
    error::{ActivityExecutionError, ChildWorkflowExecutionError},
    protos::temporal::api::{
        enums::v1::TimeoutType,
        failure::v1::{Failure, failure::FailureInfo},
    },
};

/// Longest message of a failure; it goes to the model and into the log.
const MESSAGE_LIMIT_BYTES: usize = 2_000;

/// A category and a message.
pub fn describe(error: &ActivityExecutionError) -> (String, String) {
    match error {
        ActivityExecutionError::Serialization(error) => (
            "unreadable_result".to_owned(),
            bounded(&format!("the result cannot be read: {error}")),
        ),
        _ => error
            .failure()
            .map_or_else(|| ("unknown".to_owned(), error.to_string()), describe_failure),
    }
}

/// Whether an activity that failed may have acted all the same: it began and did not report back in
/// time.
pub fn may_have_acted(error: &ActivityExecutionError) -> bool {
    innermost(error).is_some_and(|failure| match &failure.failure_info {
        Some(FailureInfo::TimeoutFailureInfo(info)) => info.timeout_type() != TimeoutType::ScheduleToStart,
        _ => false,
    })
}

/// Whether an activity says that another attempt is pointless, as ours do of requests that they did not send.
pub fn is_permanent(error: &ActivityExecutionError) -> bool {
    innermost(error).is_some_and(|failure| match &failure.failure_info {
        Some(FailureInfo::ApplicationFailureInfo(info)) => info.non_retryable,
        _ => false,
    })
}

fn innermost(error: &ActivityExecutionError) -> Option<&Failure> {
    let mut innermost = error.failure()?;
    while let Some(cause) = innermost.cause.as_deref() {
        innermost = cause;
    }
    Some(innermost)
}

/// A category and a message, for a failed child workflow.
pub fn describe_child(error: &ChildWorkflowExecutionError) -> (String, String) {
    match error {
        ChildWorkflowExecutionError::Serialization(error) => (
            "unreadable_result".to_owned(),
            bounded(&format!("the result cannot be read: {error}")),
        ),
        _ => error
            .failure()
            .map_or_else(|| ("unknown".to_owned(), error.to_string()), describe_failure),
    }
}

fn describe_failure(failure: &Failure) -> (String, String) {
    let mut innermost = failure;
    while let Some(cause) = innermost.cause.as_deref() {
        innermost = cause;
    }
    match &innermost.failure_info {
        Some(FailureInfo::TimeoutFailureInfo(info)) => {
            let what = match info.timeout_type() {
                TimeoutType::StartToClose => "it took longer than its timeout",
                TimeoutType::ScheduleToStart => "no worker took it up in time",
                TimeoutType::Heartbeat => "its worker stopped answering",
                _ => "it did not finish in time",
            };
            (TIMEOUT.to_owned(), what.to_owned())
        }
        Some(FailureInfo::ApplicationFailureInfo(info)) if !info.r#type.is_empty() => {
            (info.r#type.clone(), bounded(&failure_message(innermost)))
        }
        _ => ("failed".to_owned(), bounded(&failure_message(innermost))),
    }
}

fn bounded(text: &str) -> String {
    text[..text.floor_char_boundary(MESSAGE_LIMIT_BYTES)].to_owned()
}
