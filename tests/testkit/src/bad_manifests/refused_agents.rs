//! Agents that the API server refuses.

#![allow(
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "tables of manifests"
)]

use serde_json::{Value, json};

use super::{BadManifest, agent, refused};

const NAME: &str = "an Agent's name is a DNS label of at most 40 characters";
/// The longest name that the API server takes at all.
const LONGEST: &str = concat!(
    "a-name-of-two-hundred-and-fifty-three-characters-",
    "which-no-label-may-have-and-no-object-that-is-derived-from-it-",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
);

/// By the rule for names.
pub(super) fn by_names() -> Vec<BadManifest> {
    assert_eq!(LONGEST.len(), 253);
    refused(
        agent,
        [
            ("a-name-of-more-than-forty-characters-in-all", json!({}), NAME),
            ("a-name-of-forty-one-characters-is-too-lon", json!({}), NAME),
            (LONGEST, json!({}), NAME),
            ("two.labels", json!({}), NAME),
        ],
    )
}

/// By the type of a value, or because it is missing.
pub(super) fn by_types() -> Vec<BadManifest> {
    let hook = |hook: Value| json!({"hooks": [hook]});
    refused(
        agent,
        [
            ("number-for-text", json!({"instructions": 5}), "spec.instructions"),
            ("object-for-list", json!({"tools": {"tool": "get-time"}}), "spec.tools"),
            ("text-for-object", json!({"limits": "none"}), "spec.limits"),
            (
                "text-for-switch",
                json!({"stream": {"reasoning": "yes"}}),
                "spec.stream.reasoning",
            ),
            (
                "replicas-in-words",
                json!({"worker": {"replicas": "two"}}),
                "spec.worker.replicas",
            ),
            (
                "half-a-pod",
                json!({"worker": {"replicas": 0.5}}),
                "spec.worker.replicas",
            ),
            (
                "unknown-rollout",
                json!({"worker": {"replicas": 0, "rollout": "Canary"}}),
                "spec.worker.rollout",
            ),
            ("no-model", json!({"model": null}), "model"),
            ("nameless-model", json!({"model": {"apiKeyEnvVar": ""}}), "name"),
            (
                "credential-without-secret",
                json!({"credentials": [{"envVarName": "TOKEN", "secretKey": "key"}]}),
                "secretName",
            ),
            (
                "schedule-without-message",
                json!({"schedules": [{"name": "s", "cron": "@daily"}]}),
                "message",
            ),
            (
                "nameless-check",
                json!({"guardrails": {"input": [{"cel": "true"}]}}),
                "name",
            ),
            ("handoff-to-nobody", json!({"handoffs": [{}]}), "agent"),
            (
                "hook-without-events",
                hook(json!({"activity": {"name": "a"}})),
                "events",
            ),
            (
                "unknown-field",
                json!({"modelName": "m"}),
                "unknown field \"spec.modelName\"",
            ),
            (
                "unknown-inner-field",
                json!({"worker": {"replicas": 0, "replica": 1}}),
                "unknown field \"spec.worker.replica\"",
            ),
            (
                "unknown-setting",
                json!({"model": {"name": "m", "apiKeyEnvVar": "", "settings": {"heat": 1}}}),
                "unknown field \"spec.model.settings.heat\"",
            ),
        ],
    )
}

/// By a bound: of a number, of a text, of a list.
pub(super) fn by_bounds() -> Vec<BadManifest> {
    let model = |field: &str, value: Value| json!({"model": {"name": "m", "apiKeyEnvVar": "", field: value}});
    let tools: Vec<Value> = (0..1000).map(|number| json!({"tool": format!("t-{number}")})).collect();
    let credentials: Vec<Value> = (0..65)
        .map(|number| json!({"envVarName": format!("T_{number}"), "secretName": "present", "secretKey": "key"}))
        .collect();
    let schedules: Vec<Value> = (0..33)
        .map(|number| json!({"name": format!("s-{number}"), "cron": "@daily", "message": "Go."}))
        .collect();
    refused(
        agent,
        [
            (
                "negative-replicas",
                json!({"worker": {"replicas": -1}}),
                "spec.worker.replicas",
            ),
            (
                "too-many-replicas",
                json!({"worker": {"replicas": 1001}}),
                "spec.worker.replicas",
            ),
            (
                "replicas-beside-autoscaling",
                json!({"worker": {"replicas": 2, "autoscaling": {"maxReplicas": 3}}}),
                "replicas and autoscaling exclude each other",
            ),
            (
                "more-than-the-most-replicas",
                json!({"worker": {"autoscaling": {"minReplicas": 4, "maxReplicas": 3}}}),
                "minReplicas is at most maxReplicas",
            ),
            (
                "short-cooldown",
                json!({"worker": {"autoscaling": {"maxReplicas": 3, "cooldownPeriod": "30s"}}}),
                "cooldownPeriod is at least 1m",
            ),
            ("thousand-tools", json!({"tools": tools}), "spec.tools"),
            (
                "many-credentials",
                json!({"credentials": credentials}),
                "spec.credentials",
            ),
            ("many-schedules", json!({"schedules": schedules}), "spec.schedules"),
            (
                "long-description",
                json!({"description": "é".repeat(1025)}),
                "spec.description",
            ),
            ("long-welcome", json!({"welcome": "x".repeat(16_385)}), "spec.welcome"),
            (
                "hot-model",
                model("settings", json!({"temperature": 2.5})),
                "spec.model.settings.temperature",
            ),
            (
                "no-tokens",
                model("settings", json!({"maxOutputTokens": 0})),
                "spec.model.settings.maxOutputTokens",
            ),
            (
                "no-attempt",
                model("retry", json!({"maximumAttempts": 0})),
                "spec.model.retry.maximumAttempts",
            ),
            (
                "no-calls",
                json!({"limits": {"maxModelCallsPerTurn": 0}}),
                "spec.limits.maxModelCallsPerTurn",
            ),
            (
                "negative-tokens",
                json!({"limits": {"maxTokensPerTask": -1}}),
                "spec.limits.maxTokensPerTask",
            ),
            (
                "more-than-the-whole",
                json!({"context": {"compaction": {"thresholdPercent": 120}}}),
                "spec.context.compaction.thresholdPercent",
            ),
            (
                "narrow-window",
                json!({"context": {"windowTokens": 999}}),
                "spec.context.windowTokens",
            ),
            ("empty-model-name", json!({"model": {"name": ""}}), "spec.model.name"),
            (
                "no-events",
                json!({"hooks": [{"events": [], "activity": {"name": "a"}}]}),
                "spec.hooks[0].events",
            ),
        ],
    )
}

/// By the form of a text, or because it is none of those that are known.
pub(super) fn by_words() -> Vec<BadManifest> {
    let model = |field: &str, value: &str| json!({"model": {"name": "m", "apiKeyEnvVar": "", field: value}});
    let deadline = |text: &str| json!({"deletion": {"deadline": text}});
    let webhook = |url: &str| json!({"hooks": [{"events": ["Handoff"], "webhook": {"url": url}}]});
    refused(
        agent,
        [
            (
                "url-for-host",
                credential("TOKEN", "https://example.com"),
                "spec.credentials[0].hosts[0]",
            ),
            ("all-hosts", credential("TOKEN", "*"), "spec.credentials[0].hosts[0]"),
            (
                "variable-with-a-dash",
                credential("MY-TOKEN", "example.com"),
                "spec.credentials[0].envVarName",
            ),
            (
                "no-quantity",
                json!({"worker": {"replicas": 0, "resources": {"limits": {"memory": "much"}}}}),
                "spec.worker.resources.limits",
            ),
            ("unknown-api", model("api", "Completions"), "spec.model.api"),
            ("unknown-dialect", model("dialect", "Klingon"), "spec.model.dialect"),
            (
                "model-over-ftp",
                model("baseUrl", "ftp://example.com"),
                "spec.model.baseUrl",
            ),
            (
                "model-in-a-file",
                model("baseUrl", "file:///etc/passwd"),
                "spec.model.baseUrl",
            ),
            (
                "hook-over-ftp",
                webhook("ftp://example.com"),
                "spec.hooks[0].webhook.url",
            ),
            (
                "unknown-event",
                json!({"hooks": [{"events": ["Always"], "activity": {"name": "a"}}]}),
                "spec.hooks[0].events[0]",
            ),
            (
                "name-with-a-space",
                json!({"tools": [{"agent": "desk", "name": "ask him"}]}),
                "spec.tools[0].name",
            ),
            (
                "schedule-in-capitals",
                json!({"schedules": [{"name": "Daily", "cron": "@daily", "message": "Go."}]}),
                "spec.schedules[0].name",
            ),
            (
                "unknown-end",
                json!({"deletion": {"policy": "Explode"}}),
                "spec.deletion.policy",
            ),
            ("negative-deadline", deadline("-5m"), "spec.deletion.deadline"),
            ("deadline-in-days", deadline("1d"), "spec.deletion.deadline"),
            (
                "deadline-as-number",
                json!({"deletion": {"deadline": 5}}),
                "spec.deletion.deadline",
            ),
        ],
    )
}

/// By a rule in CEL.
pub(super) fn by_rules() -> Vec<BadManifest> {
    let model = |field: &str, value: Value| json!({"model": {"name": "m", "apiKeyEnvVar": "", field: value}});
    refused(
        agent,
        [
            (
                "reserved-variable",
                credential("TEMPORAL_ADDRESS", "example.com"),
                "spec.credentials[0].envVarName",
            ),
            (
                "reserved-small-variable",
                credential("https_proxy", "example.com"),
                "is reserved: ",
            ),
            (
                "no-time",
                model("timeouts", json!({"call": "0s"})),
                "must be longer than 0s and at most 87600h",
            ),
            (
                "endless-time",
                model("timeouts", json!({"idle": "999999999h"})),
                "must be longer than 0s and at most 87600h",
            ),
            (
                "no-deadline",
                json!({"deletion": {"deadline": "0s"}}),
                "must be longer than 0s and at most 87600h",
            ),
            (
                "long-deadline",
                json!({"deletion": {"deadline": "25h"}}),
                "deadline is at most 24h",
            ),
            (
                "pauses-that-shrink",
                model("retry", json!({"initialInterval": "5m", "maximumInterval": "1m"})),
                "initialInterval is at most maximumInterval",
            ),
            (
                "header-of-the-worker",
                model("auth", json!({"header": "Host"})),
                "is a header that the worker itself sets",
            ),
            (
                "identity-of-the-worker",
                model(
                    "auth",
                    json!({"tokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token"}),
                ),
                "is the worker's own identity in Kubernetes",
            ),
            (
                "no-instructions",
                json!({"instructions": null}),
                "exactly one of instructions and instructionsFrom must be set",
            ),
            (
                "instructions-twice",
                json!({"instructionsFrom": {"configMapKeyRef": {"name": "present", "key": "key"}}}),
                "exactly one of instructions and instructionsFrom must be set",
            ),
            (
                "tool-twice",
                json!({"tools": [{"tool": "get-time"}, {"tool": "get-time"}]}),
                "a tool is listed at most once",
            ),
            (
                "handoff-twice",
                json!({"handoffs": [{"agent": "desk"}, {"agent": "desk"}]}),
                "an agent is listed at most once",
            ),
            (
                "tool-and-agent",
                json!({"tools": [{"tool": "get-time", "agent": "desk"}]}),
                "exactly one of tool and agent must be set",
            ),
            (
                "neither-tool-nor-agent",
                json!({"tools": [{"approval": {"required": true}}]}),
                "exactly one of tool and agent must be set",
            ),
            (
                "tool-with-another-name",
                json!({"tools": [{"tool": "get-time", "name": "clock"}]}),
                "name and description are for an agent",
            ),
            (
                "two-checks-in-one",
                json!({"guardrails": {"input": [{"name": "g", "agent": "judge", "cel": "true"}]}}),
                "exactly one of agent, activity and cel must be set",
            ),
            (
                "check-of-nothing",
                json!({"guardrails": {"output": [{"name": "g"}]}}),
                "exactly one of agent, activity and cel must be set",
            ),
            (
                "hook-to-nobody",
                json!({"hooks": [{"events": ["Handoff"]}]}),
                "exactly one of activity and webhook must be set",
            ),
            (
                "schedule-twice",
                json!({"schedules": [
                    {"name": "s", "cron": "@daily", "message": "Go."},
                    {"name": "s", "cron": "@hourly", "message": "Go."},
                ]}),
                "each schedule has a name of its own",
            ),
            (
                "stop-at-no-tool",
                json!({"toolUse": {"behavior": "StopAtTools"}}),
                "tools must be set for the behavior StopAtTools",
            ),
            (
                "stop-without-saying-so",
                json!({"toolUse": {"tools": ["get_time"]}}),
                "tools must be set for the behavior StopAtTools",
            ),
            (
                "pods-beside-a-pool",
                json!({"workerPool": {"name": "calm"}}),
                "worker and workerPool exclude each other",
            ),
        ],
    )
}

fn credential(variable: &str, host: &str) -> Value {
    json!({"credentials": [
        {"envVarName": variable, "secretName": "present", "secretKey": "key", "hosts": [host]},
    ]})
}
