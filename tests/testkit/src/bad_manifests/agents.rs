//! Agents that are wrong.

use serde_json::{Value, json};
use steadfast_crds::conditions::Reason;

use super::{
    BadManifest, PRIVATE_TEXT, TOO_DEEP,
    Verdict::{self, Refused},
    agent, nested, no_credential, not_accepted, unresolved as not_resolved,
};

fn table<const N: usize>(rows: [(&'static str, Value, Verdict); N]) -> Vec<BadManifest> {
    rows.into_iter()
        .map(|(name, spec, verdict)| agent(name, spec, verdict))
        .collect()
}

/// By the schema.
pub(super) fn refused_by_schema() -> Vec<BadManifest> {
    table([
        (
            "url-for-host",
            credential("TOKEN", "https://example.com"),
            Refused("spec.credentials[0].hosts[0]"),
        ),
        (
            "negative-replicas",
            json!({"worker": {"replicas": -1}}),
            Refused("spec.worker.replicas"),
        ),
        (
            "replicas-in-words",
            json!({"worker": {"replicas": "two"}}),
            Refused("spec.worker.replicas"),
        ),
        (
            "no-quantity",
            json!({"worker": {"replicas": 0, "resources": {"limits": {"memory": "much"}}}}),
            Refused("spec.worker.resources.limits"),
        ),
        ("no-model", json!({"model": null}), Refused("model")),
        (
            "unknown-field",
            json!({"modelName": "m"}),
            Refused("unknown field \"spec.modelName\""),
        ),
        (
            "unknown-inner-field",
            json!({"worker": {"replicas": 0, "replica": 1}}),
            Refused("unknown field \"spec.worker.replica\""),
        ),
    ])
}

/// By a rule in CEL.
pub(super) fn refused_by_rules() -> Vec<BadManifest> {
    table([
        (
            "a-name-of-more-than-forty-characters-in-all",
            json!({}),
            Refused("at most 40 characters"),
        ),
        (
            "reserved-variable",
            credential("TEMPORAL_ADDRESS", "example.com"),
            Refused("spec.credentials[0].envVarName"),
        ),
        (
            "no-time",
            json!({"model": {"name": "m", "apiKeyEnvVar": "", "timeouts": {"call": "0s"}}}),
            Refused("must be longer than 0s and at most 87600h"),
        ),
        (
            "no-instructions",
            json!({"instructions": null}),
            Refused("exactly one of instructions and instructionsFrom must be set"),
        ),
        (
            "tool-twice",
            json!({"tools": [{"tool": "get-time"}, {"tool": "get-time"}]}),
            Refused("a tool is listed at most once"),
        ),
        (
            "tool-and-agent",
            json!({"tools": [{"tool": "get-time", "agent": "desk"}]}),
            Refused("exactly one of tool and agent must be set"),
        ),
        (
            "two-checks-in-one",
            json!({"guardrails": {"input": [{"name": "g", "agent": "judge", "cel": "true"}]}}),
            Refused("exactly one of agent, activity and cel must be set"),
        ),
        (
            "schedule-twice",
            json!({"schedules": [
                {"name": "s", "cron": "@daily", "message": "Go."},
                {"name": "s", "cron": "@hourly", "message": "Go."},
            ]}),
            Refused("each schedule has a name of its own"),
        ),
        (
            "stop-at-no-tool",
            json!({"toolUse": {"behavior": "StopAtTools"}}),
            Refused("tools must be set for the behavior StopAtTools"),
        ),
    ])
}

fn credential(variable: &str, host: &str) -> Value {
    json!({"credentials": [
        {"envVarName": variable, "secretName": "present", "secretKey": "key", "hosts": [host]},
    ]})
}

/// Templates, expressions, schedules, schemas.
pub(super) fn invalid_text() -> Vec<BadManifest> {
    let guardrail = |cel: &str| json!({"guardrails": {"input": [{"name": "g", "cel": cel}]}});
    let schedule = |cron: &str, zone: &str| json!({"schedules": [{"name": "s", "cron": cron, "timeZone": zone, "message": "Go."}]});
    table([
        (
            "broken-template",
            json!({"instructions": "{{ user"}),
            not_accepted(Reason::InvalidTemplate),
        ),
        (
            "broken-expression",
            guardrail("text.size() >"),
            not_accepted(Reason::InvalidExpression),
        ),
        (
            "deep-expression",
            guardrail(&format!("{}true{}", "(".repeat(17), ")".repeat(17))),
            not_accepted(Reason::InvalidExpression),
        ),
        (
            "broken-schedule",
            schedule("tomorrow", "UTC"),
            not_accepted(Reason::InvalidSchedule),
        ),
        (
            "empty-time-zone",
            schedule("@daily", " "),
            not_accepted(Reason::InvalidSchedule),
        ),
        (
            "loose-output",
            json!({"output": {"schema": {"type": "object", "properties": {"a": {"type": "string"}}}}}),
            not_accepted(Reason::InvalidSchema),
        ),
        (
            "broken-output",
            json!({"output": {"schema": {"type": "text"}, "strict": false}}),
            not_accepted(Reason::InvalidSchema),
        ),
    ])
}

/// Sizes, pods, and what an Agent may start.
pub(super) fn invalid_behavior() -> Vec<BadManifest> {
    let pods = |template: Value| json!({"worker": {"replicas": 0, "podTemplate": template}});
    let hook = |activity: Value| json!({"hooks": [{"events": ["ToolStarted"], "activity": activity}]});
    table([
        (
            "too-large",
            json!({"instructions": PRIVATE_TEXT.repeat(23_300)}),
            not_accepted(Reason::RevisionTooLarge),
        ),
        (
            "broken-pod-template",
            pods(json!({"spec": {"containers": "none"}})),
            not_accepted(Reason::InvalidPodTemplate),
        ),
        (
            "nameless-container",
            pods(json!({"spec": {"containers": [{"image": "nameless:1"}]}})),
            not_accepted(Reason::InvalidPodTemplate),
        ),
        (
            "same-name-for-the-model",
            json!({"tools": [
                {"tool": "get-time"},
                {"agent": "broken-template", "name": "get_time"},
            ]}),
            not_accepted(Reason::DuplicateToolName),
        ),
        (
            "reserved-queue",
            hook(json!({"name": "act", "taskQueue": "/of-temporal"})),
            not_accepted(Reason::ForbiddenTarget),
        ),
        (
            "approval-of-hosted-tool",
            json!({"tools": [{"tool": "web-search", "approval": {"required": true}}]}),
            not_accepted(Reason::ApprovalImpossible),
        ),
    ])
}

/// References to nothing, or to something that is wrong itself.
pub(super) fn unresolved() -> Vec<BadManifest> {
    let config_map = |name: &str, key: &str| json!({"instructions": null, "instructionsFrom": {"configMapKeyRef": {"name": name, "key": key}}});
    table([
        (
            "missing-tool",
            json!({"tools": [{"tool": "no-such-tool"}]}),
            not_resolved(Reason::ToolNotFound),
        ),
        (
            "broken-tool-user",
            json!({"tools": [{"tool": "broken-schema"}]}),
            not_resolved(Reason::ToolNotAccepted),
        ),
        (
            "missing-agent",
            json!({"handoffs": [{"agent": "no-such-agent"}]}),
            not_resolved(Reason::AgentNotFound),
        ),
        (
            "missing-agent-as-tool",
            json!({"tools": [{"agent": "no-such-agent"}]}),
            not_resolved(Reason::AgentNotFound),
        ),
        (
            "missing-judge",
            json!({"guardrails": {"output": [{"name": "g", "agent": "no-such-agent"}]}}),
            not_resolved(Reason::AgentNotFound),
        ),
        (
            "missing-config-map",
            config_map("none", "key"),
            not_resolved(Reason::ConfigMapNotFound),
        ),
        (
            "missing-config-map-key",
            config_map("present", "none"),
            not_resolved(Reason::ConfigMapKeyNotFound),
        ),
    ])
}

/// Secrets that do not exist, and variables that no credential sets.
pub(super) fn without_credentials() -> Vec<BadManifest> {
    let secret =
        |name: &str, key: &str| json!({"credentials": [{"envVarName": "TOKEN", "secretName": name, "secretKey": key}]});
    let model = |key: &str, url: &str| json!({"model": {"name": "m", "apiKeyEnvVar": key, "baseUrl": url}});
    let webhook = json!({"url": "https://example.com", "headers": [{"name": "A", "value": "${env.TOKEN}"}]});
    let mut any_host = secret("present", "key");
    any_host["tools"] = json!([{"tool": "any-host"}]);
    table([
        (
            "missing-secret",
            secret("none", "key"),
            no_credential(Reason::SecretNotFound),
        ),
        (
            "missing-secret-key",
            secret("present", "none"),
            no_credential(Reason::SecretKeyNotFound),
        ),
        (
            "missing-variable",
            model("NOBODY_SETS_IT", "https://example.com"),
            no_credential(Reason::EnvVarNotProvided),
        ),
        (
            "missing-variable-of-url",
            model("", "${env.NOBODY_SETS_IT}"),
            no_credential(Reason::EnvVarNotProvided),
        ),
        (
            "missing-variable-of-tool",
            json!({"tools": [{"tool": "sends-token"}]}),
            no_credential(Reason::EnvVarNotProvided),
        ),
        (
            "missing-variable-of-hook",
            json!({"hooks": [{"events": ["ToolStarted"], "webhook": webhook}]}),
            no_credential(Reason::EnvVarNotProvided),
        ),
        ("any-host-user", any_host, no_credential(Reason::HostsRequired)),
    ])
}

/// What the operator cannot decode, and who refers to it.
pub(super) fn too_deep() -> Vec<BadManifest> {
    let settings = json!({"extraBody": nested(TOO_DEEP)});
    table([
        (
            "too-deep",
            json!({"model": {"name": "m", "apiKeyEnvVar": "", "settings": settings}}),
            not_accepted(Reason::Malformed),
        ),
        (
            "deep-tool-user",
            json!({"tools": [{"tool": "too-deep-tool"}]}),
            not_resolved(Reason::ToolNotAccepted),
        ),
        (
            "deep-agent-user",
            json!({"handoffs": [{"agent": "too-deep"}]}),
            not_resolved(Reason::AgentNotAccepted),
        ),
    ])
}
