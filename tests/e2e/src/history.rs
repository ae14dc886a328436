//! Reads the history of a workflow, as the Temporal CLI prints it.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;
use steadfast_contract::activity_kind::ActivityKind;

/// The attributes of all events that have this member.
pub fn attributes<'a>(history: &'a [Value], member: &str) -> Vec<&'a Value> {
    history.iter().filter_map(|event| event.get(member)).collect()
}

/// The first run of the chain of runs that this history belongs to.
pub fn first_run_id(history: &[Value]) -> Option<&str> {
    let started = attributes(history, "workflowExecutionStartedEventAttributes");
    started.first()?["firstExecutionRunId"].as_str()
}

/// The attributes of the scheduled activities of a kind.
pub fn scheduled_activities(history: &[Value], kind: ActivityKind) -> Vec<&Value> {
    attributes(history, "activityTaskScheduledEventAttributes")
        .into_iter()
        .filter(|scheduled| scheduled["activityType"]["name"] == kind.type_name())
        .collect()
}

/// The content of a payload that is plain JSON, for any language and the Temporal UI.
pub fn plain_json(payload: &Value) -> Option<Value> {
    let base64 = |value: &Value| BASE64_STANDARD.decode(value.as_str()?).ok();
    let encoding = base64(&payload["metadata"]["encoding"])?;
    if encoding != b"json/plain" {
        return None;
    }
    serde_json::from_slice(&base64(&payload["data"])?).ok()
}
