//! What the API server refuses when an Agent, AgentTool, WorkerPool or AgentReferenceGrant is applied: its schema,
//! the rules in CEL, and (as kubectl does) fields that do not exist. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use jsonschema::{ValidationError, error::ValidationErrorKind};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::cel::{ValidationErrors, Validator};
use serde_json::Value;
use steadfast_crds::{json_schema, manifests::Manifest, user_definitions};

use super::Refused;

/// The most errors of one object; the first ones are the useful ones.
const MAXIMUM_ERRORS: usize = 20;
/// A message that is longer does not quote the value; a terminal shows this much in three lines.
const MAXIMUM_MESSAGE_BYTES: usize = 256;

/// The schemas of all kinds, compiled once for all manifests.
pub(super) struct Admission(BTreeMap<String, Schemas>);

struct Schemas {
    /// As the API server has it.
    structural: Value,
    /// Refuses unknown fields; or why the schema cannot be compiled.
    strict: Result<jsonschema::Validator, String>,
}

impl Schemas {
    fn of(definition: &CustomResourceDefinition) -> Self {
        let strict = jsonschema::draft7::new(&json_schema::resource_schema(definition));
        Self {
            structural: json_schema::structural_schema(definition),
            strict: strict.map_err(|error| error.to_string()),
        }
    }
}

impl Admission {
    pub(super) fn new() -> Self {
        let definitions = user_definitions().into_iter();
        Self(
            definitions
                .map(|definition| (definition.spec.names.kind.clone(), Schemas::of(&definition)))
                .collect(),
        )
    }

    /// Everything in an object of one of our kinds that the API server refuses.
    pub(super) fn check(&self, manifest: &Manifest) -> Vec<Refused> {
        let Some(schemas) = self.0.get(manifest.kind()) else {
            return vec![Refused::invalid("/kind", "there is no such kind")];
        };
        let mut refused: Vec<Refused> = check_name(manifest).into_iter().collect();
        match &schemas.strict {
            Ok(validator) => refused.extend(misfits(validator, &manifest.object)),
            Err(error) => refused.push(Refused::invalid("", error)),
        }
        repeated_keys(&schemas.structural, &manifest.object, "", &mut refused);
        if refused.is_empty() {
            // A rule looks at values of the right type.
            refused.extend(broken_rules(&schemas.structural, manifest));
        }
        refused
    }
}

fn check_name(manifest: &Manifest) -> Option<Refused> {
    let name = manifest.object["metadata"]["name"].as_str().unwrap_or_default();
    name.is_empty()
        .then(|| Refused::invalid("/metadata", "metadata.name is required"))
}

fn misfits(validator: &jsonschema::Validator, object: &Value) -> Vec<Refused> {
    validator
        .iter_errors(object)
        .take(MAXIMUM_ERRORS)
        .flat_map(|error| refusals(&error))
        .collect()
}

fn refusals(error: &ValidationError<'_>) -> Vec<Refused> {
    let pointer = error.instance_path().to_string();
    if let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() {
        let unknown = unexpected.iter().map(|name| {
            let path = field_path(&format!("{pointer}/{name}"));
            Refused {
                pointer: format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")),
                reason: "UnknownField",
                message: format!("unknown field \"{path}\""),
            }
        });
        return unknown.collect();
    }
    let path = field_path(&pointer);
    let mut told = error.to_string();
    if told.len() > MAXIMUM_MESSAGE_BYTES {
        // It quotes the value, which may be a list of a thousand tools.
        told = error.masked_with("the value").to_string();
    }
    vec![Refused::invalid(pointer, format!("{path}: {told}"))]
}

/// Lists that are maps by some of their members: no two items may have the same.
fn repeated_keys(schema: &Value, value: &Value, pointer: &str, refused: &mut Vec<Refused>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let inner = match &schema["properties"][name] {
                    Value::Null => &schema["additionalProperties"],
                    inner => inner,
                };
                repeated_keys(inner, member, &format!("{pointer}/{name}"), refused);
            }
        }
        Value::Array(items) => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array();
            let mut seen = BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                let pointer = format!("{pointer}/{index}");
                if let Some(keys) = keys {
                    let of_item = keys.iter().filter_map(Value::as_str).map(|key| item[key].to_string());
                    let of_item: Vec<String> = of_item.collect();
                    if !seen.insert(of_item.clone()) {
                        let message = format!("{}: duplicate value {}", field_path(&pointer), of_item.join(", "));
                        refused.push(Refused::invalid(pointer.clone(), message));
                    }
                }
                repeated_keys(&schema["items"], item, &pointer, refused);
            }
        }
        _ => {}
    }
}

/// As the API server does it: on the object with its defaults, whether the operator can decode it or not.
fn broken_rules(structural: &Value, manifest: &Manifest) -> Vec<Refused> {
    let result = Validator::new().validate(structural, &manifest.object, None);
    result.err().map(failures).unwrap_or_default()
}

fn failures(errors: ValidationErrors) -> Vec<Refused> {
    let failures = errors.into_vec().into_iter().map(|failure| {
        let message = if failure.field_path.is_empty() {
            failure.message
        } else {
            format!("{}: {}", failure.field_path, failure.message)
        };
        Refused::invalid(pointer(&failure.field_path), message)
    });
    failures.collect()
}

/// `/spec/tools/0/tool` → `spec.tools[0].tool`, as the API server writes it.
fn field_path(pointer: &str) -> String {
    let mut path = String::new();
    for segment in pointer.split('/').skip(1) {
        if segment.bytes().all(|byte| byte.is_ascii_digit()) && !segment.is_empty() {
            // Writing to a String does not fail.
            let _ = write!(path, "[{segment}]");
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&segment.replace("~1", "/").replace("~0", "~"));
        }
    }
    path
}

/// `spec.tools[0].tool` → `/spec/tools/0/tool`.
fn pointer(field_path: &str) -> String {
    let segments = field_path.split(['.', '[', ']']).filter(|segment| !segment.is_empty());
    segments.fold(String::new(), |pointer, segment| pointer + "/" + segment)
}
