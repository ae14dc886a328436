//! The segments of a transcript. Each is in the task's history exactly once; everything else refers
//! to it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use steadfast_attachments::{Attachment, Kind, Source};

use crate::{item::Item, tool_call::ToolOutput};

/// A piece of the transcript that was created at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    pub turn: u32,
    pub step: u32,
    pub at: jiff::Timestamp,
    #[serde(flatten)]
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// A message of a user.
    User {
        message_id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        idempotency_key: Option<String>,
        content: UserContent,
        /// Who sent it; empty when anonymous. The model is not told.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        sender: String,
    },
    /// The output items of one model call, as the provider sent them.
    Model {
        items: Vec<Value>,
        /// The agent whose model answered.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        agent: String,
        /// The model and the endpoint that wrote them, as an opaque text: only a request to the same ones repeats
        /// what they alone can read. Empty in the transcripts of older workers.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        origin: String,
    },
    /// The output of one tool call; `index` is that of the call among the model's output items.
    Tool {
        index: u32,
        output: ToolOutput,
        /// The task itself made this output, because the call was refused, failed for good or never
        /// ran: it stands in the result of no activity.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        by_task: bool,
    },
    /// A note of the task to the model about its last answer; users do not see it.
    Note { text: String },
    /// A handoff to another agent; nothing is sent to the model for it.
    Handoff {
        to: String,
        /// Earlier tool calls, their results and reasoning are no longer sent.
        messages_only: bool,
    },
    /// Stands for everything before it, which is no longer sent.
    Summary { generation: u32, text: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserContent {
    Text(String),
    Data(Value),
    /// A text with images and files; the text may be empty.
    Attached {
        text: String,
        attachments: Vec<Attachment>,
    },
}

impl UserContent {
    /// What the user wrote: data as JSON, attachments by their names.
    pub fn to_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Data(data) => data.to_string(),
            Self::Attached { text, attachments } => {
                let labels = attachments.iter().map(|attachment| format!("[{}]", attachment.label()));
                let texts = Some(text.clone()).filter(|text| !text.is_empty());
                texts.into_iter().chain(labels).collect::<Vec<_>>().join("\n")
            }
        }
    }

    pub fn attachments(&self) -> &[Attachment] {
        match self {
            Self::Attached { attachments, .. } => attachments,
            Self::Text(_) | Self::Data(_) => &[],
        }
    }
}

/// Where a segment stands in the history of the run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentRef {
    /// The segment with this index in the start input of the run.
    Inherited(u32),
    /// The message with this id, in the signal that brought it.
    Message(String),
    /// The result of the model call of this turn and step.
    Model(u32, u32),
    /// The result of the tool call of this turn, step and index.
    Tool(u32, u32, u32),
    /// The note about the answer of this turn and step.
    Note(u32, u32),
    /// The handoff after this turn and step.
    Handoff(u32, u32),
    /// The summary that begins this generation of the transcript.
    Summary(u32),
}

impl Segment {
    /// The items that are sent to the model for it.
    pub fn items(&self) -> Vec<Item<'_>> {
        let said = |item| vec![Item::Said(Cow::Owned(item))];
        match &self.body {
            // A note too: many servers take instructions at the beginning of a conversation only.
            Body::User {
                content: UserContent::Text(text),
                ..
            }
            | Body::Note { text } => said(json!({"role": "user", "content": text})),
            Body::User {
                content: UserContent::Data(data),
                ..
            } => said(json!({"role": "user", "content": data.to_string()})),
            Body::User {
                content: UserContent::Attached { text, attachments },
                ..
            } => said(json!({"role": "user", "content": parts(text, attachments)})),
            Body::Model { items, .. } => items.iter().map(|item| Item::Said(Cow::Borrowed(item))).collect(),
            Body::Tool { output, .. } => vec![Item::Output(output)],
            Body::Handoff { .. } => Vec::new(),
            Body::Summary { text, .. } => {
                said(json!({"role": "user", "content": format!("The conversation so far, summed up:\n\n{text}")}))
            }
        }
    }

    /// Its reference in the run that created it.
    pub fn reference(&self) -> SegmentRef {
        match &self.body {
            Body::User { message_id, .. } => SegmentRef::Message(message_id.clone()),
            Body::Model { .. } => SegmentRef::Model(self.turn, self.step),
            Body::Tool { index, .. } => SegmentRef::Tool(self.turn, self.step, *index),
            Body::Note { .. } => SegmentRef::Note(self.turn, self.step),
            Body::Handoff { .. } => SegmentRef::Handoff(self.turn, self.step),
            Body::Summary { generation, .. } => SegmentRef::Summary(*generation),
        }
    }
}

/// A message with attachments as the Responses API has it, but with the places of the bytes instead of the bytes: for
/// people who look at what a model was asked. The request itself has the bytes.
fn parts(text: &str, attachments: &[Attachment]) -> Value {
    let text = Some(text).filter(|text| !text.is_empty());
    let text = text.map(|text| json!({"type": "input_text", "text": text}));
    let others = attachments.iter().map(|attachment| {
        let place = match &attachment.source {
            Source::Stored { sha256, .. } => format!("sha256:{sha256}"),
            Source::Url(url) => url.clone(),
        };
        match attachment.kind {
            Kind::Image => json!({"type": "input_image", "image_url": place}),
            Kind::File => json!({"type": "input_file", "filename": attachment.name, "file_url": place}),
        }
    });
    text.into_iter().chain(others).collect()
}

impl Body {
    /// Made by the task itself: it stands in the result of no activity and in no signal.
    pub fn is_by_task(&self) -> bool {
        match self {
            Self::Tool { by_task, .. } => *by_task,
            Self::Note { .. } | Self::Handoff { .. } | Self::Summary { .. } => true,
            Self::User { .. } | Self::Model { .. } => false,
        }
    }
}
