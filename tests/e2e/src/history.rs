//! Reads the history of a workflow, as the Temporal CLI prints it.

use serde_json::Value;
use steadfast_contract::activity_kind::ActivityKind;
pub use steadfast_testkit::temporal::plain_json;

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
