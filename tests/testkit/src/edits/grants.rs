//! References to another namespace, and the fields of an AgentReferenceGrant. They need two
//! namespaces, and are edited on a real API server only.

use super::{
    Edit,
    Effect::{self, Permission, Revision},
};

const PROOF: &str = "operator/tests/control_plane/grants.rs";

pub(super) fn edits() -> Vec<Edit> {
    let references = [
        "spec.tools[].namespace",
        "spec.handoffs[].namespace",
        "spec.guardrails.input[].namespace",
        "spec.guardrails.output[].namespace",
    ];
    let grants = [
        "spec.from[].group",
        "spec.from[].kind",
        "spec.from[].namespace",
        "spec.to[].group",
        "spec.to[].kind",
        "spec.to[].name",
    ];
    let references = references.map(|field| proven("Agent", field, Revision));
    let grants = grants.map(|field| proven("AgentReferenceGrant", field, Permission));
    references.into_iter().chain(grants).collect()
}

fn proven(kind: &'static str, field: &'static str, effect: Effect) -> Edit {
    Edit {
        kind,
        field,
        changes: Vec::new(),
        effect,
        proof: Some(PROOF),
    }
}
