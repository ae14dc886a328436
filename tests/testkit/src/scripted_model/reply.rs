//! The reply of a script: an error, or a stream described by its parts.

use serde_json::{Value, json};

use super::{Gate, Text};

/// The token usage of every complete response.
pub const USAGE: Usage = Usage {
    input: 11,
    cached: 3,
    output: 7,
    reasoning: 2,
};

/// Numbers of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub input: u64,
    pub cached: u64,
    pub output: u64,
    pub reasoning: u64,
}

/// The reply to one request.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Plain(String),
    Raw(Vec<Raw>),
    Stream { parts: Vec<Part>, end: End },
}

/// A piece of a body that the script writes itself.
#[derive(Clone, Debug)]
pub enum Raw {
    /// One chunk of the body.
    Bytes(Vec<u8>),
    /// Waits at the gate.
    Hold(Gate),
    /// The connection breaks.
    Cut,
}

impl From<&str> for Raw {
    fn from(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

#[derive(Clone, Debug)]
pub(super) enum Part {
    Reasoning(Text),
    Message(Text),
    Refusal(Text),
    FunctionCall {
        call_id: Option<String>,
        name: String,
        arguments: Text,
    },
    WebSearch {
        query: String,
    },
    Item(Value),
    Event(Value),
    Hold(Gate),
}

#[derive(Clone, Debug)]
pub(super) enum End {
    Completed,
    Incomplete {
        reason: String,
    },
    Failed {
        code: String,
        message: String,
    },
    ErrorEvent {
        code: String,
        message: String,
    },
    /// The connection breaks.
    Cut,
    /// The stream ends cleanly, without `response.completed`.
    Missing,
}

impl Reply {
    /// A complete stream with one message.
    pub fn text(text: impl Into<Text>) -> Self {
        Self::stream().and_text(text)
    }

    /// A complete stream with one tool call.
    pub fn call(name: &str, arguments: &Value) -> Self {
        Self::stream().and_call(name, arguments)
    }

    /// An empty stream. The methods below add parts.
    pub fn stream() -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: Body::Stream {
                parts: Vec::new(),
                end: End::Completed,
            },
        }
    }

    /// An error in the provider's format.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = json!({"error": {"message": message, "type": code, "param": null, "code": code}});
        Self::plain(status, body.to_string()).header("content-type", "application/json")
    }

    /// A response without a stream, for instance a proxy's HTML.
    pub fn plain(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Plain(body.into()),
        }
    }

    /// A body that the script writes itself, for the habits of other servers.
    pub fn raw(content_type: &str, pieces: impl IntoIterator<Item = Raw>) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: Body::Raw(pieces.into_iter().collect()),
        }
        .header("content-type", content_type)
    }

    /// A stream of the Chat Completions API with these chunks, and `[DONE]` at its end.
    pub fn chat(chunks: impl IntoIterator<Item = Value>) -> Self {
        let frames = chunks.into_iter().map(|chunk| chat_frame(&chunk));
        Self::raw("text/event-stream", frames.chain([Raw::from("data: [DONE]\n\n")]))
    }

    /// The same with one answer.
    pub fn chat_text(text: &str) -> Self {
        Self::chat([
            chat_delta(&json!({"role": "assistant", "content": text})),
            chat_end("stop"),
            chat_usage(),
        ])
    }

    /// The same with one tool call.
    pub fn chat_call(id: &str, name: &str, arguments: &Value) -> Self {
        let function = json!({"name": name, "arguments": arguments.to_string()});
        let call = json!({"index": 0, "id": id, "type": "function", "function": function});
        Self::chat([
            chat_delta(&json!({"role": "assistant", "tool_calls": [call]})),
            chat_end("tool_calls"),
            chat_usage(),
        ])
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn and_text(self, text: impl Into<Text>) -> Self {
        self.part(Part::Message(text.into()))
    }

    /// A refusal of the model.
    #[must_use]
    pub fn and_refusal(self, text: impl Into<Text>) -> Self {
        self.part(Part::Refusal(text.into()))
    }

    /// A summary of reasoning.
    #[must_use]
    pub fn and_reasoning(self, summary: impl Into<Text>) -> Self {
        self.part(Part::Reasoning(summary.into()))
    }

    #[must_use]
    pub fn and_call(self, name: &str, arguments: &Value) -> Self {
        self.and_raw_call(name, arguments.to_string())
    }

    /// A tool call whose arguments need not be JSON.
    #[must_use]
    pub fn and_raw_call(self, name: &str, arguments: impl Into<String>) -> Self {
        let arguments = Text::whole(arguments);
        self.part(Part::FunctionCall {
            call_id: None,
            name: name.to_owned(),
            arguments,
        })
    }

    /// A tool call with the caller's id.
    #[must_use]
    pub fn and_call_with_id(self, call_id: &str, name: &str, arguments: &Value) -> Self {
        let arguments = Text::whole(arguments.to_string());
        self.part(Part::FunctionCall {
            call_id: Some(call_id.to_owned()),
            name: name.to_owned(),
            arguments,
        })
    }

    /// A web search that the provider ran itself.
    #[must_use]
    pub fn and_web_search(self, query: &str) -> Self {
        self.part(Part::WebSearch {
            query: query.to_owned(),
        })
    }

    /// Any output item, known or unknown.
    #[must_use]
    pub fn and_item(self, item: Value) -> Self {
        self.part(Part::Item(item))
    }

    /// Any event, known or unknown, without `sequence_number`.
    #[must_use]
    pub fn and_event(self, event: Value) -> Self {
        self.part(Part::Event(event))
    }

    /// Waits at the gate before the next part.
    #[must_use]
    pub fn and_hold(self, gate: &Gate) -> Self {
        self.part(Part::Hold(gate.clone()))
    }

    /// Ends with `response.incomplete`.
    #[must_use]
    pub fn incomplete(self, reason: &str) -> Self {
        self.end(End::Incomplete {
            reason: reason.to_owned(),
        })
    }

    /// Ends with `response.failed`.
    #[must_use]
    pub fn failed(self, code: &str, message: &str) -> Self {
        self.end(End::Failed {
            code: code.to_owned(),
            message: message.to_owned(),
        })
    }

    /// Ends with a bare `error` event.
    #[must_use]
    pub fn error_event(self, code: &str, message: &str) -> Self {
        self.end(End::ErrorEvent {
            code: code.to_owned(),
            message: message.to_owned(),
        })
    }

    /// Breaks the connection after the last part.
    #[must_use]
    pub fn cut(self) -> Self {
        self.end(End::Cut)
    }

    /// Ends the stream after the last part, without `response.completed`.
    #[must_use]
    pub fn ends_early(self) -> Self {
        self.end(End::Missing)
    }

    fn part(mut self, part: Part) -> Self {
        if let Body::Stream { parts, .. } = &mut self.body {
            parts.push(part);
        }
        self
    }

    fn end(mut self, chosen: End) -> Self {
        if let Body::Stream { end, .. } = &mut self.body {
            *end = chosen;
        }
        self
    }
}

/// A frame of an event stream.
pub fn chat_frame(chunk: &Value) -> Raw {
    Raw::Bytes(format!("data: {chunk}\n\n").into_bytes())
}

/// A chunk of the Chat Completions API with a piece of the message.
pub fn chat_delta(delta: &Value) -> Value {
    chat_chunk(&json!([{"index": 0, "delta": delta, "finish_reason": null}]))
}

/// The chunk that ends the message.
pub fn chat_end(reason: &str) -> Value {
    chat_chunk(&json!([{"index": 0, "delta": {}, "finish_reason": reason}]))
}

/// The last chunk: what the call cost.
pub fn chat_usage() -> Value {
    let mut chunk = chat_chunk(&json!([]));
    chunk["usage"] = json!({
        "prompt_tokens": USAGE.input, "completion_tokens": USAGE.output, "total_tokens": USAGE.input + USAGE.output,
        "prompt_tokens_details": {"cached_tokens": USAGE.cached},
        "completion_tokens_details": {"reasoning_tokens": USAGE.reasoning},
    });
    chunk
}

fn chat_chunk(choices: &Value) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_763_000_000, "model": "scripted",
        "choices": choices})
}
