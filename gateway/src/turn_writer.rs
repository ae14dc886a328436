//! What every surface makes of the turn that answers a message. Pure.

use steadfast_events::{Event, Message, TurnStatus};

/// Writes the events of one turn for one kind of client.
pub(crate) trait TurnWriter {
    type Event;

    /// What the next entry of the log adds.
    fn apply(&mut self, event: &Event) -> Vec<Self::Event>;

    /// What all messages of the task add, where entries of the log were lost, and the latest end of a turn.
    fn catch_up(&mut self, messages: &[Message], turn_end: Option<&Event>) -> Vec<Self::Event>;

    /// What the end of a turn adds whose end the log lacks.
    fn end_unseen(&mut self, status: TurnStatus) -> Vec<Self::Event>;

    fn has_ended(&self) -> bool;
}
