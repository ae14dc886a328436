//! Who sets the number of pods of a Deployment. Where the manifest leaves it out, the operator's apply does not touch it,
//! and whoever sets it has it: the autoscaler here under a field manager of its own, a HorizontalPodAutoscaler, KEDA or
//! a person.
//!
//! A field that its only owner stops applying falls back to its default, one pod. So the number is applied by the other
//! field manager before the manifest leaves it out.

use k8s_openapi::{api::apps::v1::Deployment, apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{
    MANAGER,
    agents::{context::Context, identity::WorkerOwner, scaling_state::SetBy},
};

/// The field manager of the number of pods.
const SCALER: &str = "steadfast-operator-scaling";
/// The number that the API server fills in.
const DEFAULT_REPLICAS: i32 = 1;

/// Keeps the number of pods of a Deployment before a manifest without it is applied. `existing` is the Deployment that is there.
pub(crate) async fn keep_replicas(
    context: &Context,
    owner: &WorkerOwner,
    desired: &Deployment,
    existing: Option<&Deployment>,
) -> Result<(), kube::Error> {
    let key = owner.as_key();
    if replicas_of(desired).is_some() {
        context.unmanaged_replicas.forget(&key);
        return Ok(());
    }
    let Some(existing) = existing else { return Ok(()) };
    let set_by = if context.scaling.has(&key) {
        SetBy::Autoscaler
    } else {
        SetBy::Others
    };
    let state = (existing.metadata.uid.clone(), set_by);
    if context.unmanaged_replicas.is_known(&key, &state) {
        return Ok(());
    }
    let now = replicas_of(existing).unwrap_or(DEFAULT_REPLICAS);
    // The number that the field falls back to needs nothing.
    if now != DEFAULT_REPLICAS {
        let api: Api<Deployment> = Api::namespaced(context.client.clone(), &owner.key.namespace);
        let live = api.get_metadata(&owner.worker_name()).await?;
        let managed = live.metadata.managed_fields.unwrap_or_default();
        if let Some(replicas) = replicas_to_keep(&managed, now, set_by) {
            set(context, owner, existing, replicas).await?;
        }
    }
    context.unmanaged_replicas.set(key, state);
    Ok(())
}

/// Sets the number of pods of the owner's Deployment, whoever set it before.
pub(super) async fn set(
    context: &Context,
    owner: &WorkerOwner,
    existing: &Deployment,
    replicas: i32,
) -> Result<(), kube::Error> {
    let api: Api<Deployment> = Api::namespaced(context.client.clone(), &owner.key.namespace);
    let number = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        // Another Deployment of that name is refused, and none is created.
        "metadata": { "name": owner.worker_name(), "uid": existing.metadata.uid },
        "spec": { "replicas": replicas },
    });
    let parameters = PatchParams::apply(SCALER).force();
    let mut written = api
        .patch(&owner.worker_name(), &parameters, &Patch::Apply(&number))
        .await?;
    // Ahead of the watch, so that the next poll does not see the number before.
    written.metadata.managed_fields = None;
    context.caches.deployments.insert(written);
    Ok(())
}

/// The number of pods in a Deployment.
pub(super) fn replicas_of(deployment: &Deployment) -> Option<i32> {
    deployment.spec.as_ref()?.replicas
}

/// The number that the field manager [`SCALER`] has to hold, if it has to change something.
fn replicas_to_keep(managed: &[ManagedFieldsEntry], now: i32, set_by: SetBy) -> Option<i32> {
    let owned_by = |manager: &str| managed.iter().any(|entry| owns_replicas(entry, manager));
    let is_abandoned = set_by == SetBy::Others && now == 0 && owned_by(SCALER);
    // Nobody would wake an Agent that had slept when its `autoscaling` was removed.
    (owned_by(MANAGER) || is_abandoned).then(|| now.max(DEFAULT_REPLICAS))
}

fn owns_replicas(entry: &ManagedFieldsEntry, manager: &str) -> bool {
    let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
    let has_replicas = fields.is_some_and(|fields| fields.pointer("/f:spec/f:replicas").is_some());
    has_replicas && entry.manager.as_deref() == Some(manager)
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    fn managed(manager: &str, fields: &serde_json::Value) -> ManagedFieldsEntry {
        serde_json::from_value(json!({ "manager": manager, "operation": "Apply", "fieldsV1": fields })).unwrap()
    }

    #[test]
    fn a_number_is_kept_once_and_never_taken_from_an_autoscaler_of_the_cluster() {
        let replicas = json!({ "f:spec": { "f:replicas": {} } });
        let others = json!({ "f:spec": { "f:template": {} } });
        let (ours, theirs) = (
            managed(MANAGER, &replicas),
            managed("kube-controller-manager", &replicas),
        );
        let rest = managed(MANAGER, &others);
        for set_by in [SetBy::Autoscaler, SetBy::Others] {
            assert_eq!(replicas_to_keep(from_ref(&ours), 3, set_by), Some(3));
            assert_eq!(replicas_to_keep(from_ref(&ours), 0, set_by), Some(1));
            assert_eq!(replicas_to_keep(&[rest.clone(), theirs.clone()], 3, set_by), None);
            assert_eq!(replicas_to_keep(&[rest.clone(), theirs.clone()], 0, set_by), None);
            assert_eq!(replicas_to_keep(&[], 3, set_by), None);
        }
        let asleep = managed(SCALER, &replicas);
        assert_eq!(replicas_to_keep(from_ref(&asleep), 0, SetBy::Autoscaler), None);
        assert_eq!(replicas_to_keep(from_ref(&asleep), 0, SetBy::Others), Some(1));
        assert_eq!(replicas_to_keep(&[asleep], 4, SetBy::Others), None);
    }
}
