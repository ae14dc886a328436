//! Checks the user's part of a pod template. Kubernetes accepts whole numbers for its
//! quantities (`memory: 8589934592`); the type of the pod template knows text only.

mod reserved;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Map, Value};
use steadfast_crds::{agent::Credential, conditions::Reason, worker::WorkerSettings};

use crate::{agents::identity::WORKER_CONTAINER, settings::Settings, validation::ValidationError};

/// The pod template of the settings; adds an error if it is none, or changes what belongs to the operator.
pub(crate) fn check(
    worker: &WorkerSettings,
    credentials: &[Credential],
    settings: &Settings,
    errors: &mut Vec<ValidationError>,
) -> Option<PodTemplateSpec> {
    let template = &worker.pod_template;
    if template.is_empty() {
        return None;
    }
    let mut refuse = |message: String| {
        errors.push(ValidationError::not_accepted(Reason::InvalidPodTemplate, message));
        None
    };
    let overlay: PodTemplateSpec = match serde_json::from_value(with_quantities_as_text(template)) {
        Ok(overlay) => overlay,
        Err(error) => return refuse(format!("worker.podTemplate is not a pod template: {error}")),
    };
    let unnamed = overlay
        .spec
        .iter()
        .flat_map(|spec| &spec.containers)
        .any(|container| container.name.is_empty());
    if unnamed {
        return refuse(format!(
            "worker.podTemplate has a container without a name; the worker's is \"{WORKER_CONTAINER}\""
        ));
    }
    reserved::check(&overlay, worker, credentials, settings, errors);
    Some(overlay)
}

/// The pod template as JSON, with its numeric quantities as text.
fn with_quantities_as_text(template: &Map<String, Value>) -> Value {
    let mut template = Value::Object(template.clone());
    let Some(spec) = template.get_mut("spec") else {
        return template;
    };
    for containers in ["containers", "initContainers"] {
        for container in items(spec, containers) {
            amounts_as_text(container.pointer_mut("/resources/limits"));
            amounts_as_text(container.pointer_mut("/resources/requests"));
        }
    }
    amounts_as_text(spec.pointer_mut("/resources/limits"));
    amounts_as_text(spec.pointer_mut("/resources/requests"));
    amounts_as_text(spec.get_mut("overhead"));
    for volume in items(spec, "volumes") {
        if let Some(limit) = volume.pointer_mut("/emptyDir/sizeLimit") {
            as_text(limit);
        }
    }
    template
}

fn items<'a>(parent: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    parent
        .get_mut(field)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

fn amounts_as_text(amounts: Option<&mut Value>) {
    let amounts = amounts.and_then(Value::as_object_mut);
    amounts.into_iter().flatten().for_each(|(_, amount)| as_text(amount));
}

fn as_text(amount: &mut Value) {
    if amount.is_i64() {
        *amount = Value::String(amount.to_string());
    }
}
