//! What the reconciliation of an Agent or of a WorkerPool waits for.

use std::time::Duration;

use kube::runtime::controller::Action;

use crate::kube::{backoff::Backoff, namespaced_name::NamespacedName};

/// What a reconciled object waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A change of a watched object.
    Change,
    /// A change of an object that is not watched because it belongs to somebody else.
    Retry,
    /// A change of a watched object, or this time.
    After(Duration),
}

impl Next {
    /// The same for the controller. Only a retry is a failure for the delays between attempts.
    pub(crate) fn into_action(self, backoff: &Backoff, object: &NamespacedName) -> Action {
        let action = match self {
            Self::Change => Action::await_change(),
            Self::After(time) => Action::requeue(time),
            Self::Retry => return Action::requeue(backoff.after_failure(object)),
        };
        backoff.forget(object);
        action
    }
}
