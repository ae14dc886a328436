//! The shapes of Agentex on the wire, and how ours become them. Pure.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};
use steadfast_events::{Author, Message, MessageStatus, TextFormat, Verdict};

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agent {
    pub id: String,
    pub name: String,
    pub description: String,
    pub status: AgentStatus,
    pub status_reason: Option<String>,
    /// Always `async`: messages are sent with `event/send` and answered in the stream.
    pub acp_type: &'static str,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub registered_at: Timestamp,
    pub registration_metadata: Option<Map<String, Value>>,
    pub agent_input_type: &'static str,
    pub production_deployment_id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum AgentStatus {
    Ready,
    Unhealthy,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Task {
    pub id: String,
    pub name: Option<String>,
    pub status: TaskStatus,
    pub status_reason: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub cleaned_at: Option<Timestamp>,
    pub params: Option<Value>,
    pub task_metadata: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskStatus {
    Running,
    Completed,
    Failed,
    Canceled,
    Terminated,
    TimedOut,
}

impl TaskStatus {
    pub fn is_terminal(self) -> bool {
        self != Self::Running
    }

    /// The same in the words of our log.
    pub fn in_log(self) -> steadfast_events::TaskStatus {
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

/// Something a person is asked; not of Agentex.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Approval {
    #[serde(flatten)]
    pub asked: steadfast_events::Approval,
    /// The name under which clients know the agent that asks.
    pub agent_name: String,
    /// The task whose workflow waits.
    pub task_id: String,
    /// The conversation it is a part of, when an agent asks that works as another's tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_task_id: Option<String>,
    #[serde(flatten)]
    pub ruling: Ruling,
}

/// What became of an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ruling {
    pub decision: ApprovalDecision,
    /// Who decided.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Ruling {
    pub const PENDING: Self = Self {
        decision: ApprovalDecision::Pending,
        by: String::new(),
        reason: String::new(),
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalDecision {
    Pending,
    Approved,
    Rejected,
    Expired,
    Withdrawn,
}

impl From<Verdict> for ApprovalDecision {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Approved => Self::Approved,
            Verdict::Rejected => Self::Rejected,
            Verdict::Expired => Self::Expired,
            Verdict::Withdrawn => Self::Withdrawn,
        }
    }
}

/// What `event/send` answers: a message on its way to the agent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// The id of the message it becomes.
    pub id: String,
    /// Number of its entry in the task's log; 0 when not known yet.
    pub sequence_id: u64,
    pub task_id: String,
    pub agent_id: String,
    pub created_at: Timestamp,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskMessage {
    pub id: String,
    pub task_id: String,
    pub content: Content,
    pub streaming_status: StreamingStatus,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StreamingStatus {
    InProgress,
    Done,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Content {
    pub author: Author,
    pub style: &'static str,
    #[serde(flatten)]
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Body {
    Text {
        content: String,
        format: TextFormat,
        attachments: Option<Vec<Value>>,
    },
    Data {
        data: Value,
    },
    ToolRequest {
        tool_call_id: String,
        name: String,
        arguments: Value,
    },
    ToolResponse {
        tool_call_id: String,
        name: String,
        content: Value,
        is_error: bool,
    },
    Reasoning {
        summary: Vec<String>,
        content: Vec<String>,
    },
}

impl TaskMessage {
    pub fn new(task_id: &str, message: &Message) -> Self {
        Self {
            id: message.id.clone(),
            task_id: task_id.to_owned(),
            content: Content::new(message.author, &message.content),
            streaming_status: match message.status {
                MessageStatus::InProgress => StreamingStatus::InProgress,
                // Agentex has no word for what was stopped before its end.
                MessageStatus::Done | MessageStatus::Interrupted => StreamingStatus::Done,
            },
            created_at: message.created_at,
            updated_at: message.updated_at,
        }
    }
}

impl Content {
    pub fn new(author: Author, content: &steadfast_events::Content) -> Self {
        use steadfast_events::Content as Ours;
        let body = match content.clone() {
            Ours::Text { text, format } => Body::Text {
                content: text,
                format,
                attachments: None,
            },
            Ours::Data { data } => Body::Data {
                data: object_or(data, |data| json!({ "value": data })),
            },
            // Clients expect an object; arguments that are not one yet, or never became one, show as none.
            Ours::ToolRequest {
                tool_call_id,
                name,
                arguments,
            } => Body::ToolRequest {
                tool_call_id,
                name,
                arguments: object_or(arguments, |_| json!({})),
            },
            Ours::ToolResponse {
                tool_call_id,
                name,
                content,
                is_error,
            } => Body::ToolResponse {
                tool_call_id,
                name,
                content,
                is_error,
            },
            Ours::Reasoning { summary, content } => Body::Reasoning { summary, content },
        };
        Self {
            author,
            style: "static",
            body,
        }
    }
}

fn object_or(value: Value, otherwise: impl FnOnce(Value) -> Value) -> Value {
    if value.is_object() { value } else { otherwise(value) }
}

/// One frame of a task's stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Frame {
    Connected {
        #[serde(rename = "taskId")]
        task_id: String,
    },
    Start {
        index: Option<u32>,
        parent_task_message: TaskMessage,
        content: Content,
    },
    Delta {
        index: Option<u32>,
        parent_task_message: TaskMessage,
        delta: Delta,
    },
    Full {
        index: Option<u32>,
        parent_task_message: TaskMessage,
        content: Content,
    },
    Done {
        index: Option<u32>,
        parent_task_message: TaskMessage,
    },
    TaskUpdated {
        task: Task,
    },
    Error {
        message: String,
    },
    /// Not of Agentex: what was shown may be incomplete, these are the messages now.
    LogReset {
        messages: Vec<TaskMessage>,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Delta {
    Text {
        text_delta: String,
    },
    ToolRequest {
        tool_call_id: String,
        name: String,
        arguments_delta: String,
    },
    ReasoningSummary {
        summary_index: u32,
        summary_delta: String,
    },
    ReasoningContent {
        content_index: u32,
        content_delta: String,
    },
}
