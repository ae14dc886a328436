//! AgentTools that the API server refuses.

#![allow(
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "tables of manifests"
)]

use serde_json::{Value, json};

use super::{BadManifest, refused, tool, tools::activity};

fn http(field: &str, value: Value) -> Value {
    let mut http = json!({"url": "https://example.com"});
    http[field] = value;
    json!({"http": http})
}

fn policy(field: &str, value: Value) -> Value {
    json!({"activity": activity(), field: value})
}

/// By the schema.
pub(super) fn by_schema() -> Vec<BadManifest> {
    let mcp = |field: &str, value: Value| {
        let mut mcp = json!({"url": "https://example.com"});
        mcp[field] = value;
        json!({"mcp": mcp})
    };
    let steps: Vec<Value> = (0..33)
        .map(|number| json!({"name": format!("s{number}"), "activity": activity()}))
        .collect();
    refused(
        tool,
        [
            ("no-duration", policy("timeout", json!("soon")), "spec.timeout"),
            ("number-for-duration", policy("timeout", json!(30)), "spec.timeout"),
            (
                "unknown-tool-field",
                policy("timeouts", json!("5s")),
                "unknown field \"spec.timeouts\"",
            ),
            (
                "empty-description",
                policy("description", json!("")),
                "spec.description",
            ),
            ("list-for-schema", policy("parameters", json!([])), "spec.parameters"),
            (
                "no-attempts",
                policy("retry", json!({"maximumAttempts": 0})),
                "spec.retry.maximumAttempts",
            ),
            (
                "many-attempts",
                policy("retry", json!({"maximumAttempts": 1_000_000})),
                "spec.retry.maximumAttempts",
            ),
            (
                "backoff-that-shrinks",
                policy("retry", json!({"backoffCoefficient": 0.5})),
                "spec.retry.backoffCoefficient",
            ),
            ("no-result", policy("maxResultBytes", json!(0)), "spec.maxResultBytes"),
            (
                "endless-result",
                policy("maxResultBytes", json!(1_048_577)),
                "spec.maxResultBytes",
            ),
            ("unknown-failure", policy("onError", json!("Ignore")), "spec.onError"),
            (
                "unknown-timeout",
                policy("approval", json!({"required": true, "onTimeout": "Wait"})),
                "spec.approval.onTimeout",
            ),
            (
                "approval-in-days",
                policy("approval", json!({"required": true, "timeout": "2d"})),
                "spec.approval.timeout",
            ),
            (
                "request-over-ftp",
                http("url", json!("ftp://example.com")),
                "spec.http.url",
            ),
            (
                "request-of-a-file",
                http("url", json!("file:///etc/passwd")),
                "spec.http.url",
            ),
            (
                "request-of-a-script",
                http("url", json!("javascript:alert(1)")),
                "spec.http.url",
            ),
            ("unknown-method", http("method", json!("STEAL")), "spec.http.method"),
            (
                "header-of-two-lines",
                http("headers", json!([{"name": "A: b\r\nC", "value": "d"}])),
                "spec.http.headers[0].name",
            ),
            ("request-to-nowhere", json!({"http": {"method": "GET"}}), "url"),
            ("server-over-stdio", mcp("url", json!("stdio:server")), "spec.mcp.url"),
            (
                "server-over-sockets",
                mcp("url", json!("ws://example.com")),
                "spec.mcp.url",
            ),
            ("prefix-with-a-dot", mcp("prefix", json!("a.b")), "spec.mcp.prefix"),
            (
                "rename-with-a-space",
                mcp("tools", json!([{"name": "a", "rename": "a b"}])),
                "spec.mcp.tools[0].rename",
            ),
            ("no-steps", json!({"steps": []}), "spec.steps"),
            ("many-steps", json!({"steps": steps}), "spec.steps"),
            (
                "step-in-capitals",
                json!({"steps": [{"name": "First", "activity": activity()}]}),
                "spec.steps[0].name",
            ),
        ],
    )
}

/// By a rule in CEL.
pub(super) fn by_rules() -> Vec<BadManifest> {
    let local = |policy: Value| {
        let mut tool = http("execution", json!("Local"));
        super::extend(&mut tool, policy);
        tool
    };
    let step = |field: &str, value: Value| json!({"steps": [{"name": "a", field: value}]});
    refused(
        tool,
        [
            (
                "two.labels-of-a-tool",
                json!({"activity": activity()}),
                "an AgentTool's name is a DNS label",
            ),
            (
                "a-name-of-a-tool-with-more-than-sixty-three-characters-in-it-all",
                json!({"activity": activity()}),
                "an AgentTool's name is a DNS label of at most 63 characters",
            ),
            ("no-kind", json!({}), "exactly one kind of tool must be set"),
            (
                "two-kinds",
                json!({"activity": activity(), "http": {"url": "https://example.com"}}),
                "exactly one kind of tool must be set",
            ),
            (
                "no-time",
                policy("timeout", json!("0s")),
                "must be longer than 0s and at most 87600h",
            ),
            (
                "pauses-that-shrink",
                policy("retry", json!({"initialInterval": "5m", "maximumInterval": "1m"})),
                "initialInterval is at most maximumInterval",
            ),
            (
                "slow-local-request",
                local(json!({"timeout": "1m", "idempotency": "Key"})),
                "a local http tool needs a timeout of at most 5s",
            ),
            (
                "local-request-that-harms",
                local(json!({"timeout": "1s", "idempotency": "None"})),
                "a local http tool needs the idempotency Key or Natural",
            ),
            (
                "step-twice",
                json!({"steps": [{"name": "a", "activity": activity()}, {"name": "a", "activity": activity()}]}),
                "each step has a name of its own",
            ),
            (
                "step-that-does-nothing",
                step("timeout", json!("5s")),
                "a step has exactly one of activity and http",
            ),
            (
                "local-step",
                step("http", json!({"url": "https://example.com", "execution": "Local"})),
                "a step is never local",
            ),
            (
                "undone-by-nothing",
                json!({"steps": [{"name": "a", "activity": activity(), "compensate": {"timeout": "5s"}}]}),
                "a compensation has exactly one of activity and http",
            ),
        ],
    )
}
