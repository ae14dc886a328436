//! An Agent that this version cannot read (made under a newer definition, say):
//! its status tells so, and nothing else of it is touched.

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
    agent_controller::context::Context,
    conditions::{Finding, merge},
    status_patch::{self, Target},
};

/// Writes the status of an unreadable Agent, unless it says so already.
pub async fn report(invalid: &InvalidObject, context: &Context) -> Result<(), kube::Error> {
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
    let message = format!("the Agent cannot be read: {invalid}");
    let findings = vec![
        Finding::fails(ConditionType::Accepted, Reason::Malformed, message.clone()),
        Finding::fails(ConditionType::Ready, Reason::Malformed, message),
        Finding::holds(
            ConditionType::Stalled,
            Reason::Malformed,
            "somebody has to act; see condition Ready",
        ),
    ];
    let conditions = merge(&previous.conditions, findings, metadata.generation, Timestamp::now());
    let status = AgentStatus {
        observed_generation: metadata.generation,
        conditions,
        ..previous.clone()
    };
    if status != previous {
        status_patch::write(&api, Target::new::<Agent>(metadata), &status).await?;
    }
    Ok(())
}
