//! Makes sense of a model's stream, whichever API it comes through: events in,
//! events of our log and one answer out. Pure. Lenient in what it reads, strict
//! in what it calls finished.

use serde_json::{Value, json};
use steadfast_crds::model::ModelApi;
use steadfast_events::{EventKind, Usage};

use super::{chat::ChatInterpreter, error::ModelError, responses::ResponsesInterpreter};

/// Which model call it is: message ids follow from it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub task_id: &'a str,
    pub agent: &'a str,
    /// Empty in the conversation itself; see [`steadfast_events::Event::path`].
    pub call_path: &'a str,
    pub turn: u32,
    pub step: u32,
}

/// A finished or stopped model call, in the items of the Responses API.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    pub items: Vec<Value>,
    pub usage: Usage,
    /// The provider's id of the answer.
    pub response_id: Option<String>,
    /// The model that answered, as the provider resolved the name.
    pub model: Option<String>,
    /// Why it ended, in the provider's word.
    pub finish_reason: Option<String>,
}

/// Reads one stream.
pub enum Interpreter<'a> {
    Responses(ResponsesInterpreter<'a>),
    ChatCompletions(ChatInterpreter<'a>),
}

impl<'a> Interpreter<'a> {
    pub fn new(api: ModelApi, place: Place<'a>) -> Self {
        match api {
            ModelApi::Responses => Self::Responses(ResponsesInterpreter::new(place)),
            ModelApi::ChatCompletions => Self::ChatCompletions(ChatInterpreter::new(place)),
        }
    }

    /// Takes in an event; answers what a viewer is to see of it.
    pub fn take(&mut self, event: Value, now: jiff::Timestamp) -> Vec<EventKind> {
        match self {
            Self::Responses(interpreter) => interpreter.take(event, now),
            Self::ChatCompletions(interpreter) => interpreter.take(&event, now),
        }
    }

    /// Nothing that follows in the stream matters any more.
    pub fn is_finished(&self) -> bool {
        match self {
            Self::Responses(interpreter) => interpreter.is_finished(),
            Self::ChatCompletions(interpreter) => interpreter.is_finished(),
        }
    }

    /// The answer stands, for good or bad: a stream that breaks now breaks nothing.
    pub fn has_ended(&self) -> bool {
        match self {
            Self::Responses(interpreter) => interpreter.is_finished(),
            Self::ChatCompletions(interpreter) => interpreter.has_ended(),
        }
    }

    /// The stream has ended; so has the call, if the provider said so.
    pub fn finish(self) -> Result<Answer, ModelError> {
        match self {
            Self::Responses(interpreter) => interpreter.finish(),
            Self::ChatCompletions(interpreter) => interpreter.finish(),
        }
    }

    /// The call is stopped: what was said stays, everything else is taken back.
    pub fn interrupt(self, now: jiff::Timestamp) -> (Vec<EventKind>, Answer) {
        match self {
            Self::Responses(interpreter) => interpreter.interrupt(now),
            Self::ChatCompletions(interpreter) => interpreter.interrupt(now),
        }
    }
}

pub(super) fn stream_ended() -> ModelError {
    ModelError::transient(
        "model_stream_ended",
        "the model's stream ended before the response was complete",
    )
}

pub(super) fn truncated() -> ModelError {
    ModelError::permanent(
        "model_output_truncated",
        "the model's answer was cut at its token limit; raise model.settings.maxOutputTokens",
    )
}

pub(super) fn filtered() -> ModelError {
    ModelError::permanent(
        "content_policy",
        "the provider's content filter stopped the model's answer",
    )
}

/// The item of a message that was stopped before its end.
pub(super) fn incomplete_message(text: &str) -> Value {
    json!({"type": "message", "role": "assistant", "status": "incomplete",
        "content": [{"type": "output_text", "text": text}]})
}

#[cfg(test)]
pub(super) mod tests {
    use steadfast_events::Event;

    use super::*;

    pub const NOW: jiff::Timestamp = jiff::Timestamp::UNIX_EPOCH;
    pub const PLACE: Place<'static> = Place {
        task_id: "task-1",
        agent: "haiku",
        call_path: "",
        turn: 1,
        step: 0,
    };

    /// The events as they stand in the log.
    pub fn logged(kinds: Vec<EventKind>) -> Vec<Event> {
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
}
