//! How an activity fails: the type and message that Temporal records, and
//! whether Temporal retries it. The one place that decides both.

pub use steadfast_contract::failures::RetryClass;
use steadfast_process::ErrorChain;
use temporalio_common::error::ApplicationFailure;
use temporalio_sdk::activities::ActivityError;

use crate::egress::redaction::Redactor;

/// Longest message of a failure; it goes to history, to the model and to the log.
const MESSAGE_LIMIT_BYTES: usize = 2_000;

/// A failed call: of a model, of a tool, of a webhook, or of something that the worker depends on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallFailure {
    /// A stable name: the type of the failure in Temporal and the category of the turn's error.
    pub category: &'static str,
    pub message: String,
    pub retry: RetryClass,
    /// What a model server said that refused the request; none for any other failure.
    pub refusal: Option<Box<Refusal>>,
}

/// The refusal of a request by a model server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the response.
    pub status: u16,
    /// Its body, without the values of credentials.
    pub body: String,
}

impl CallFailure {
    /// A failure that is not retried.
    pub(crate) fn permanent(category: &'static str, message: impl Into<String>) -> Self {
        Self::new(category, message, RetryClass::Permanent)
    }

    /// A failure that is retried after the delay of the retry policy.
    pub(crate) fn transient(category: &'static str, message: impl Into<String>) -> Self {
        Self::new(category, message, RetryClass::Transient { delay: None })
    }

    /// The same from an error, whose causes become part of the message.
    pub(crate) fn permanent_error(category: &'static str, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::permanent(category, ErrorChain(error).to_string())
    }

    /// The same from an error, whose causes become part of the message.
    pub(crate) fn transient_error(category: &'static str, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::transient(category, ErrorChain(error).to_string())
    }

    /// The same without the values of credentials in its message.
    pub(crate) fn redacted(self, redactor: &Redactor) -> Self {
        // A message at its limit may have been cut within a value.
        let message = if self.message.len() + 4 > MESSAGE_LIMIT_BYTES {
            redactor.cut_text(&self.message)
        } else {
            redactor.text(&self.message)
        };
        Self { message, ..self }
    }

    pub(crate) fn new(category: &'static str, message: impl Into<String>, retry: RetryClass) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MESSAGE_LIMIT_BYTES));
        Self {
            category,
            message,
            retry,
            refusal: None,
        }
    }

    /// The same with what the model server said.
    pub(crate) fn refused(self, status: u16, body: impl Into<String>) -> Self {
        let body = body.into();
        Self {
            refusal: Some(Box::new(Refusal { status, body })),
            ..self
        }
    }
}

/// Why an activity has no result. No `std::error::Error`: the SDK would turn one into a failure without a type.
#[derive(Debug)]
pub(crate) enum ActivityFailure {
    Failed(CallFailure),
    /// The workflow cancelled the activity.
    Cancelled,
    /// This process shuts down; another worker makes the next attempt.
    ShuttingDown,
}

impl From<CallFailure> for ActivityFailure {
    fn from(failure: CallFailure) -> Self {
        Self::Failed(failure)
    }
}

impl ActivityFailure {
    /// The failure as Temporal records it.
    pub(crate) fn into_failure(self) -> ActivityError {
        let failure = match self {
            Self::Cancelled => return ActivityError::cancelled(),
            Self::ShuttingDown => CallFailure::transient("worker_shutdown", "the worker is shutting down"),
            Self::Failed(failure) => failure,
        };
        let (category, retry) = (failure.category.to_owned(), failure.retry);
        let builder = ApplicationFailure::builder(failure).type_name(category);
        ActivityError::application(match retry {
            RetryClass::Permanent => builder.non_retryable(true).build(),
            RetryClass::Transient { delay: None } => builder.build(),
            RetryClass::Transient { delay: Some(delay) } => builder.next_retry_delay(delay).build(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn recorded(failure: impl Into<ActivityFailure>) -> Box<ApplicationFailure> {
        match failure.into().into_failure() {
            ActivityError::Application(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn temporal_records_the_category_and_whether_to_retry() {
        let permanent = recorded(CallFailure::permanent("tool_refused", "no"));
        assert_eq!(
            (permanent.type_name(), permanent.is_non_retryable()),
            (Some("tool_refused"), true)
        );
        let delay = Duration::from_secs(7);
        let retry = RetryClass::Transient { delay: Some(delay) };
        let transient = recorded(CallFailure::new("model_rate_limit", "slow down", retry));
        assert_eq!(
            (transient.is_non_retryable(), transient.next_retry_delay()),
            (false, Some(delay))
        );
        assert_eq!(transient.to_string(), "slow down");
    }

    #[test]
    fn a_shutdown_is_retried_and_a_cancellation_is_no_failure() {
        let shutdown = recorded(ActivityFailure::ShuttingDown);
        assert_eq!(
            (shutdown.type_name(), shutdown.is_non_retryable()),
            (Some("worker_shutdown"), false)
        );
        assert!(matches!(
            ActivityFailure::Cancelled.into_failure(),
            ActivityError::Cancelled { .. }
        ));
    }

    #[test]
    fn a_long_message_is_cut() {
        assert_eq!(
            CallFailure::transient("x", "é".repeat(5_000)).message.len(),
            MESSAGE_LIMIT_BYTES
        );
    }
}
