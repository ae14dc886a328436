//! The state that one run of a task leaves to the next. It is also the durable part of a running
//! task: continue-as-new moves it whole.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use steadfast_agent_loop::{AgentRun, Inbox, Segment};
use steadfast_events::Usage;

use crate::{
    activities::{NewSegment, Revision},
    approvals::Approvals,
    outbox::Outbox,
    tool_calls::{CallProgress, FinishedCall, OutputSource},
    transcript::Transcript,
};

/// The durable state of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DurableState {
    /// Where the agent loop stands.
    pub agent_run: AgentRun,
    /// The segments of the conversation.
    pub transcript: Transcript,
    /// The revision of the agent that has the turn.
    #[serde(default)]
    pub revision: Option<Arc<Revision>>,
    /// When the running turn began; absent between turns.
    #[serde(default)]
    pub turn_started_at: Option<jiff::Timestamp>,
    /// The messages: accepted, waiting, known.
    pub inbox: Inbox,
    /// The events that the log lacks.
    pub outbox: Outbox,
    /// The newest log entry that the task knows of.
    #[serde(default)]
    pub log_cursor: Option<String>,
    /// The running turn, or the one that is about to begin, is to stop.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// Who sent the message of the running turn; empty between turns and when anonymous.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub turn_sender: String,
    /// Usage of the whole task.
    pub usage: Usage,
    /// Usage of the running turn.
    #[serde(default)]
    pub turn_usage: Usage,
    /// The server indexes our search attributes, as far as the task knows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub search_attributes: bool,
    /// When the task began.
    #[serde(default)]
    pub created_at: jiff::Timestamp,
    /// The agent that has the turn, after a handoff; the task's own when absent.
    #[serde(default)]
    pub active_agent: Option<ActiveAgent>,
    /// The task queues of agents that have moved since the revision of the turn was made, by `namespace/name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub moved_agents: BTreeMap<String, String>,
    /// The revision is that of workers which the agent has left: the next run reads one before it goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revision_is_stale: bool,
    /// The approvals that wait or were decided and not yet acted on.
    #[serde(default)]
    pub approvals: Approvals,
    /// Results of those calls of the running step that have finished, by index.
    #[serde(default)]
    pub finished_calls: BTreeMap<u32, FinishedCall>,
    /// Progress of the other calls, by index.
    #[serde(default)]
    pub call_progress: BTreeMap<u32, CallProgress>,
    /// Messages that the task itself has sent.
    #[serde(default)]
    pub own_messages: u32,
    /// Counts the transcripts; each compaction begins the next.
    #[serde(default)]
    pub generation: u32,
    /// Tokens that the newest model call took in and gave out.
    #[serde(default)]
    pub context_tokens: u64,
    /// Set only between two runs: the transcript and the queue, where they are too large for the
    /// input of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<StatePages>,
    /// Set only between two runs, and then everything else is empty: the whole state is in parts in the
    /// history of the run before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<StateParts>,
}

impl DurableState {
    /// Makes the state ready for the next run, which cannot read the results of this run's activities.
    pub fn detach_from_run(&mut self) {
        for call in self.finished_calls.values_mut() {
            call.source = OutputSource::Task;
        }
    }
}

/// An agent other than the task's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveAgent {
    /// Name of the agent.
    pub agent: String,
    /// Its namespace, if it is another one than that of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Task queue of its workers.
    pub task_queue: String,
}

/// The pages of a state that is too large for the input of a run, and the run whose history holds them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatePages {
    /// The run whose history holds the pages.
    pub run_id: String,
    /// References to the segments, page by page.
    pub pages: Vec<Vec<NewSegment>>,
    /// How many of the segments after the transcript are messages that wait for their turn.
    pub queued: usize,
    /// How many of the last segments are the outputs of finished calls of the running step.
    #[serde(default)]
    pub finished: usize,
}

impl StatePages {
    /// How many of the segments are the transcript.
    pub fn transcript_len(&self) -> usize {
        let all: usize = self.pages.iter().map(Vec::len).sum();
        all.saturating_sub(self.queued + self.finished)
    }

    /// The pages of one segment that the state itself holds, which are not fetched, and their places.
    pub fn whole_pages(&self) -> impl Iterator<Item = (u32, &Segment)> {
        let mut first = 0;
        self.pages.iter().filter_map(move |page| {
            let place = first;
            first += u32::try_from(page.len()).unwrap_or(u32::MAX);
            whole_page(page).map(|segment| (place, segment))
        })
    }
}

/// The one segment of a page that the state itself holds; `None` for a page that is fetched.
pub fn whole_page(page: &[NewSegment]) -> Option<&Segment> {
    match page {
        [NewSegment::Whole(segment)] => Some(segment),
        _ => None,
    }
}

/// The parts of a state, and the run whose history holds them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateParts {
    /// The run that has recorded the parts.
    pub run_id: String,
    /// How many there are.
    pub count: u32,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_state_without_a_required_field_is_refused() {
        assert!(serde_json::from_value::<DurableState>(json!({"run": {"state": {"state": "idle"}}})).is_err());
        assert!(serde_json::from_value::<DurableState>(json!({"run": {"state": {"state": "dreaming"}}})).is_err());
    }

    #[test]
    fn the_results_of_a_run_belong_to_the_task_in_the_next_run() {
        let call = json!({"output": {"call_id": "c", "name": "t", "content": 1}, "source": "our_activity"});
        let mut state = DurableState::default();
        state.finished_calls.insert(0, serde_json::from_value(call).unwrap());
        state.detach_from_run();
        assert_eq!(state.finished_calls[&0].source, OutputSource::Task);
    }
}
