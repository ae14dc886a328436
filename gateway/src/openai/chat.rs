//! A turn as a chat completion, and as the chunks of its stream. Chat Completions knows one
//! assistant message and no tools that run elsewhere: calls are left out, and a text that was
//! retracted because its attempt failed stays, as the API cannot take text back. Pure.
//! Source: <https://platform.openai.com/docs/api-reference/chat-streaming>

use serde_json::{Value, json};
use steadfast_events::{Approval, ApprovalKind, Event, Message, TurnError, TurnStatus, Usage};

use super::{
    errors::ErrorCode,
    items::{Change, ItemBody, ItemStatus, Phase, TurnItems},
};
use crate::turn_writer::TurnWriter;

/// What a completion has whatever its turn does.
#[derive(Clone, Debug)]
pub(crate) struct CompletionHead {
    pub(crate) id: String,
    /// Seconds since 1970.
    pub(crate) created: i64,
    /// The agent, as clients name it.
    pub(crate) model: String,
    /// Whether a last chunk has the usage.
    pub(crate) include_usage: bool,
}

/// Writes the chunks of one completion.
#[derive(Debug)]
pub(crate) struct CompletionWriter {
    head: CompletionHead,
    items: TurnItems,
    /// The item whose text was sent last.
    last_text: Option<usize>,
    ending: Option<Ending>,
}

#[derive(Clone, Debug)]
struct Ending {
    status: TurnStatus,
    usage: Usage,
    error: Option<TurnError>,
}

impl TurnWriter for CompletionWriter {
    type Event = Value;

    fn apply(&mut self, event: &Event) -> Vec<Value> {
        let changes = self.items.apply(event);
        self.write(changes)
    }

    fn catch_up(&mut self, messages: &[Message], turn_end: Option<&Event>) -> Vec<Value> {
        let changes = self.items.catch_up(messages, turn_end);
        self.write(changes)
    }

    fn end_unseen(&mut self, status: TurnStatus) -> Vec<Value> {
        let changes = self.items.end_unseen(status);
        self.write(changes)
    }

    fn has_ended(&self) -> bool {
        self.ending.is_some()
    }
}

impl CompletionWriter {
    pub(crate) fn new(head: CompletionHead, message_id: &str) -> Self {
        Self {
            head,
            items: TurnItems::of_message(message_id),
            last_text: None,
            ending: None,
        }
    }

    /// The first chunk.
    pub(crate) fn begin(&self) -> Vec<Value> {
        vec![self.chunk(&json!({"role": "assistant", "content": ""}), None)]
    }

    /// The chunks of an answer that no agent gives.
    pub(crate) fn tell(&mut self, answer: &str) -> Vec<Value> {
        let mut chunks = self.begin();
        let changes = self.items.tell(answer);
        chunks.extend(self.write(changes));
        chunks
    }

    fn write(&mut self, changes: Vec<Change>) -> Vec<Value> {
        changes
            .into_iter()
            .flat_map(|change| self.write_change(change))
            .collect()
    }

    fn write_change(&mut self, change: Change) -> Vec<Value> {
        match change {
            Change::TextDelta { index, delta } => {
                let separator = match self.last_text.replace(index) {
                    Some(last) if last != index => "\n\n",
                    _ => "",
                };
                vec![self.chunk(&json!({ "content": format!("{separator}{delta}") }), None)]
            }
            Change::SummaryDelta {
                delta, part, is_first, ..
            } => {
                let separator = if is_first && part > 0 { "\n\n" } else { "" };
                vec![self.chunk(&json!({ "reasoning_content": format!("{separator}{delta}") }), None)]
            }
            Change::ReasoningDelta { delta, .. } => {
                vec![self.chunk(&json!({ "reasoning_content": delta }), None)]
            }
            Change::Asked(approval) => {
                vec![self.chunk(&json!({ "reasoning_content": in_words(&approval) }), None)]
            }
            Change::Ended { status, usage, error } => self.end(Ending { status, usage, error }),
            Change::Accepted
            | Change::Started
            | Change::Added(_)
            | Change::ArgumentsDelta { .. }
            | Change::Called(_)
            | Change::Done(_)
            | Change::Decided(..) => Vec::new(),
        }
    }

    fn end(&mut self, ending: Ending) -> Vec<Value> {
        let mut chunks = match finish_reason(&ending) {
            Some(reason) => vec![self.chunk(&json!({}), Some(reason))],
            None => vec![json!({ "error": error_json(&ending) })],
        };
        if self.head.include_usage {
            let mut chunk = self.chunk(&json!({}), None);
            chunk["choices"] = json!([]);
            chunk["usage"] = usage_json(ending.usage);
            chunks.push(chunk);
        }
        self.ending = Some(ending);
        chunks
    }

    fn chunk(&self, delta: &Value, finish_reason: Option<&str>) -> Value {
        let CompletionHead {
            id,
            created,
            model,
            include_usage,
        } = &self.head;
        let mut chunk = json!({
            "id": id, "object": "chat.completion.chunk", "created": created, "model": model,
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason}],
        });
        if *include_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    /// The whole completion; an error where the turn failed.
    pub(crate) fn completion(&self) -> Result<Value, CompletionError> {
        let ending = self.ending.as_ref().ok_or(CompletionError::Running)?;
        let reason = finish_reason(ending).ok_or_else(|| {
            let error = ending.error.clone().unwrap_or(TurnError {
                category: "turn_failed".to_owned(),
                message: "the turn failed".to_owned(),
            });
            CompletionError::Failed(error)
        })?;
        let CompletionHead { id, created, model, .. } = &self.head;
        Ok(json!({
            "id": id, "object": "chat.completion", "created": created, "model": model, "service_tier": null,
            "choices": [{
                "index": 0, "logprobs": null, "finish_reason": reason,
                "message": {
                    "role": "assistant", "content": self.answer(), "refusal": null, "annotations": [],
                    "reasoning_content": self.reasoning(),
                },
            }],
            "usage": usage_json(ending.usage),
        }))
    }

    /// The texts of the answer, without what was said on the way to it.
    fn answer(&self) -> String {
        let texts = self.items.items().iter().filter_map(|item| match &item.body {
            ItemBody::Text { text, phase } if *phase != Some(Phase::Commentary) => Some((item.status, text.as_str())),
            _ => None,
        });
        let texts: Vec<&str> = texts
            .filter(|(status, _)| *status != ItemStatus::Retracted)
            .map(|(_, text)| text)
            .collect();
        texts.join("\n\n")
    }

    fn reasoning(&self) -> Option<String> {
        let parts = self.items.items().iter().filter_map(|item| match &item.body {
            ItemBody::Reasoning { summary, content } if item.status != ItemStatus::Retracted => {
                Some(if summary.is_empty() { content } else { summary })
            }
            _ => None,
        });
        let parts: Vec<&str> = parts.flatten().map(String::as_str).collect();
        (!parts.is_empty()).then(|| parts.join("\n\n"))
    }
}

/// Why there is no completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CompletionError {
    Running,
    Failed(TurnError),
}

/// `None` for a turn that failed.
fn finish_reason(ending: &Ending) -> Option<&'static str> {
    match ending.status {
        TurnStatus::Completed | TurnStatus::Interrupted | TurnStatus::Canceled => Some("stop"),
        TurnStatus::Failed => match ErrorCode::of(&ending.error.as_ref()?.category) {
            ErrorCode::OutputTruncated => Some("length"),
            ErrorCode::ContentPolicy => Some("content_filter"),
            _ => None,
        },
    }
}

fn error_json(ending: &Ending) -> Value {
    let (category, message) = match &ending.error {
        Some(error) => (error.category.as_str(), error.message.as_str()),
        None => ("turn_failed", "the turn failed"),
    };
    json!({"message": format!("{category}: {message}"), "type": "server_error", "param": null, "code": category})
}

fn usage_json(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens, "audio_tokens": 0, "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}

/// What a person who waits should know.
fn in_words(approval: &Approval) -> String {
    match approval.kind {
        ApprovalKind::ToolCall => format!(
            "\n\n[waiting for somebody to approve the call of {}]\n\n",
            approval.tool
        ),
        ApprovalKind::Question | ApprovalKind::Elicitation => {
            format!("\n\n[waiting for the answer of a person: {}]\n\n", approval.prompt)
        }
    }
}

#[cfg(test)]
mod tests {
    use steadfast_events::{
        EventKind,
        testing::{event, message_accepted, text_delta, text_done, text_started},
    };

    use super::*;

    fn writer() -> CompletionWriter {
        let head = CompletionHead {
            id: "chatcmpl-1".to_owned(),
            created: 1,
            model: "haiku".to_owned(),
            include_usage: true,
        };
        let mut writer = CompletionWriter::new(head, "u");
        let accepted = message_accepted("u");
        assert_eq!(writer.apply(&event(accepted)), Vec::<Value>::new());
        writer
    }

    fn ended(status: TurnStatus, category: Option<&str>) -> EventKind {
        EventKind::TurnEnded {
            status,
            usage: Usage {
                input_tokens: 3,
                output_tokens: 2,
                ..Usage::default()
            },
            error: category.map(|category| TurnError {
                category: category.to_owned(),
                message: "no".to_owned(),
            }),
        }
    }

    #[test]
    fn a_turn_is_a_role_its_text_a_reason_and_the_usage() {
        let mut writer = writer();
        let mut chunks = writer.begin();
        for kind in [
            text_started("a"),
            text_delta("a", "Autumn "),
            text_done("a", "Autumn moon"),
            ended(TurnStatus::Completed, None),
        ] {
            chunks.extend(writer.apply(&event(kind)));
        }
        let deltas: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
        assert_eq!(
            deltas[..3],
            [
                &json!({"role": "assistant", "content": ""}),
                &json!({"content": "Autumn "}),
                &json!({"content": "moon"})
            ]
        );
        assert_eq!(chunks[3]["choices"][0]["finish_reason"], "stop");
        assert_eq!(
            (&chunks[4]["choices"], &chunks[4]["usage"]["total_tokens"]),
            (&json!([]), &json!(5))
        );
        assert_eq!(
            writer.completion().unwrap()["choices"][0]["message"]["content"],
            "Autumn moon"
        );
    }

    #[test]
    fn a_failed_turn_is_an_error_and_a_cut_one_a_reason() {
        let mut failed = writer();
        assert_eq!(failed.completion(), Err(CompletionError::Running));
        let chunks = failed.apply(&event(ended(TurnStatus::Failed, Some("model_unavailable"))));
        assert_eq!(chunks[0]["error"]["message"], "model_unavailable: no");
        assert!(matches!(failed.completion(), Err(CompletionError::Failed(_))));
        let mut cut = writer();
        cut.apply(&event(ended(TurnStatus::Failed, Some("model_output_truncated"))));
        assert_eq!(cut.completion().unwrap()["choices"][0]["finish_reason"], "length");
    }
}
