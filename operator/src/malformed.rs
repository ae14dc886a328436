//! An Agent or AgentTool that this version of the operator cannot decode, for
//! instance one written under a newer definition: its status and an Event report
//! it, and nothing else of it is changed.

use k8s_openapi::{
    api::core::v1::ObjectReference,
    apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta},
    jiff::Timestamp,
};
use kube::{
    Client, Resource,
    core::{NamespaceResourceScope, error_boundary::InvalidObject},
    runtime::events::{Event, EventType},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use steadfast_crds::conditions::{ConditionType, Reason};

use crate::{
    conditions::{ConditionUpdate, STALLED_MESSAGE, find, merge},
    kube::{
        events,
        status_patch::{self, Target, Written},
    },
};

/// The part of an object that is read although the object as a whole cannot be decoded.
#[derive(Debug, Default, Deserialize)]
struct WithStatus {
    #[serde(default)]
    status: Map<String, Value>,
}

/// Writes the status of an object that cannot be decoded, unless it is written already, and announces it once.
pub(crate) async fn report<K>(invalid: &InvalidObject, client: &Client) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let metadata = &invalid.metadata;
    let target = Target::of::<K>(metadata);
    let Some(object) = target.fetch(client).await? else {
        return Ok(());
    };
    let previous = object.decode_part::<WithStatus>().unwrap_or_default().status;
    let previous_conditions = conditions_of(&previous);
    let message = format!("the {} cannot be decoded: {invalid}", K::kind(&()));
    let updates = vec![
        ConditionUpdate::not_met(ConditionType::Accepted, Reason::Malformed, message.clone()),
        ConditionUpdate::not_met(ConditionType::Ready, Reason::Malformed, message.clone()),
        ConditionUpdate::met(ConditionType::Stalled, Reason::Malformed, STALLED_MESSAGE),
    ];
    let conditions = merge(&previous_conditions, updates, metadata.generation, Timestamp::now());
    if conditions == previous_conditions {
        return Ok(());
    }
    let mut status = previous;
    status.insert("observedGeneration".to_owned(), json!(metadata.generation));
    status.insert("conditions".to_owned(), json!(conditions));
    let known = find(&previous_conditions, ConditionType::Accepted)
        .is_some_and(|accepted| accepted.reason == Reason::Malformed.as_str());
    if status_patch::write(client, &target, &status).await? == Written::Stored && !known {
        announce::<K>(metadata, message, client).await;
    }
    Ok(())
}

fn conditions_of(status: &Map<String, Value>) -> Vec<Condition> {
    let conditions = status.get("conditions").cloned().unwrap_or_default();
    serde_json::from_value(conditions).unwrap_or_default()
}

async fn announce<K: Resource<DynamicType = ()>>(metadata: &ObjectMeta, message: String, client: &Client) {
    let reference = ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        ..ObjectReference::default()
    };
    let event = Event {
        type_: EventType::Warning,
        reason: Reason::Malformed.as_str().to_owned(),
        note: Some(message),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    events::publish(client, &event, &reference).await;
}
