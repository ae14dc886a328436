//! Renders an answer as the events of a stream. Pure.

mod chat;
mod responses;

use std::time::Duration;

use serde_json::Value;

pub(crate) use self::{chat::chat, responses::responses};

/// One event, and the pause before it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Timed {
    pub(crate) pause: Duration,
    /// The data of the event; the event of the Responses API has its type as name too.
    pub(crate) data: Value,
}

impl Timed {
    fn now(data: Value) -> Self {
        Self {
            pause: Duration::ZERO,
            data,
        }
    }
}
