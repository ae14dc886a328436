//! The fields of a definition that people edit, each by its path. Pure.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use crate::json_schema::structural_schema;

/// The paths of all leaves of `spec`: `spec.tools[].name` for a field of the items of a list, `spec.limits{}` for the
/// values of a map. An object whose content the schema does not define is a leaf.
#[must_use]
pub fn spec_fields(definition: &CustomResourceDefinition) -> Vec<String> {
    let mut fields = Vec::new();
    let schema = structural_schema(definition);
    collect(&schema["properties"]["spec"], "spec".to_owned(), &mut fields);
    fields
}

fn collect(schema: &Value, path: String, fields: &mut Vec<String>) {
    let properties = schema["properties"].as_object().filter(|fields| !fields.is_empty());
    if let Some(properties) = properties {
        for (name, field) in properties {
            collect(field, format!("{path}.{name}"), fields);
        }
    } else if schema["items"].is_object() {
        collect(&schema["items"], format!("{path}[]"), fields);
    } else if schema["additionalProperties"].is_object() {
        collect(&schema["additionalProperties"], format!("{path}{{}}"), fields);
    } else {
        fields.push(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Agent, definition};

    #[test]
    fn each_leaf_has_one_path_and_an_inner_node_has_none() {
        let fields = spec_fields(&definition::<Agent>());
        for leaf in [
            "spec.instructions",
            "spec.model.settings.extraBody",
            "spec.tools[].approval.required",
            "spec.hooks[].events[]",
            "spec.worker.resources.limits{}",
        ] {
            assert_eq!(fields.iter().filter(|field| *field == leaf).count(), 1, "{leaf}");
        }
        for inner in [
            "spec",
            "spec.model",
            "spec.tools",
            "spec.tools[]",
            "spec.hooks[].events",
        ] {
            assert!(!fields.iter().any(|field| field == inner), "{inner}");
        }
        assert!(fields.iter().all(|field| field.starts_with("spec.")));
    }
}
