//! The queries of a task and their answers.

use serde::{Deserialize, Serialize};
use steadfast_events::{Approval, Usage};

/// Query: [`TaskState`].
pub const QUERY_STATE: &str = "state";
/// Query: the items of the conversation, oldest first.
pub const QUERY_TRANSCRIPT: &str = "transcript";
/// Query: the approvals that wait, as [`Approval`]s.
pub const QUERY_APPROVALS: &str = "approvals";

/// Answer of the query `state`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskState {
    /// Name of the agent.
    pub agent: String,
    /// The turn that runs, or the last one.
    pub turn: u32,
    /// What the task is doing.
    pub phase: Phase,
    /// Messages that wait for their turn.
    pub queued_messages: usize,
    /// Items that the next model call would send.
    pub transcript_items: usize,
    /// Name of the revision that the turn runs on.
    pub revision: Option<String>,
    /// The agent that has the turn; another than `agent` after a handoff.
    #[serde(default)]
    pub acting_agent: String,
    /// The approvals that wait.
    #[serde(default)]
    pub approvals: Vec<Approval>,
    /// Counts the transcripts; the first is 0.
    #[serde(default)]
    pub generation: u32,
    /// Tokens and model calls.
    pub usage: Usage,
}

/// What a task is doing at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waits for a message.
    #[default]
    Idle,
    /// Waits for a model call.
    CallingModel,
    /// Waits for tool calls.
    CallingTools,
    /// Runs guardrails.
    Checking,
    /// Waits for a summary of the transcript.
    Compacting,
    /// Every open call waits for an approval.
    WaitingForPeople,
    /// Waits for its last events to reach the log.
    Ending,
}
