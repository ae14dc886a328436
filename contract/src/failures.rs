//! Failure types of the workflow, by which Temporal shows and clients recognise why a task failed.

/// The task reached `limits.taskTimeout`.
pub const TASK_TIMED_OUT: &str = "TaskTimedOut";
/// The workflow reached a state that is impossible: a fault of Steadfast.
pub const PROTOCOL_VIOLATION: &str = "ProtocolViolation";
/// The run before is gone, and with it a part of the state.
pub const STATE_LOST: &str = "StateLost";

/// Whether another attempt of an activity can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryClass {
    /// Another attempt would fail in the same way.
    Permanent,
    /// Another attempt may succeed.
    Transient {
        /// The wait that the other side asked for; the delay of the retry policy when absent.
        delay: Option<std::time::Duration>,
    },
}
