//! Input and result of a task.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use steadfast_agent_loop::TurnOutcome;
use steadfast_events::{LogId, Usage};

use crate::{signals::ReceiveEvent, state::DurableState};

/// Workflow type of a task.
pub const WORKFLOW_TYPE: &str = "AgentTask";

/// How long a workflow task of ours may take, which is milliseconds. A worker that is lost in the middle of one holds the
/// task up for so long.
pub const WORKFLOW_TASK_TIMEOUT: Duration = Duration::from_secs(5);

/// The schema version of the state that this code writes. A newer one is refused.
pub const SCHEMA_VERSION: u32 = 1;

/// Input of the workflow, sent as one payload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartTask {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Id of the task, which is also the workflow id.
    pub task_id: String,
    /// Kubernetes namespace of the agent.
    pub namespace: String,
    /// Name of the agent.
    pub agent: String,
    /// Who created the task; empty when anonymous.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub creator: String,
    /// `params` of the client; `{task.params}` in the instructions.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub params: Value,
    /// The first messages, for a task that is started with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<ReceiveEvent>,
    /// The task ends with its first turn, and its result is the result of that turn.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_turn: bool,
    /// The task that asked this one, for an agent that is another's tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// W3C `traceparent` of the request that created the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The run of this task that appended to its log before this run; empty in the first.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log_run_id: String,
    /// The first run of the workflow. It is not in the input: whoever reads the input takes it from the start event.
    #[serde(skip)]
    pub first_run_id: String,
    /// The state that the run before has left; absent in the first run of a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Box<DurableState>>,
}

impl StartTask {
    /// The input of a new task.
    pub fn new(task_id: impl Into<String>, namespace: impl Into<String>, agent: impl Into<String>) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            task_id: task_id.into(),
            namespace: namespace.into(),
            agent: agent.into(),
            creator: String::new(),
            params: Value::Null,
            messages: Vec::new(),
            one_turn: false,
            parent: None,
            traceparent: None,
            log_run_id: String::new(),
            first_run_id: String::new(),
            state: None,
        }
    }
}

/// The task that shows this one's events in its own log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The log that takes this one's events.
    pub log: LogId,
    /// The run of the log's task that asked.
    pub run_id: String,
    /// The run of the log's task that appended before that one; empty for the first.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log_run_id: String,
    /// The calls that led here, `<turn>.<step>.<index>` joined by `/`.
    pub path: String,
}

impl StartTask {
    /// The log that shows what this task does.
    pub fn log_id(&self) -> LogId {
        match &self.parent {
            Some(parent) => parent.log.clone(),
            None => self.own_log_id(),
        }
    }

    /// The log of this task alone, which stays empty where a parent's log shows what it does.
    pub fn own_log_id(&self) -> LogId {
        LogId::new(&self.task_id, &self.first_run_id)
    }

    /// The run of the log's task that appends while `run_id` is the run of this task, and the run that did before it.
    pub fn log_runs<'a>(&'a self, run_id: &'a str) -> (&'a str, &'a str) {
        match &self.parent {
            Some(parent) => (&parent.run_id, &parent.log_run_id),
            None => (run_id, &self.log_run_id),
        }
    }

    /// The client's trace: the second field of its `traceparent` (W3C Trace Context, section 3.2).
    pub fn trace_id(&self) -> Option<String> {
        let trace_id = self.traceparent.as_ref()?.split('-').nth(1)?;
        (trace_id.len() == 32).then(|| trace_id.to_owned())
    }

    /// The place of its events in that log; empty in a conversation.
    pub fn path(&self) -> &str {
        self.parent.as_ref().map_or("", |parent| &parent.path)
    }
}

/// Result of the workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    /// Text of the agent's last answer.
    #[serde(default)]
    pub text: String,
    /// How its last turn ended; absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<TurnOutcome>,
    /// Tokens and model calls.
    #[serde(default)]
    pub usage: Usage,
}
