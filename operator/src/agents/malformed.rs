//! An Agent that this version of the operator cannot decode, for instance one
//! written under a newer definition: its status reports it, and nothing else of
//! it is changed.

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api,
    core::{ApiResource, DynamicObject, error_boundary::InvalidObject},
};
use steadfast_crds::{
    Agent, AgentStatus,
    conditions::{ConditionType, Reason},
};

use crate::{
    agents::context::Context,
    conditions::{ConditionUpdate, STALLED_MESSAGE, merge},
    kube::status_patch::{self, Target},
};

/// Writes the status of an Agent that cannot be decoded, unless it is written already.
pub(crate) async fn report(invalid: &InvalidObject, context: &Context) -> Result<(), kube::Error> {
    let metadata = &invalid.metadata;
    let (Some(name), Some(namespace)) = (&metadata.name, &metadata.namespace) else {
        return Ok(());
    };
    let resource = ApiResource::erase::<Agent>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), namespace, &resource);
    let Some(object) = api.get_opt(name).await? else {
        return Ok(());
    };
    let previous: AgentStatus = object
        .data
        .get("status")
        .and_then(|status| serde_json::from_value(status.clone()).ok())
        .unwrap_or_default();
    let message = format!("the Agent cannot be decoded: {invalid}");
    let updates = vec![
        ConditionUpdate::not_met(ConditionType::Accepted, Reason::Malformed, message.clone()),
        ConditionUpdate::not_met(ConditionType::Ready, Reason::Malformed, message),
        ConditionUpdate::met(ConditionType::Stalled, Reason::Malformed, STALLED_MESSAGE),
    ];
    let conditions = merge(&previous.conditions, updates, metadata.generation, Timestamp::now());
    let status = AgentStatus {
        observed_generation: metadata.generation,
        conditions,
        ..previous.clone()
    };
    if status != previous {
        status_patch::write(&api, Target::of::<Agent>(metadata), &status).await?;
    }
    Ok(())
}
