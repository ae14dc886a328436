//! The manifests of the tenant, each with what must become of it.

#![allow(
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "a table of manifests"
)]

use serde_json::{Value, json};
use steadfast_crds::{
    conditions::{ConditionType, Reason},
    names::{AGENT_LABEL, MANAGED_BY, MANAGED_BY_LABEL},
};
use steadfast_e2e::backend::cluster::namespace::{Namespace, SECRET};

use ConditionType::{Accepted, CredentialsResolved, Ready, ReferencesResolved, WorkersAvailable};

/// Part of the instructions of every Agent; no log line may hold it.
pub(super) const PRIVATE_TEXT: &str = "What this tenant tells its agents is private.";
/// More levels than the parser of our programs reads.
const TOO_DEEP: usize = 150;

pub(super) struct Manifest {
    pub kind: &'static str,
    pub name: &'static str,
    pub object: Value,
    pub expected: Expected,
}

/// What must become of a manifest.
#[derive(Clone, Copy)]
pub(super) enum Expected {
    /// The API server stores it, and it has this condition with this status and reason.
    Condition(ConditionType, &'static str, Reason),
    /// The API server refuses it with this text.
    Refused(&'static str),
    /// It is no object of ours and stays as it is.
    Stored,
}

const fn not_accepted(reason: Reason) -> Expected {
    Expected::Condition(Accepted, "False", reason)
}

/// All manifests. Most of them ask for no pods.
pub(super) fn all(namespace: &Namespace) -> Vec<Manifest> {
    let mut all = agents(namespace);
    all.extend(agents_with_pods(namespace));
    all.extend(tools(namespace));
    all.extend(foreign_objects(namespace));
    all
}

fn agent(namespace: &Namespace, name: &'static str, spec: Value, expected: Expected) -> Manifest {
    let mut whole = json!({
        "description": "Disturbs.",
        "instructions": PRIVATE_TEXT,
        "model": {"name": "m", "apiKeyEnvVar": ""},
        "worker": {"replicas": 0},
    });
    let members = whole.as_object_mut().unwrap();
    members.extend(spec.as_object().unwrap().clone());
    members.retain(|_, value| !value.is_null());
    object(namespace, "Agent", "agent", name, whole, expected)
}

fn tool(namespace: &Namespace, name: &'static str, spec: Value, expected: Expected) -> Manifest {
    let mut whole = json!({"description": PRIVATE_TEXT});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    object(namespace, "AgentTool", "agenttool", name, whole, expected)
}

fn object(
    namespace: &Namespace,
    type_: &str,
    kind: &'static str,
    name: &'static str,
    spec: Value,
    expected: Expected,
) -> Manifest {
    Manifest {
        kind,
        name,
        object: json!({
            "apiVersion": "steadfast.dev/v1alpha1",
            "kind": type_,
            "metadata": {"name": name, "namespace": namespace.name()},
            "spec": spec,
        }),
        expected,
    }
}

/// Objects inside each other.
fn nested(levels: usize) -> Value {
    (0..levels).fold(json!({}), |inner, _| json!({"a": inner}))
}

fn agents(namespace: &Namespace) -> Vec<Manifest> {
    let model = |settings: Value| json!({"model": {"name": "m", "apiKeyEnvVar": "", "settings": settings}});
    [
        (
            "whole-numbers",
            json!({"worker": {"replicas": 0, "resources": {"limits": {"cpu": 4, "memory": 8_589_934_592_i64}}}}),
            Expected::Condition(Ready, "True", Reason::ScaledToZero),
        ),
        (
            "too-deep",
            model(json!({"extraBody": nested(TOO_DEEP)})),
            not_accepted(Reason::Malformed),
        ),
        (
            "unknown-host",
            json!({"model": {"name": "m", "apiKeyEnvVar": "", "baseUrl": "https://no-such-host.invalid/v1"}}),
            Expected::Condition(Ready, "True", Reason::ScaledToZero),
        ),
        (
            "too-large",
            json!({"instructions": PRIVATE_TEXT.repeat(23_300)}),
            not_accepted(Reason::RevisionTooLarge),
        ),
        (
            "broken-template",
            json!({"instructions": "{{ user"}),
            not_accepted(Reason::InvalidTemplate),
        ),
        (
            "broken-expression",
            json!({"guardrails": {"input": [{"name": "g", "cel": "text.size() >"}]}}),
            not_accepted(Reason::InvalidExpression),
        ),
        (
            "broken-schedule",
            json!({"schedules": [{"name": "s", "cron": "tomorrow", "message": "Go."}]}),
            not_accepted(Reason::InvalidSchedule),
        ),
        (
            "broken-pod-template",
            json!({"worker": {"replicas": 0, "podTemplate": {"spec": {"containers": "none"}}}}),
            not_accepted(Reason::InvalidPodTemplate),
        ),
        (
            "missing-tool",
            json!({"tools": [{"tool": "no-such-tool"}]}),
            Expected::Condition(ReferencesResolved, "False", Reason::ToolNotFound),
        ),
        (
            "deep-tool-user",
            json!({"tools": [{"tool": "too-deep-tool"}]}),
            Expected::Condition(ReferencesResolved, "False", Reason::ToolNotAccepted),
        ),
        (
            "missing-agent",
            json!({"handoffs": [{"agent": "no-such-agent"}]}),
            Expected::Condition(ReferencesResolved, "False", Reason::AgentNotFound),
        ),
        (
            "missing-config-map",
            json!({"instructions": null, "instructionsFrom": {"configMapKeyRef": {"name": "none", "key": "k"}}}),
            Expected::Condition(ReferencesResolved, "False", Reason::ConfigMapNotFound),
        ),
        (
            "missing-secret",
            json!({"credentials": [{"envVarName": "TOKEN", "secretName": "none", "secretKey": "k"}]}),
            Expected::Condition(CredentialsResolved, "False", Reason::SecretNotFound),
        ),
        (
            "missing-variable",
            json!({"model": {"name": "m", "apiKeyEnvVar": "NOBODY_SETS_IT"}}),
            Expected::Condition(CredentialsResolved, "False", Reason::EnvVarNotProvided),
        ),
        (
            "reserved-variable",
            json!({"credentials": [{"envVarName": "TEMPORAL_ADDRESS", "secretName": SECRET, "secretKey": "api-key"}]}),
            Expected::Refused("envVarName"),
        ),
        (
            "negative-replicas",
            json!({"worker": {"replicas": -1}}),
            Expected::Refused("replicas"),
        ),
    ]
    .into_iter()
    .map(|(name, spec, expected)| agent(namespace, name, spec, expected))
    .collect()
}

fn agents_with_pods(namespace: &Namespace) -> Vec<Manifest> {
    let on_the_node = json!({"spec": {"hostPID": true}});
    [
        (
            "wrong-image",
            json!({"worker": {"image": "localhost/steadfast/worker:no-such-tag"}}),
            Expected::Condition(Ready, "False", Reason::ImagePullFailed),
        ),
        (
            "not-permitted",
            json!({"worker": {"podTemplate": on_the_node}}),
            Expected::Condition(Ready, "False", Reason::PodsNotCreated),
        ),
        (
            "taken",
            json!({}),
            Expected::Condition(WorkersAvailable, "False", Reason::NameTaken),
        ),
        (
            "taken-revision",
            json!({"worker": {"replicas": 0}}),
            Expected::Condition(WorkersAvailable, "False", Reason::NameTaken),
        ),
    ]
    .into_iter()
    .map(|(name, spec, expected)| agent(namespace, name, spec, expected))
    .collect()
}

fn tools(namespace: &Namespace) -> Vec<Manifest> {
    let activity = json!({"name": "act", "taskQueue": "tools"});
    [
        (
            "too-deep-tool",
            json!({"activity": activity, "parameters": {"properties": nested(TOO_DEEP)}}),
            not_accepted(Reason::Malformed),
        ),
        (
            "broken-schema",
            json!({"activity": activity, "parameters": {"properties": {"city": {"type": "text"}}}}),
            not_accepted(Reason::InvalidSchema),
        ),
        (
            "broken-url",
            json!({"http": {"url": "https://example.com/{{ city"}}),
            not_accepted(Reason::InvalidTemplate),
        ),
        ("no-kind", json!({}), Expected::Refused("exactly one")),
    ]
    .into_iter()
    .map(|(name, spec, expected)| tool(namespace, name, spec, expected))
    .collect()
}

/// A Deployment and an AgentRevision with our labels and the names of an Agent's, which belong to nobody.
fn foreign_objects(namespace: &Namespace) -> Vec<Manifest> {
    let labels = json!({MANAGED_BY_LABEL: MANAGED_BY, AGENT_LABEL: "taken"});
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "agent-taken", "namespace": namespace.name(), "labels": labels},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "mine"}},
            "template": {
                "metadata": {"labels": {"app": "mine"}},
                "spec": {"containers": [{"name": "mine", "image": "mine:1"}]},
            },
        },
    });
    let revision = json!({
        "apiVersion": "steadfast.dev/v1alpha1",
        "kind": "AgentRevision",
        "metadata": {"name": "taken-revision-1", "namespace": namespace.name()},
        "spec": {"agent": "taken-revision", "sequence": 1, "model": {"name": "m"}, "taskQueue": "of-somebody-else"},
    });
    let stored = |kind, name, object| Manifest {
        kind,
        name,
        object,
        expected: Expected::Stored,
    };
    vec![
        stored("deployment", "agent-taken", deployment),
        stored("agentrevision", "taken-revision-1", revision),
    ]
}
