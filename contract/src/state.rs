//! What one run of a task hands to the next.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use steadfast_agent_loop::{AgentRun, Segment};
use steadfast_events::Usage;

use crate::{
    activities::{NewSegment, Revision},
    approvals::Approvals,
    outbox::Outbox,
    queue::QueuedMessage,
    tool_calls::{CallProgress, FinishedCall},
};

/// The whole state of a task at a point with no activity in flight.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Carried {
    pub run: AgentRun,
    pub transcript: Vec<Segment>,
    #[serde(default)]
    pub revision: Option<Revision>,
    /// When the running turn began.
    #[serde(default)]
    pub turn_started_at: Option<jiff::Timestamp>,
    /// Messages accepted so far; each one is a turn.
    pub turns_accepted: u32,
    pub queue: VecDeque<QueuedMessage>,
    /// Ids of the messages taken in lately, oldest first.
    pub seen_message_ids: VecDeque<String>,
    pub outbox: Outbox,
    #[serde(default)]
    pub log_seen: Option<String>,
    pub usage: Usage,
    #[serde(default)]
    pub turn_usage: Usage,
    #[serde(default)]
    pub complete_requested: bool,
    /// When the task began; absent in what the first release handed over.
    #[serde(default)]
    pub created_at: Option<jiff::Timestamp>,
    /// The agent that has the turn, after a handoff.
    #[serde(default)]
    pub acting: Option<Acting>,
    #[serde(default)]
    pub approvals: Approvals,
    /// Results of the running step's calls so far.
    #[serde(default)]
    pub finished_calls: BTreeMap<u32, FinishedCall>,
    /// How far the others have come.
    #[serde(default)]
    pub progress: BTreeMap<u32, CallProgress>,
    #[serde(default)]
    pub own_messages: u32,
    #[serde(default)]
    pub generation: u32,
    #[serde(default)]
    pub context_tokens: u64,
    /// Transcript and queue, when they are too large for this place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paged: Option<Paged>,
}

/// An agent other than the task's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acting {
    pub agent: String,
    pub task_queue: String,
}

/// Where the next run finds what did not fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paged {
    pub run_id: String,
    pub pages: Vec<Vec<NewSegment>>,
    /// How many of the last segments are messages that wait for their turn.
    pub queued: usize,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_first_release_handed_over_can_be_read() {
        let first = json!({
            "run": {"state": {"state": "idle"}}, "transcript": [], "revision": null, "turn_started_at": null,
            "turns_accepted": 3, "queue": [], "seen_message_ids": ["a"],
            "outbox": {"last_number": 7, "waiting": []}, "log_seen": null, "usage": {"model_calls": 3},
            "turn_usage": {"model_calls": 1}, "complete_requested": false,
        });
        let carried: Carried = serde_json::from_value(first).unwrap();
        assert_eq!((carried.turns_accepted, carried.usage.model_calls), (3, 3));
    }

    #[test]
    fn a_state_that_lacks_what_it_must_have_is_refused() {
        assert!(serde_json::from_value::<Carried>(json!({"run": {"state": {"state": "idle"}}})).is_err());
        assert!(serde_json::from_value::<Carried>(json!({"run": {"state": {"state": "dreaming"}}})).is_err());
    }
}
