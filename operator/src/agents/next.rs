//! What the reconciliation of an Agent waits for.

use std::time::Duration;

/// What a reconciled Agent waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A change of a watched object.
    Change,
    /// A change of an object that is not watched because it belongs to somebody else.
    Retry,
    /// A change of a watched object, or this time.
    After(Duration),
}
