//! The running tasks of Agents, as Temporal has them: whose they are, and what the operator asks of them when an Agent is
//! deleted ([`crate::deletion`]), has moved ([`crate::moves`]) or gets another version of workers ([`crate::versions`]).

pub(crate) mod client;

use std::fmt;

use steadfast_crds::names::agent_task_queue;

use crate::kube::namespaced_name::NamespacedName;

/// The tasks of one Agent on one task queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskSet {
    /// The Agent.
    pub(crate) agent: NamespacedName,
    /// The task queue.
    pub(crate) task_queue: String,
    /// Whose task queue it is.
    pub(crate) kind: QueueKind,
}

impl TaskSet {
    /// The tasks of an Agent on a task queue of this installation.
    pub(crate) fn new(install: &str, agent: NamespacedName, task_queue: String) -> Self {
        let is_own = task_queue == agent_task_queue(install, &agent.namespace, &agent.name);
        Self {
            agent,
            task_queue,
            kind: if is_own { QueueKind::Own } else { QueueKind::Shared },
        }
    }
}

/// Whose a task queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueKind {
    /// The Agent's own: its Deployment serves it.
    Own,
    /// Several Agents': workers serve it that do not go with the Agent.
    Shared,
}

/// The number of tasks that are left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenTasks {
    /// The tasks that were counted.
    pub(crate) counted: usize,
    /// Whether there are more than were counted.
    pub(crate) more: bool,
}

impl fmt::Display for OpenTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { counted, more } = *self;
        match (counted, more) {
            (1, false) => f.write_str("1 task is left"),
            (_, false) => write!(f, "{counted} tasks are left"),
            (_, true) => write!(f, "more than {counted} tasks are left"),
        }
    }
}
