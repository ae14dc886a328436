//! How far the response of a model is. Pure.

use serde_json::Value;

/// How far a response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Running,
    /// The provider has ended the response; what it cost may follow.
    Finished,
    /// The provider has ended the response before it said anything that is an answer: this may be meant for a part of
    /// it.
    FinishedWithoutAnswer,
    /// Nothing else can follow.
    Over,
}

/// Whether an event is `[DONE]`, which ends a stream.
pub(super) fn is_done(event: &Value) -> bool {
    event.as_str() == Some("[DONE]")
}
