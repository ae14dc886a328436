//! Why an Agent or a WorkerPool could not be reconciled.

use steadfast_process::BlockingError;

use crate::agents::{apply, dereference, validate};

/// Why an Agent or a WorkerPool could not be reconciled for now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// See [`dereference`].
    #[error("read the objects that it refers to")]
    Dereference(#[from] dereference::Error),
    /// See [`validate`].
    #[error("validate the spec")]
    Validate(#[from] validate::Error),
    /// The validation is late or has no thread.
    #[error("validate the spec")]
    Blocking(#[from] BlockingError),
    /// See [`apply`].
    #[error("apply its objects")]
    Apply(#[from] apply::Error),
    /// The status was not written.
    #[error("write the status")]
    Status(#[source] kube::Error),
    /// The finalizer for the tasks was not written.
    #[error("write the Agent's finalizers")]
    Finalizer(#[source] kube::Error),
    /// A fault of the operator, which must not stop the reconciliation of others.
    #[error("the reconciliation panicked")]
    Panicked,
    /// The reconciliation failed, and its status was not written either.
    #[error("the status cannot be written either ({status}); the reconciliation failed first")]
    StatusAfterFailure {
        /// Why the reconciliation failed.
        #[source]
        first: Box<Self>,
        /// Why the status was not written.
        status: kube::Error,
    },
}

impl Error {
    /// A short fixed word, for logs and labels: the stage that failed first.
    pub(crate) fn category(&self) -> &'static str {
        match self {
            Self::Dereference(_) => "dereference",
            Self::Validate(_) | Self::Blocking(_) => "validate",
            Self::Apply(_) => "apply",
            Self::Status(_) => "status",
            Self::Finalizer(_) => "finalizer",
            Self::Panicked => "panic",
            Self::StatusAfterFailure { first, .. } => first.category(),
        }
    }
}
