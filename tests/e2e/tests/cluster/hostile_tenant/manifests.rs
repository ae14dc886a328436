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
use steadfast_e2e::backend::cluster::namespace::Namespace;
use steadfast_testkit::bad_manifests::{self, BadManifest, PRIVATE_TEXT, Verdict};

use ConditionType::{Ready, WorkersAvailable};

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

/// All manifests. Most of them ask for no pods.
pub(super) fn all(namespace: &Namespace) -> Vec<Manifest> {
    let mut all: Vec<Manifest> = bad_manifests::all()
        .into_iter()
        .chain(bad_manifests::too_deep())
        .map(|bad| wrong(namespace, bad))
        .collect();
    all.extend(agents(namespace));
    all.extend(agents_with_pods(namespace));
    all.extend(foreign_objects(namespace));
    all
}

fn wrong(namespace: &Namespace, bad: BadManifest) -> Manifest {
    let BadManifest {
        kind,
        name,
        mut object,
        verdict,
    } = bad;
    object["metadata"]["namespace"] = namespace.name().into();
    Manifest {
        kind: match kind {
            "Agent" => "agent",
            "WorkerPool" => "workerpool",
            "AgentReferenceGrant" => "agentreferencegrant",
            _ => "agenttool",
        },
        name,
        object,
        expected: match verdict {
            Verdict::Refused(text) => Expected::Refused(text),
            Verdict::Unmet(condition, reason, _) => Expected::Condition(condition, "False", reason),
        },
    }
}

fn agent(namespace: &Namespace, name: &'static str, spec: Value, expected: Expected) -> Manifest {
    let mut whole = json!({
        "description": "Disturbs.",
        "instructions": PRIVATE_TEXT,
        "model": {"name": "m", "apiKeyEnvVar": ""},
        "worker": {"replicas": 0},
    });
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    Manifest {
        kind: "agent",
        name,
        object: json!({
            "apiVersion": "steadfast.dev/v1alpha1",
            "kind": "Agent",
            "metadata": {"name": name, "namespace": namespace.name()},
            "spec": whole,
        }),
        expected,
    }
}

/// They are unusual, and right.
fn agents(namespace: &Namespace) -> Vec<Manifest> {
    let agents = bad_manifests::unusual().into_iter().map(|(name, mut object)| {
        object["metadata"]["namespace"] = namespace.name().into();
        Manifest {
            kind: "agent",
            name,
            object,
            expected: Expected::Condition(Ready, "True", Reason::ScaledToZero),
        }
    });
    agents.collect()
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
