//! Our own activities as the workflow sees them: names, inputs, results. The
//! worker implements them; everything here is on the wire of running tasks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use steadfast_core::{Segment, SegmentRef};
use steadfast_crds::AgentRevisionSpec;
use steadfast_log::Usage;
use temporalio_workflow::common::ActivityDefinition;

use crate::{outbox::OutboxEntry, packed::Packed};

/// One model call, streamed to the log while it runs.
pub struct InvokeModel;
/// One call of an `http` tool.
pub struct CallHttpTool;
/// Brings what waits in the outbox to the log.
pub struct AppendEvents;
/// Reads the newest revision of the agent (a local activity).
pub struct LoadRevision;

/// Type names of our activities.
pub mod name {
    pub const INVOKE_MODEL: &str = "invoke_model_activity";
    pub const CALL_HTTP_TOOL: &str = "call_http_tool";
    pub const APPEND_EVENTS: &str = "append_events";
    pub const LOAD_REVISION: &str = "load_revision";
}

macro_rules! definition {
    ($activity:ty, $name:expr, $input:ty => $output:ty) => {
        impl ActivityDefinition for $activity {
            type Input = Packed<$input>;
            type Output = Packed<$output>;

            fn name(&self) -> &str {
                $name
            }
        }
    };
}

definition!(InvokeModel, name::INVOKE_MODEL, ModelCall => ModelOutcome);
definition!(CallHttpTool, name::CALL_HTTP_TOOL, HttpToolCall => HttpToolOutcome);
definition!(AppendEvents, name::APPEND_EVENTS, Append => LogAck);
definition!(LoadRevision, name::LOAD_REVISION, RevisionRequest => Option<Revision>);

/// What every activity that writes the log is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Append {
    /// Events of the workflow that wait to be appended, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outbox: Vec<OutboxEntry>,
    /// The newest log entry the task knows of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
}

/// What it answers about the log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogAck {
    /// The highest outbox number that now stands in the log.
    #[serde(default)]
    pub acked: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// The activity's own messages did not all reach the log.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub behind: bool,
}

/// Input of [`InvokeModel`]: only what is new; the rest stands in the history before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCall {
    pub turn: u32,
    pub step: u32,
    /// Segments of the transcript that earlier model calls of this run were told of.
    pub base: u32,
    pub new: Vec<NewSegment>,
    /// Name of the revision this turn runs on.
    pub revision: String,
    /// `now` in the instructions, the same for each call of the turn.
    pub now: jiff::Timestamp,
    #[serde(flatten)]
    pub append: Append,
}

/// A segment that joins the transcript.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewSegment {
    /// It stands elsewhere in the history of this run.
    Ref(SegmentRef),
    /// The workflow made it itself; small by construction.
    Whole(Box<Segment>),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelOutcome {
    /// The output items as the provider sent them, in order.
    pub items: Vec<Value>,
    /// Calls among them that must not run, by index of the item, and what to tell the model.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<u32, String>,
    pub usage: Usage,
    pub log: LogAck,
}

/// Input of [`CallHttpTool`]: the arguments stand in the result of the model call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpToolCall {
    pub turn: u32,
    pub step: u32,
    /// Index of the call among the model's output items.
    pub index: u32,
    pub tool: String,
    pub revision: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpToolOutcome {
    pub content: Value,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
    pub log: LogAck,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RevisionRequest {
    pub agent: String,
    /// The revision the task knows; `None` is answered when it is still the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
}

/// A revision as the history keeps it: the whole of it, once per change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// Name of the AgentRevision, `<agent>-<sequence>`.
    pub name: String,
    pub spec: AgentRevisionSpec,
}
