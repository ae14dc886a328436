//! Failure types of the workflow, by which Temporal shows and clients recognise why a task failed.

/// The task reached `limits.taskTimeout`.
pub const TASK_TIMED_OUT: &str = "TaskTimedOut";
/// Type of the failure of a task whose start input is not for this worker, or not of the system's making.
pub const START_REFUSED: &str = "StartRefused";
/// The workflow reached a state that is impossible: a fault of Steadfast.
pub const PROTOCOL_VIOLATION: &str = "ProtocolViolation";
/// The run before is gone, and with it a part of the state.
pub const STATE_LOST: &str = "StateLost";

/// Type of an activity's failure: the conversation does not fit the context window of the model.
/// The workflow then compacts the conversation.
pub const CONTEXT_LENGTH_EXCEEDED: &str = "context_length_exceeded";
/// Type of a failure: something is too large for Temporal and was not sent, or is too large a result.
pub const PAYLOAD_TOO_LARGE: &str = "payload_too_large";
/// Type of an activity's failure: the call took longer than its timeout. Temporal's own timeouts
/// are reported under the same name.
pub const TIMEOUT: &str = "timeout";

/// Type of a failure: the result of an activity or a workflow of a user is no JSON.
pub const TOOL_RESULT_UNREADABLE: &str = "tool_result_unreadable";

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
