//! Fixtures of the tests of the stream interpreters.

use steadfast_events::{Event, EventKind};

use super::response::CallIdentity;

pub(crate) const NOW: jiff::Timestamp = jiff::Timestamp::UNIX_EPOCH;
pub(crate) const CALL: CallIdentity<'static> = CallIdentity {
    task_id: "task-1",
    agent: "haiku",
    call_path: "",
    turn: 1,
    step: 0,
};

/// The events as the log stores them.
pub(crate) fn logged(kinds: Vec<EventKind>) -> Vec<Event> {
    let event = |kind| Event {
        kind,
        turn: 1,
        attempt: 1,
        agent: "haiku".into(),
        path: String::new(),
        time: NOW,
    };
    kinds.into_iter().map(event).collect()
}
