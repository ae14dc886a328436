//! The fields of an AgentTool: each is part of the revisions of the Agents that list the tool.

use serde_json::json;

use super::{
    Edit,
    Effect::{Refused, Revision},
    same,
};

const KIND: &str = "AgentTool";

pub(super) fn edits() -> Vec<Edit> {
    [policy(), kinds(), requests(), steps(), compensations()]
        .into_iter()
        .flatten()
        .collect()
}

fn policy() -> Vec<Edit> {
    same(
        KIND,
        Revision,
        [
            ("spec.description", json!("Says more.")),
            (
                "spec.parameters",
                json!({"type": "object", "properties": {"day": {"type": "string"}}}),
            ),
            ("spec.approval.required", json!(false)),
            ("spec.approval.timeout", json!("10m")),
            ("spec.approval.onTimeout", json!("Fail")),
            ("spec.timeout", json!("20s")),
            ("spec.retry.maximumAttempts", json!(7)),
            ("spec.retry.initialInterval", json!("3s")),
            ("spec.retry.maximumInterval", json!("2m")),
            ("spec.retry.backoffCoefficient", json!(1.5)),
            ("spec.idempotency", json!("None")),
            ("spec.maxResultBytes", json!(2000)),
            ("spec.onError", json!("FailTurn")),
        ],
    )
}

fn kinds() -> Vec<Edit> {
    same(
        KIND,
        Revision,
        [
            ("spec.activity.name", json!("other_activity")),
            ("spec.activity.taskQueue", json!("other-queue")),
            ("spec.activity.argumentStyle", json!("Positional")),
            ("spec.activity.heartbeatTimeout", json!("20s")),
            ("spec.mcp.url", json!("https://mcp.example.com/v2")),
            ("spec.mcp.headers[].name", json!("X-Other")),
            ("spec.mcp.headers[].value", json!("other")),
            ("spec.mcp.prefix", json!("other_")),
            ("spec.mcp.tools[].name", json!("find")),
            ("spec.mcp.tools[].rename", json!("find_docs")),
            ("spec.mcp.tools[].approval.required", json!(false)),
            ("spec.mcp.tools[].approval.timeout", json!("10m")),
            ("spec.mcp.tools[].approval.onTimeout", json!("Fail")),
            ("spec.human.prompt", json!("Which room?")),
            (
                "spec.human.form",
                json!({"type": "object", "properties": {"room": {"type": "string"}}}),
            ),
            ("spec.human.timeout", json!("3h")),
            ("spec.human.onTimeout", json!("Fail")),
            ("spec.workflow.type", json!("OtherWorkflow")),
            ("spec.workflow.taskQueue", json!("other-queue")),
            ("spec.hosted.type", json!("image_generation")),
            ("spec.hosted.settings", json!({"search_context_size": "high"})),
        ],
    )
}

fn requests() -> Vec<Edit> {
    same(
        KIND,
        Revision,
        [
            ("spec.http.method", json!("PUT")),
            ("spec.http.url", json!("https://api.example.com/v2/{{ city }}")),
            ("spec.http.headers[].name", json!("X-Token")),
            ("spec.http.headers[].value", json!("Basic ${env.TOOL_TOKEN}")),
            ("spec.http.body", json!("{{ city }}!")),
            ("spec.http.response", json!("{{ body.other }}")),
            ("spec.http.execution", json!("Local")),
        ],
    )
}

fn steps() -> Vec<Edit> {
    let mut edits = same(
        KIND,
        Revision,
        [
            ("spec.steps[].name", json!("first")),
            ("spec.steps[].activity.name", json!("other_activity")),
            ("spec.steps[].activity.taskQueue", json!("other-queue")),
            ("spec.steps[].activity.argumentStyle", json!("Positional")),
            ("spec.steps[].activity.heartbeatTimeout", json!("20s")),
            ("spec.steps[].http.method", json!("PUT")),
            ("spec.steps[].http.url", json!("https://api.example.com/v2")),
            ("spec.steps[].http.headers[].name", json!("X-Other")),
            ("spec.steps[].http.headers[].value", json!("other")),
            ("spec.steps[].http.body", json!("other")),
            ("spec.steps[].http.response", json!("{{ body.other }}")),
            ("spec.steps[].arguments", json!({"amount": "{{ amount }}", "more": 1})),
            ("spec.steps[].timeout", json!("20s")),
            ("spec.steps[].retry.maximumAttempts", json!(7)),
            ("spec.steps[].retry.initialInterval", json!("3s")),
            ("spec.steps[].retry.maximumInterval", json!("2m")),
            ("spec.steps[].retry.backoffCoefficient", json!(1.5)),
        ],
    );
    let local = ("spec.steps[].http.execution", json!("Local"));
    edits.extend(same(KIND, Refused("a step is never local"), [local]));
    edits
}

fn compensations() -> Vec<Edit> {
    let mut edits = same(
        KIND,
        Revision,
        [
            ("spec.steps[].compensate.activity.name", json!("other_activity")),
            ("spec.steps[].compensate.activity.taskQueue", json!("other-queue")),
            ("spec.steps[].compensate.activity.argumentStyle", json!("Positional")),
            ("spec.steps[].compensate.activity.heartbeatTimeout", json!("20s")),
            ("spec.steps[].compensate.http.method", json!("PUT")),
            ("spec.steps[].compensate.http.url", json!("https://api.example.com/v2")),
            ("spec.steps[].compensate.http.headers[].name", json!("X-Other")),
            ("spec.steps[].compensate.http.headers[].value", json!("other")),
            ("spec.steps[].compensate.http.body", json!("other")),
            ("spec.steps[].compensate.http.response", json!("{{ body.other }}")),
            ("spec.steps[].compensate.arguments", json!({"amount": 1})),
            ("spec.steps[].compensate.timeout", json!("20s")),
            ("spec.steps[].compensate.retry.maximumAttempts", json!(7)),
            ("spec.steps[].compensate.retry.initialInterval", json!("3s")),
            ("spec.steps[].compensate.retry.maximumInterval", json!("2m")),
            ("spec.steps[].compensate.retry.backoffCoefficient", json!(1.5)),
            ("spec.steps[].compensate.onUnknownOutcome", json!("Compensate")),
        ],
    );
    let local = ("spec.steps[].compensate.http.execution", json!("Local"));
    edits.extend(same(KIND, Refused("a compensation is never local"), [local]));
    edits
}
