//! Describes failed activities: a category, and a message for people and models.

use steadfast_contract::failures::{PAYLOAD_TOO_LARGE, TIMEOUT};
use steadfast_payload::{PAYLOAD_LIMIT_BYTES, failure_message};
use temporalio_workflow::common::{
    error::{ActivityExecutionError, ChildWorkflowExecutionError},
    protos::temporal::api::{
        enums::v1::TimeoutType,
        failure::v1::{Failure, failure::FailureInfo},
    },
};

/// Longest message of a failure; it goes to the model and into the log.
const MESSAGE_LIMIT_BYTES: usize = 2_000;

/// Why an activity has no result.
#[derive(Debug)]
pub(crate) enum CallError {
    /// It was not made: what it would carry is more than a payload holds.
    TooLarge {
        what: String,
        size_bytes: usize,
    },
    /// It was not made: the turn was stopped while it waited for a workflow task that could carry it.
    Stopped,
    /// Its result names parts that have not arrived.
    PartsMissing,
    Failed(Box<ActivityExecutionError>),
}

impl From<ActivityExecutionError> for CallError {
    fn from(error: ActivityExecutionError) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl CallError {
    /// A category and a message.
    pub(crate) fn describe(&self) -> (String, String) {
        match self {
            Self::TooLarge { what, size_bytes } => (
                PAYLOAD_TOO_LARGE.to_owned(),
                format!("{what}: {size_bytes} bytes are more than the {PAYLOAD_LIMIT_BYTES} that can be sent"),
            ),
            Self::Stopped => ("canceled".to_owned(), "the turn was stopped before it".to_owned()),
            Self::PartsMissing => (
                "unreadable_result".to_owned(),
                "parts of the result have not arrived".to_owned(),
            ),
            Self::Failed(error) => match &**error {
                ActivityExecutionError::Serialization(error) => (
                    "unreadable_result".to_owned(),
                    bounded(&format!("the result cannot be read: {error}")),
                ),
                error => error
                    .failure()
                    .map_or_else(|| ("unknown".to_owned(), error.to_string()), describe_failure),
            },
        }
    }

    /// Whether the activity was never scheduled: no history holds what it was to carry.
    pub(crate) fn was_not_made(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::Stopped)
    }

    /// Whether the activity may have acted all the same: it began and did not report back in time, or the
    /// server refused its result.
    pub(crate) fn may_have_acted(&self) -> bool {
        self.innermost().is_some_and(|failure| match &failure.failure_info {
            Some(FailureInfo::TimeoutFailureInfo(info)) => info.timeout_type() != TimeoutType::ScheduleToStart,
            Some(FailureInfo::ServerFailureInfo(_)) => true,
            _ => false,
        })
    }

    /// Whether the activity was not made, or says that another attempt is pointless, as ours do of requests
    /// that they did not send.
    pub(crate) fn is_permanent(&self) -> bool {
        match self {
            Self::TooLarge { .. } | Self::Stopped => true,
            Self::PartsMissing => false,
            Self::Failed(_) => self.innermost().is_some_and(|failure| match &failure.failure_info {
                Some(FailureInfo::ApplicationFailureInfo(info)) => info.non_retryable,
                _ => false,
            }),
        }
    }

    fn innermost(&self) -> Option<&Failure> {
        match self {
            Self::TooLarge { .. } | Self::Stopped | Self::PartsMissing => None,
            Self::Failed(error) => error.failure().map(innermost),
        }
    }
}

fn innermost(failure: &Failure) -> &Failure {
    let mut innermost = failure;
    while let Some(cause) = innermost.cause.as_deref() {
        innermost = cause;
    }
    innermost
}

/// A category and a message, for a failed child workflow.
pub(crate) fn describe_child(error: &ChildWorkflowExecutionError) -> (String, String) {
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
    let innermost = innermost(failure);
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
        // The server did not take the result.
        Some(FailureInfo::ServerFailureInfo(_)) if innermost.message.contains("size limit") => (
            PAYLOAD_TOO_LARGE.to_owned(),
            format!(
                "its result is larger than the 2 MiB that Temporal takes, and is lost ({})",
                bounded(&innermost.message)
            ),
        ),
        Some(FailureInfo::ApplicationFailureInfo(info)) if !info.r#type.is_empty() => {
            (info.r#type.clone(), bounded(&failure_message(innermost)))
        }
        _ => ("failed".to_owned(), bounded(&failure_message(innermost))),
    }
}

fn bounded(text: &str) -> String {
    text[..text.floor_char_boundary(MESSAGE_LIMIT_BYTES)].to_owned()
}
