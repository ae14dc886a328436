//! Labels and owner references of an Agent's objects.

use std::collections::BTreeMap;

use kube::api::ObjectMeta;
use steadfast_crds::names::{AGENT_LABEL, MANAGED_BY, MANAGED_BY_LABEL};

use crate::agents::identity::AgentIdentity;

/// The labels of every object of an Agent.
pub(super) fn labels(agent: &AgentIdentity) -> BTreeMap<String, String> {
    let name = agent.key.name.as_str();
    [
        (AGENT_LABEL, name),
        (MANAGED_BY_LABEL, MANAGED_BY),
        ("app.kubernetes.io/name", "steadfast-worker"),
        ("app.kubernetes.io/instance", name),
        ("app.kubernetes.io/component", "worker"),
    ]
    .into_iter()
    .map(|(label, value)| (label.to_owned(), value.to_owned()))
    .collect()
}

/// The metadata of an object that Kubernetes deletes with its Agent.
pub(super) fn owned_metadata(agent: &AgentIdentity, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(agent.key.namespace.clone()),
        labels: Some(labels(agent)),
        owner_references: Some(agent.owner_reference.iter().cloned().collect()),
        ..ObjectMeta::default()
    }
}
