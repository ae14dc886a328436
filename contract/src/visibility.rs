//! Memo fields and search attributes: the server shows and finds a task by them, with no worker running.

use steadfast_crds::names::{agent_task_queue, parse_pool_task_queue};

/// Memo field: `namespace/name` of the agent, a JSON string.
pub const MEMO_AGENT: &str = "steadfast_agent";
/// Memo field: who created the task, a JSON string.
pub const MEMO_CREATOR: &str = "steadfast_creator";
/// Memo field: the task's name, a JSON string.
pub const MEMO_NAME: &str = "steadfast_name";
/// Memo field: the client's `task_metadata`, a JSON object.
pub const MEMO_METADATA: &str = "steadfast_metadata";
/// Memo field: the trace id of the client that created the task, 32 hexadecimal digits as a JSON string; absent where
/// the client gave none, and the trace id follows from the task id.
pub const MEMO_TRACE: &str = "steadfast_trace";

/// Memo field: as many messages wait as the agent allows, JSON `true`; absent otherwise.
pub const MEMO_QUEUE_FULL: &str = "steadfast_queue_full";

/// Memo field of a task that works as the tool of another: the [`LogId`](steadfast_events::LogId) of the log that shows
/// what it does.
pub const MEMO_LOG: &str = "steadfast_log";

/// Memo field: the approvals that wait, a JSON list of [`Approval`](steadfast_events::Approval)s whose arguments are cut to
/// [`MEMO_ARGUMENTS_BYTES`].
pub const MEMO_APPROVALS: &str = "steadfast_approvals";
/// Bytes of an approval's arguments that the memo holds, as JSON text.
pub const MEMO_ARGUMENTS_BYTES: usize = 1_024;
/// Search attribute (Keyword): the task's agent, `<install>/<namespace>/agent/<name>`, also on the task queue of a pool.
pub const SEARCH_AGENT: &str = "SteadfastAgent";
/// Search attribute (Keyword): a [`VisiblePhase`].
pub const SEARCH_PHASE: &str = "SteadfastPhase";
/// Search attribute (Int): how many approvals wait.
pub const SEARCH_PENDING_APPROVALS: &str = "SteadfastPendingApprovals";

/// The value of [`SEARCH_AGENT`] for a task of `agent` on a task queue. A queue of another form, which the operator does
/// not make, stands for itself.
#[must_use]
pub fn search_agent(task_queue: &str, agent: &str) -> String {
    parse_pool_task_queue(task_queue).map_or_else(
        || task_queue.to_owned(),
        |(install, namespace, _)| agent_task_queue(install, namespace, agent),
    )
}

/// The phase by which tasks are searched. Each change is an event of the history, so it changes for what lasts; a
/// [`Phase`](crate::queries::Phase) changes with every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VisiblePhase {
    /// Waits for a message, or has had one for less than a minute.
    Idle,
    /// A turn has run for a minute or more, as the task knew when it began its newest step.
    Running,
    /// A turn runs and waits for an approval.
    WaitingForPeople,
}

impl VisiblePhase {
    /// Its value as a search attribute.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Running => "Running",
            Self::WaitingForPeople => "WaitingForPeople",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_of_a_task_is_found_by_the_same_value_on_a_pool() {
        for (queue, value) in [
            ("prod/team/agent/weather", "prod/team/agent/weather"),
            ("prod/team/pool/shared", "prod/team/agent/weather"),
            ("elsewhere", "elsewhere"),
        ] {
            assert_eq!(search_agent(queue, "weather"), value);
        }
    }
}
