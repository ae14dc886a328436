//! Schemas of fields whose content this API does not define.

use schemars::{Schema, SchemaGenerator, json_schema};

/// The syntax of a Kubernetes quantity: `250m`, `64Mi`, `1e3`.
const QUANTITY: &str = concat!(
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))",
    r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
);

/// Any JSON object; the API server keeps unknown fields in it.
pub(crate) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A map from resource name to quantity, written as a number or as text.
pub(crate) fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "x-kubernetes-int-or-string": true, "pattern": QUANTITY },
        "maxProperties": 16,
    })
}
