//! The shapes of Agentex on the wire, borrowed from what they show wherever possible. Pure.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, value::RawValue};
use steadfast_attachments::{Attachment, Kind, Source};
use steadfast_events::{Author, Message, MessageStatus, TextFormat};
use utoipa::ToSchema;

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names are Agentex's")]
pub(crate) struct Agent {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) status: AgentStatus,
    pub(crate) status_reason: Option<String>,
    /// Always `async`: `event/send` sends a message, the stream brings the answer.
    pub(crate) acp_type: &'static str,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) registered_at: Timestamp,
    #[schema(value_type = Option<Object>)]
    pub(crate) registration_metadata: Option<Map<String, Value>>,
    pub(crate) agent_input_type: &'static str,
    pub(crate) production_deployment_id: Option<String>,
    /// Name of its model; empty where it cannot be read.
    pub(crate) model: String,
    /// The AgentTools and the agents that are its tools, by their names.
    pub(crate) tools: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) enum AgentStatus {
    Ready,
    Unhealthy,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names are Agentex's")]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    pub(crate) status: TaskStatus,
    pub(crate) status_reason: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) cleaned_at: Option<Timestamp>,
    pub(crate) params: Option<Value>,
    pub(crate) task_metadata: Option<Value>,
}

/// One task, with its agent where asked for.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct TaskWithAgents {
    #[serde(flatten)]
    pub(crate) task: Task,
    pub(crate) agents: Option<Vec<Agent>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum TaskStatus {
    Running,
    Completed,
    Failed,
    Canceled,
    Terminated,
    TimedOut,
}

impl TaskStatus {
    pub(crate) fn is_terminal(self) -> bool {
        self != Self::Running
    }

    /// The same status as the log spells it.
    pub(crate) fn in_log(self) -> steadfast_events::TaskStatus {
        match self {
            Self::Running => steadfast_events::TaskStatus::Running,
            Self::Completed => steadfast_events::TaskStatus::Completed,
            Self::Failed => steadfast_events::TaskStatus::Failed,
            Self::Canceled => steadfast_events::TaskStatus::Canceled,
            Self::Terminated => steadfast_events::TaskStatus::Terminated,
            Self::TimedOut => steadfast_events::TaskStatus::TimedOut,
        }
    }
}

impl From<steadfast_events::TaskStatus> for TaskStatus {
    fn from(status: steadfast_events::TaskStatus) -> Self {
        match status {
            steadfast_events::TaskStatus::Running => Self::Running,
            steadfast_events::TaskStatus::Completed => Self::Completed,
            steadfast_events::TaskStatus::Failed => Self::Failed,
            steadfast_events::TaskStatus::Canceled => Self::Canceled,
            steadfast_events::TaskStatus::Terminated => Self::Terminated,
            steadfast_events::TaskStatus::TimedOut => Self::TimedOut,
        }
    }
}

/// A task in a list: without `params`, with its agent where asked for.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct TaskSummary {
    id: String,
    name: Option<String>,
    status: TaskStatus,
    status_reason: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
    cleaned_at: Option<Timestamp>,
    task_metadata: Option<Value>,
    agents: Option<Vec<Agent>>,
}

impl TaskSummary {
    pub(crate) fn new(task: Task, agents: Option<Vec<Agent>>) -> Self {
        let Task {
            id,
            name,
            status,
            status_reason,
            created_at,
            updated_at,
            cleaned_at,
            params: _,
            task_metadata,
        } = task;
        Self {
            id,
            name,
            status,
            status_reason,
            created_at,
            updated_at,
            cleaned_at,
            task_metadata,
            agents,
        }
    }
}

/// The answer to `event/send`: a message on its way to the agent.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Event<'a> {
    /// The id of the message.
    pub(crate) id: String,
    /// The idempotency key of the request. The same key of another user is another message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idempotency_key: Option<String>,
    /// Number of the entry in the task's log that accepts the message; 0 while it is unknown.
    pub(crate) sequence_id: u64,
    pub(crate) task_id: String,
    pub(crate) agent_id: String,
    pub(crate) created_at: Timestamp,
    pub(crate) content: Content<'a>,
}

/// The id of a message as Agentex's clients know it, who ask for a message by its id alone. The task's own id of the
/// message is its last part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageId<'a> {
    pub(crate) task: &'a str,
    pub(crate) message: &'a str,
}

impl<'a> MessageId<'a> {
    /// Reads `<task>.<message>`. The id of a task may contain dots, that of a message does not.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (task, message) = text.rsplit_once('.')?;
        (!task.is_empty() && !message.is_empty()).then_some(Self { task, message })
    }
}

impl fmt::Display for MessageId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.task, self.message)
    }
}

impl Serialize for MessageId<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct TaskMessage<'a> {
    #[schema(value_type = String)]
    pub(crate) id: MessageId<'a>,
    pub(crate) task_id: &'a str,
    pub(crate) content: Content<'a>,
    pub(crate) streaming_status: StreamingStatus,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum StreamingStatus {
    InProgress,
    Done,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Content<'a> {
    /// `user` or `agent`.
    #[schema(value_type = String)]
    pub(crate) author: Author,
    style: &'static str,
    #[serde(flatten)]
    pub(crate) body: Body<'a>,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Body<'a> {
    Text {
        content: &'a str,
        /// `markdown`, `plain` or `code`.
        #[schema(value_type = String)]
        format: TextFormat,
        #[schema(value_type = Option<Vec<AttachmentEntry>>)]
        attachments: Attachments<'a>,
    },
    Data {
        #[schema(value_type = Object)]
        data: DataObject<'a>,
    },
    ToolRequest {
        tool_call_id: &'a str,
        name: &'a str,
        #[schema(value_type = Object)]
        arguments: Arguments<'a>,
    },
    ToolResponse {
        tool_call_id: &'a str,
        name: &'a str,
        /// The result; only its beginning, as text, where `whole_bytes` is present. `GET /messages/{id}` has the whole.
        content: &'a Value,
        is_error: bool,
        /// Size of the whole result as JSON.
        #[serde(skip_serializing_if = "Option::is_none")]
        whole_bytes: Option<usize>,
    },
    Reasoning {
        summary: &'a [String],
        content: &'a [String],
    },
}

/// The attachments of a message; null where it has none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Attachments<'a>(&'a [Attachment]);

/// An attachment in Agentex's form. A file at a URL has the URL for its id, and more than Agentex's members.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Attachment)]
pub(crate) struct AttachmentEntry<'a> {
    /// `GET /tasks/{task_id}/attachments/{file_id}` answers with the bytes.
    file_id: &'a str,
    name: &'a str,
    /// In bytes; 0 for a URL.
    size: u64,
    /// The media type; `image/*` or empty for a URL.
    r#type: &'a str,
    /// Where the bytes are, if they are not stored here.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
}

impl<'a> AttachmentEntry<'a> {
    pub(crate) fn new(attachment: &'a Attachment) -> Self {
        let media_type = match (attachment.media_type.as_str(), attachment.kind) {
            ("", Kind::Image) => "image/*",
            (known, _) => known,
        };
        let (file_id, size, url) = match &attachment.source {
            Source::Stored { sha256, size_bytes, .. } => (sha256, *size_bytes, None),
            Source::Url(url) => (url, 0, Some(url.as_str())),
        };
        Self {
            file_id,
            name: &attachment.name,
            size,
            r#type: media_type,
            url,
        }
    }
}

impl Serialize for Attachments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_empty() {
            return serializer.serialize_none();
        }
        serializer.collect_seq(self.0.iter().map(AttachmentEntry::new))
    }
}

/// Data as clients expect it: an object. Any other value becomes `{"value": …}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum DataObject<'a> {
    Object(&'a Map<String, Value>),
    Other { value: &'a Value },
}

/// Arguments as clients expect them: an object. Arguments that are no object, because they are
/// incomplete or malformed, become `{}`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Arguments<'a>(&'a Value);

impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(arguments) => arguments.serialize(serializer),
            _ => serializer.collect_map(std::iter::empty::<(&str, &str)>()),
        }
    }
}

impl<'a> TaskMessage<'a> {
    pub(crate) fn new(task_id: &'a str, message: &'a Message) -> Self {
        Self {
            id: MessageId {
                task: task_id,
                message: &message.id,
            },
            task_id,
            content: Content::new(message.author, &message.content),
            streaming_status: match message.status {
                MessageStatus::InProgress => StreamingStatus::InProgress,
                // Agentex has no status for a message that was interrupted.
                MessageStatus::Done | MessageStatus::Interrupted => StreamingStatus::Done,
            },
            created_at: message.created_at,
            updated_at: message.updated_at,
        }
    }
}

impl<'a> Content<'a> {
    pub(crate) fn new(author: Author, content: &'a steadfast_events::Content) -> Self {
        use steadfast_events::Content as Logged;
        let body = match content {
            Logged::Text {
                text,
                format,
                attachments,
            } => Body::Text {
                content: text,
                format: *format,
                attachments: Attachments(attachments),
            },
            Logged::Data { data } => Body::Data {
                data: match data {
                    Value::Object(object) => DataObject::Object(object),
                    value => DataObject::Other { value },
                },
            },
            Logged::ToolRequest {
                tool_call_id,
                name,
                arguments,
            } => Body::ToolRequest {
                tool_call_id,
                name,
                arguments: Arguments(arguments),
            },
            Logged::ToolResponse {
                tool_call_id,
                name,
                content,
                is_error,
                whole_bytes,
            } => Body::ToolResponse {
                tool_call_id,
                name,
                content,
                is_error: *is_error,
                whole_bytes: *whole_bytes,
            },
            Logged::Reasoning { summary, content } => Body::Reasoning { summary, content },
        };
        Self {
            author,
            style: "static",
            body,
        }
    }
}

/// One frame of a task's stream.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Frame<'a> {
    Connected {
        #[serde(rename = "taskId")]
        task_id: &'a str,
    },
    Start {
        index: Option<u32>,
        parent_task_message: Parent<'a>,
        content: Content<'a>,
    },
    Delta {
        index: Option<u32>,
        parent_task_message: Parent<'a>,
        delta: Delta<'a>,
    },
    Full {
        index: Option<u32>,
        parent_task_message: Parent<'a>,
        content: Content<'a>,
    },
    Done {
        index: Option<u32>,
        parent_task_message: Parent<'a>,
    },
    TaskUpdated {
        task: &'a Task,
    },
    Error {
        message: &'a str,
    },
    /// Not of Agentex: all messages as they are now, because the frames before may be incomplete.
    LogReset {
        messages: Vec<TaskMessage<'a>>,
    },
}

impl Frame<'_> {
    /// The frame with the number of its message in an answer.
    pub(crate) fn numbered(mut self, number: u32) -> Self {
        match &mut self {
            Self::Start { index, .. }
            | Self::Delta { index, .. }
            | Self::Full { index, .. }
            | Self::Done { index, .. } => {
                *index = Some(number);
            }
            Self::Connected { .. } | Self::TaskUpdated { .. } | Self::Error { .. } | Self::LogReset { .. } => {}
        }
        self
    }
}

/// The message that a frame belongs to.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Parent<'a> {
    /// The message as it started, serialised once for all its frames.
    Started(&'a RawValue),
    Current(TaskMessage<'a>),
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Delta<'a> {
    Text {
        text_delta: &'a str,
    },
    ToolRequest {
        tool_call_id: &'a str,
        name: &'a str,
        arguments_delta: &'a str,
    },
    ReasoningSummary {
        summary_index: u32,
        summary_delta: &'a str,
    },
    ReasoningContent {
        content_index: u32,
        content_delta: &'a str,
    },
}
