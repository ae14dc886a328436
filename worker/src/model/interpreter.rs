//! Interprets the stream of a model call, for every API: stream events in, log
//! events and one response out. Pure. Lenient in the events that it accepts,
//! strict about which response is complete.

use std::vec::Drain;

use serde_json::Value;
use steadfast_crds::model::ModelApi;
use steadfast_events::EventKind;

use super::{
    progress::Progress,
    providers::{chat::ChatInterpreter, responses::ResponsesInterpreter},
    response::{CallIdentity, ModelResponse},
};
use crate::failure::CallFailure;

/// Reads one stream.
pub(crate) enum Interpreter<'a> {
    Responses(ResponsesInterpreter<'a>),
    ChatCompletions(ChatInterpreter<'a>),
}

impl<'a> Interpreter<'a> {
    pub(crate) fn new(api: ModelApi, call: CallIdentity<'a>) -> Self {
        match api {
            ModelApi::Responses => Self::Responses(ResponsesInterpreter::new(call)),
            ModelApi::ChatCompletions => Self::ChatCompletions(ChatInterpreter::new(call)),
        }
    }

    /// Reads an event of the stream; returns the events for viewers.
    pub(crate) fn read(&mut self, event: Value, now: jiff::Timestamp) -> Drain<'_, EventKind> {
        match self {
            Self::Responses(interpreter) => interpreter.read(event, now),
            Self::ChatCompletions(interpreter) => interpreter.read(&event, now),
        }
    }

    /// How far the response is.
    pub(crate) fn progress(&self) -> Progress {
        match self {
            Self::Responses(interpreter) => interpreter.progress(),
            Self::ChatCompletions(interpreter) => interpreter.progress(),
        }
    }

    /// What the stream said last that was no event.
    pub(crate) fn words(&self) -> Option<&str> {
        match self {
            Self::Responses(interpreter) => interpreter.words(),
            Self::ChatCompletions(interpreter) => interpreter.words(),
        }
    }

    /// No event follows, because the response or the stream has ended; returns the last events for viewers.
    pub(crate) fn close(&mut self, now: jiff::Timestamp) -> Drain<'_, EventKind> {
        match self {
            Self::Responses(interpreter) => interpreter.close(now),
            Self::ChatCompletions(interpreter) => interpreter.close(now),
        }
    }

    /// After [`Self::close`]: the response if the provider completed it, else a failure.
    pub(crate) fn finish(self) -> Result<ModelResponse, CallFailure> {
        match self {
            Self::Responses(interpreter) => interpreter.finish(),
            Self::ChatCompletions(interpreter) => interpreter.finish(),
        }
    }

    /// The call is interrupted: keeps the text of messages so far and retracts everything else.
    pub(crate) fn interrupt(self, now: jiff::Timestamp) -> (Vec<EventKind>, ModelResponse) {
        match self {
            Self::Responses(interpreter) => interpreter.interrupt(now),
            Self::ChatCompletions(interpreter) => interpreter.interrupt(now),
        }
    }
}
