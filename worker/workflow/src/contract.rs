//! The names and values that cross the task's border: what starts it, what may
//! be sent to it, what may be asked of it. A name here is on the wire of running
//! tasks: it never changes.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use steadfast_agent_loop::TurnOutcome;
use steadfast_events::{Approval, Content, Usage};

/// Workflow type of a task.
pub const WORKFLOW_TYPE: &str = "AgentTask";

/// Signal: a message for the agent ([`ReceiveEvent`]).
pub const SIGNAL_RECEIVE_EVENT: &str = "receive_event";
/// Signal: finish after the running turn ([`CompleteTask`]).
pub const SIGNAL_COMPLETE_TASK: &str = "complete_task";
/// Signal: stop the running turn, keep the task ([`Interrupt`]).
pub const SIGNAL_INTERRUPT: &str = "interrupt";

/// Signal: what a person says to an approval ([`Decide`]).
pub const SIGNAL_DECIDE: &str = "decide";
/// Signal: go on in a new run at the next point with no activity in flight; carries nothing.
pub const SIGNAL_CHECKPOINT: &str = "checkpoint";

/// Query: [`TaskState`].
pub const QUERY_STATE: &str = "state";
/// Query: the items of the conversation, oldest first.
pub const QUERY_TRANSCRIPT: &str = "transcript";
/// Query: the approvals that wait, as [`Approval`]s.
pub const QUERY_APPROVALS: &str = "approvals";

/// Memo field: `namespace/name` of the agent, a JSON string.
pub const MEMO_AGENT: &str = "steadfast_agent";
/// Memo field: who created the task, a JSON string.
pub const MEMO_CREATOR: &str = "steadfast_creator";
/// Memo field: the task's name, a JSON string.
pub const MEMO_NAME: &str = "steadfast_name";
/// Memo field: the client's `task_metadata`, a JSON object.
pub const MEMO_METADATA: &str = "steadfast_metadata";

/// Memo field: the approvals that wait, a JSON list of [`Approval`]s whose arguments are cut to
/// [`MEMO_ARGUMENTS_BYTES`].
pub const MEMO_APPROVALS: &str = "steadfast_approvals";
/// What of an approval's arguments stands in the memo, as JSON text.
pub const MEMO_ARGUMENTS_BYTES: usize = 1_024;
/// Search attribute (Keyword): the task queue of the task's agent, `<install>/<namespace>/agent/<name>`.
pub const SEARCH_AGENT: &str = "SteadfastAgent";
/// Search attribute (Keyword): a [`VisiblePhase`].
pub const SEARCH_PHASE: &str = "SteadfastPhase";
/// Search attribute (Int): how many approvals wait.
pub const SEARCH_PENDING_APPROVALS: &str = "SteadfastPendingApprovals";

/// The newest state schema this code writes; it reads this one and all before.
pub const SCHEMA_VERSION: u32 = 2;

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
    /// The first messages, for a task that is started with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<ReceiveEvent>,
    /// The task ends with its first turn, and its result is what that turn came to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_turn: bool,
    /// The task that asked this one, for an agent that is another's tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// W3C `traceparent` of the request that created the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
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
            messages: Vec::new(),
            one_turn: false,
            parent: None,
            traceparent: None,
            carried: None,
        }
    }
}

/// Where what a task does is shown, when it works for another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The task whose log takes this one's events.
    pub task_id: String,
    /// The calls that led here, `<turn>.<step>.<index>` joined by `/`.
    pub path: String,
}

impl StartTask {
    /// The task whose log shows what this one does.
    pub fn log_task_id(&self) -> &str {
        self.parent.as_ref().map_or(&self.task_id, |parent| &parent.task_id)
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
    /// The agent's last words.
    #[serde(default)]
    pub text: String,
    /// How its last turn ended; absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<TurnOutcome>,
    #[serde(default)]
    pub usage: Usage,
}

/// What a person says to an approval. The first decision counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decide {
    pub approval_id: String,
    pub verdict: ApprovalVerdict,
    /// Why, told to the model.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Who decided; empty when anonymous.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// What the person filled in, where a form was shown.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub answer: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalVerdict {
    Approve,
    Reject,
}

/// Id of the approval for a call.
pub fn approval_id(task_id: &str, turn: u32, step: u32, index: u32) -> String {
    format!("{task_id}.{turn}.{step}.{index}")
}

/// The task that an approval belongs to, if the id has the form of one.
pub fn task_of_approval(approval_id: &str) -> Option<&str> {
    let mut parts = approval_id.rsplitn(4, '.');
    let numbers = [parts.next()?, parts.next()?, parts.next()?];
    let task_id = parts.next()?;
    (!task_id.is_empty() && numbers.iter().all(|number| number.parse::<u32>().is_ok())).then_some(task_id)
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
    /// The agent that has the turn; another than `agent` after a handoff.
    #[serde(default)]
    pub acting_agent: String,
    /// What people are asked.
    #[serde(default)]
    pub approvals: Vec<Approval>,
    /// Counts the transcripts; the first is 0.
    #[serde(default)]
    pub generation: u32,
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
    /// Runs guardrails.
    Checking,
    Compacting,
    /// Every open call waits for a person.
    WaitingForPeople,
    Ending,
}

/// What people look tasks up by; a [`Phase`] changes with every step, this one with a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VisiblePhase {
    /// Waits for a message.
    Idle,
    /// A turn runs.
    Running,
    /// A turn runs, and waits for somebody to decide.
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
    fn an_approval_names_its_task() {
        assert_eq!(task_of_approval(&approval_id("a.b", 1, 0, 2)), Some("a.b"));
        assert_eq!(task_of_approval("1.2.3"), None);
        assert_eq!(task_of_approval("task.1.x.3"), None);
    }
}
