//! Labels and owner references of the objects of an Agent or of a WorkerPool.

use std::collections::BTreeMap;

use kube::api::ObjectMeta;
use steadfast_crds::names::{MANAGED_BY, MANAGED_BY_LABEL};

use crate::agents::identity::WorkerOwner;

/// The labels of every object of an owner.
pub(super) fn labels(owner: &WorkerOwner) -> BTreeMap<String, String> {
    let name = owner.key.name.as_str();
    [
        (owner.kind.label(), name),
        (MANAGED_BY_LABEL, MANAGED_BY),
        ("app.kubernetes.io/name", "steadfast-worker"),
        ("app.kubernetes.io/instance", name),
        ("app.kubernetes.io/component", "worker"),
    ]
    .into_iter()
    .map(|(label, value)| (label.to_owned(), value.to_owned()))
    .collect()
}

/// The metadata of an object that Kubernetes deletes with its owner.
pub(super) fn owned_metadata(owner: &WorkerOwner, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(owner.key.namespace.clone()),
        labels: Some(labels(owner)),
        owner_references: Some(owner.owner_reference.iter().cloned().collect()),
        ..ObjectMeta::default()
    }
}
