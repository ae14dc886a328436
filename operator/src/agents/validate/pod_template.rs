//! Quantities of a pod template. Kubernetes accepts whole numbers for them
//! (`memory: 8589934592`); the type of the pod template knows text only.

use serde_json::{Map, Value};

/// The pod template as JSON, with its numeric quantities as text.
pub(super) fn with_quantities_as_text(template: &Map<String, Value>) -> Value {
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
