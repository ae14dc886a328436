//! Names of the headers that the workflow puts on everything that it starts.

/// Header: id of the task.
pub const HEADER_TASK_ID: &str = "context-task-id";
/// Header: id of the trace the task belongs to.
pub const HEADER_TRACE_ID: &str = "context-trace-id";
/// Header: id of the span that an activity's own span hangs under.
pub const HEADER_PARENT_SPAN_ID: &str = "context-parent-span-id";
/// Header: the same for every attempt of one tool call, different for every other.
pub const HEADER_IDEMPOTENCY_KEY: &str = "idempotency-key";
