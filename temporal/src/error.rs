//! Why Temporal did not do what was asked, in classes that callers act on.

use std::time::Duration;

use temporalio_client::{
    errors::ClientConnectError,
    tonic::{Code, Status},
};

use crate::encryption::CipherError;

/// A request to Temporal failed.
#[derive(Debug, thiserror::Error)]
pub enum TemporalError {
    /// There is no connection: network, TLS or a frontend that does not answer.
    #[error("connect to Temporal")]
    Connect(#[source] Box<ClientConnectError>),
    /// The answer did not come in time, all attempts and the connection included.
    #[error("Temporal did not answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// Temporal does not know the workflow or schedule, or it has ended.
    #[error("Temporal does not know the workflow or schedule, or it has ended")]
    NotFound,
    /// The Temporal namespace does not exist: a mistake in the settings.
    #[error("Temporal does not know the namespace: {0}")]
    NamespaceNotFound(String),
    /// The run of the workflow is ending at this moment, and takes nothing more; the next run, or its end, comes soon.
    #[error("the run of the workflow is ending at this moment")]
    RunEnding,
    /// A workflow or schedule of that id exists already.
    #[error("it exists in Temporal already: {0}")]
    AlreadyExists(String),
    /// The request cannot be fulfilled as it is; repeating it is pointless.
    #[error("Temporal refused the request: {0}")]
    Refused(String),
    /// The API key or client certificate is wrong, or may not do this.
    #[error("Temporal refused the credentials: {0}")]
    Unauthorized(String),
    /// The server cannot do this at all, for instance because it is too old.
    #[error("this Temporal server does not support the request: {0}")]
    Unsupported(String),
    /// The request cannot be encrypted.
    #[error("encrypt a request to Temporal")]
    Encrypt(#[from] CipherError),
    /// The request failed for now.
    #[error("ask Temporal")]
    Unavailable(#[source] Box<Status>),
}

impl TemporalError {
    /// Whether the same request may succeed later without a change of settings or of the request.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Connect(_) | Self::TimedOut(_) | Self::RunEnding | Self::Unavailable(_)
        )
    }

    /// Whether Temporal may have done what was asked, although no answer says so.
    #[must_use]
    pub const fn may_have_happened(&self) -> bool {
        matches!(self, Self::TimedOut(_) | Self::Unavailable(_))
    }

    /// Label for metrics and event reasons.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::TimedOut(_) => "timed_out",
            Self::NotFound => "not_found",
            Self::NamespaceNotFound(_) => "namespace_not_found",
            Self::RunEnding => "run_ending",
            Self::AlreadyExists(_) => "already_exists",
            Self::Refused(_) => "refused",
            Self::Unauthorized(_) => "unauthorized",
            Self::Unsupported(_) => "unsupported",
            Self::Encrypt(_) => "encrypt",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl From<Status> for TemporalError {
    fn from(status: Status) -> Self {
        let message = || status.message().to_owned();
        match status.code() {
            Code::NotFound if status.message().starts_with("Namespace") => Self::NamespaceNotFound(message()),
            Code::NotFound => Self::NotFound,
            Code::ResourceExhausted if status.message().ends_with("workflow is closing") => Self::RunEnding,
            Code::AlreadyExists => Self::AlreadyExists(message()),
            Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => Self::Refused(message()),
            Code::Unauthenticated | Code::PermissionDenied => Self::Unauthorized(message()),
            Code::Unimplemented => Self::Unsupported(message()),
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => Self::Unavailable(Box::new(status)),
        }
    }
}

impl From<ClientConnectError> for TemporalError {
    fn from(error: ClientConnectError) -> Self {
        match error {
            // The first request that a connection makes: its answer has a class of its own.
            ClientConnectError::SystemInfoCallError(status)
                if matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied) =>
            {
                status.into()
            }
            error => Self::Connect(Box::new(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_ending_is_no_outage() {
        let message = "workflow operation can not be applied because workflow is closing";
        let error = TemporalError::from(Status::resource_exhausted(message));
        assert!(matches!(error, TemporalError::RunEnding), "{error:?}");
        assert!(error.is_transient());
    }

    #[test]
    fn a_missing_namespace_is_not_a_missing_workflow() {
        let error = TemporalError::from(Status::not_found("Namespace nope is not found."));
        assert!(matches!(error, TemporalError::NamespaceNotFound(_)), "{error:?}");
        let error = TemporalError::from(Status::not_found("workflow not found for ID: 7"));
        assert!(matches!(error, TemporalError::NotFound), "{error:?}");
    }

    #[test]
    fn only_failures_of_the_moment_are_transient() {
        for (code, transient) in [
            (Code::Unavailable, true),
            (Code::ResourceExhausted, true),
            (Code::DeadlineExceeded, true),
            (Code::InvalidArgument, false),
            (Code::Unauthenticated, false),
            (Code::NotFound, false),
            (Code::AlreadyExists, false),
            (Code::Unimplemented, false),
        ] {
            let error = TemporalError::from(Status::new(code, ""));
            assert_eq!(error.is_transient(), transient, "{code:?}");
        }
    }

    #[test]
    fn a_refused_api_key_is_not_a_lost_connection() {
        let error = ClientConnectError::SystemInfoCallError(Status::unauthenticated("invalid API key"));
        let error = TemporalError::from(error);
        assert!(matches!(error, TemporalError::Unauthorized(_)), "{error:?}");
    }
}
