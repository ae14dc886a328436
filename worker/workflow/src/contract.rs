//! The names and values that cross the task's border: what starts it, what may
//! be sent to it, what may be asked of it. A name here is on the wire of running
//! tasks: it never changes.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use steadfast_log::{Content, Usage};

/// Workflow type of a task.
pub const WORKFLOW_TYPE: &str = "AgentTask";

/// Signal: a message for the agent ([`ReceiveEvent`]).
pub const SIGNAL_RECEIVE_EVENT: &str = "receive_event";
/// Signal: finish after the running turn ([`CompleteTask`]).
pub const SIGNAL_COMPLETE_TASK: &str = "complete_task";
/// Signal: stop the running turn, keep the task ([`Interrupt`]).
pub const SIGNAL_INTERRUPT: &str = "interrupt";

/// Query: [`TaskState`].
pub const QUERY_STATE: &str = "state";
/// Query: the items of the conversation, oldest first.
pub const QUERY_TRANSCRIPT: &str = "transcript";

/// Memo field: `namespace/name` of the agent, a JSON string.
pub const MEMO_AGENT: &str = "steadfast_agent";
/// Memo field: who created the task, a JSON string.
pub const MEMO_CREATOR: &str = "steadfast_creator";
/// Memo field: the task's name, a JSON string.
pub const MEMO_NAME: &str = "steadfast_name";
/// Memo field: the client's `task_metadata`, a JSON object.
pub const MEMO_METADATA: &str = "steadfast_metadata";

/// The newest state schema this code writes; it reads this one and all before.
pub const SCHEMA_VERSION: u32 = 1;

/// Input of the workflow, sent as one payload ([`crate::packed`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartTask {
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
    /// What the client gave as `params`: `{task.params}` in the instructions.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub params: Value,
    /// What a run before this one hands over; absent at the start of a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<Box<crate::carried::Carried>>,
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
            carried: None,
        }
    }
}

/// A message for the agent. The id is the sender's: sent twice, it counts once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReceiveEvent {
    pub message_id: String,
    /// [`Content::Text`] or [`Content::Data`].
    pub content: Content,
    /// Who sent it; empty when anonymous.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sender: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CompleteTask {
    #[serde(default)]
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interrupt {
    #[serde(default)]
    pub reason: Option<String>,
}

/// Answer of the query `state`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskState {
    pub agent: String,
    /// The turn that runs, or the last one.
    pub turn: u32,
    pub phase: Phase,
    pub queued_messages: usize,
    pub transcript_items: usize,
    pub revision: Option<String>,
    pub usage: Usage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waits for a message.
    #[default]
    Idle,
    CallingModel,
    CallingTools,
    Ending,
}
