//! The definitions of the resources as the API server gets them: what is derived from
//! the types, and what tools for GitOps need of them.
//!
//! - No default stands inside of a list. The API server would add it to the object, and a
//!   tool that merges a list as a whole, as Argo CD does for custom resources, would find
//!   the object changed for ever. The types have these defaults all the same; the
//!   description of the field tells them.
//! - `status` is never absent: kstatus, with which Flux and Helm 4 wait, would take an
//!   object that no operator has seen yet for one that is ready.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube_core::CustomResourceExt;
use serde_json::{Value, json};

/// The generation that no object has.
const NOT_OBSERVED: i64 = -1;

/// The definition of a resource.
#[must_use]
pub fn definition<K: CustomResourceExt>() -> CustomResourceDefinition {
    let mut definition = K::crd();
    for version in &mut definition.spec.versions {
        let schema = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut());
        let Some(schema) = schema else { continue };
        move_defaults(schema, Place::Object);
        if let Some(status) = schema.properties.as_mut().and_then(|fields| fields.get_mut("status")) {
            status.default = Some(JSON(json!({ "observedGeneration": NOT_OBSERVED })));
        }
    }
    definition
}

/// Where a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Object,
    List,
}

/// Moves the defaults of fields inside of lists into their descriptions.
fn move_defaults(schema: &mut JSONSchemaProps, place: Place) {
    if place == Place::List
        && let Some(JSON(default)) = schema.default.take()
    {
        let text = match default {
            Value::String(text) if text.is_empty() => "an empty text".to_owned(),
            Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        let description = schema.description.get_or_insert_default();
        if !description.is_empty() {
            description.push(' ');
        }
        description.extend(["Default: ", &text, "."]);
    }
    for field in schema.properties.iter_mut().flat_map(|fields| fields.values_mut()) {
        move_defaults(field, place);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(inner)) = &mut schema.additional_properties {
        move_defaults(inner, place);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => move_defaults(item, Place::List),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => {
            for item in items {
                move_defaults(item, Place::List);
            }
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Agent, AgentReferenceGrant, AgentRevision, AgentTool, WorkerPool, json_schema::structural_schema};

    fn schemas() -> [Value; 5] {
        [
            definition::<Agent>(),
            definition::<AgentTool>(),
            definition::<AgentRevision>(),
            definition::<WorkerPool>(),
            definition::<AgentReferenceGrant>(),
        ]
        .map(|definition| structural_schema(&definition))
    }

    fn defaults_in_lists(schema: &Value, path: &str, in_list: bool, found: &mut Vec<String>) {
        let Value::Object(members) = schema else { return };
        if in_list && members.contains_key("default") {
            found.push(path.to_owned());
        }
        if let Some(Value::Object(fields)) = members.get("properties") {
            for (name, field) in fields {
                defaults_in_lists(field, &format!("{path}.{name}"), in_list, found);
            }
        }
        if let Some(items) = members.get("items") {
            defaults_in_lists(items, &format!("{path}[]"), true, found);
        }
        if let Some(inner) = members.get("additionalProperties") {
            defaults_in_lists(inner, &format!("{path}{{}}"), in_list, found);
        }
    }

    #[test]
    fn no_default_stands_where_a_merge_replaces_a_list() {
        let mut found = Vec::new();
        for schema in schemas() {
            defaults_in_lists(&schema, "", false, &mut found);
        }
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn a_default_in_a_list_is_told_and_one_in_an_object_is_set() {
        let [agent, tool, ..] = schemas();
        let spec = &agent["properties"]["spec"]["properties"];
        let zone = spec["schedules"]["items"]["properties"]["timeZone"]["description"].as_str();
        assert!(zone.unwrap().ends_with(" Default: `UTC`."), "{zone:?}");
        assert_eq!(spec["limits"]["properties"]["maxQueuedMessages"]["default"], 100);
        assert_eq!(tool["properties"]["spec"]["properties"]["timeout"]["default"], "1m");
    }

    #[test]
    fn an_object_that_the_operator_has_not_seen_has_a_status_that_says_so() {
        let [agent, tool, revision, pool, grant] = schemas();
        for schema in [agent, tool, pool] {
            assert_eq!(
                schema["properties"]["status"]["default"],
                json!({ "observedGeneration": -1 })
            );
        }
        for schema in [revision, grant] {
            assert!(schema["properties"].get("status").is_none());
        }
    }
}
