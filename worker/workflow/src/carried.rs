//! What one run of a task hands to the next.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use steadfast_core::{AgentRun, Segment};
use steadfast_log::Usage;

use crate::{activities::Revision, outbox::Outbox, task::QueuedMessage};

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
}
