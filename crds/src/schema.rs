//! Schema fragments for fields whose content is not ours to describe.

use schemars::{Schema, SchemaGenerator, json_schema};

/// Any JSON object; the API server keeps what is inside it.
pub fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A map from resource name to quantity, written as a number or as text.
pub fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "x-kubernetes-int-or-string": true },
        "maxProperties": 16,
    })
}
