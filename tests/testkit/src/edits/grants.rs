//! The fields of an AgentReferenceGrant, and references to another namespace. The Agents that a grant concerns are in other
//! namespaces, so that nothing in its own changes.

use serde_json::{Value, json};

use super::{
    Edit,
    Effect::{Permission, Refused, Revision},
    Proof, same,
};

const KIND: &str = "AgentReferenceGrant";
/// It edits all references at once, in two namespaces.
const PROOF: Proof = Proof {
    file: "operator/tests/control_plane/grants.rs",
    test: "agents_of_another_namespace_are_tools_handoffs_and_judges_with_a_grant",
};

pub(super) fn edits() -> Vec<Edit> {
    let references = [
        "spec.tools[].namespace",
        "spec.handoffs[].namespace",
        "spec.guardrails.input[].namespace",
        "spec.guardrails.output[].namespace",
    ];
    let references = references.map(|field| Edit {
        proof: Some(PROOF),
        ..Edit::new("Agent", field, json!("shop"), Revision)
    });
    let grants = same(
        KIND,
        Permission,
        [
            ("spec.from[].group", Value::Null),
            ("spec.from[].namespace", json!("third-team")),
            ("spec.to[].group", Value::Null),
            ("spec.to[].kind", json!("Agent")),
            ("spec.to[].name", json!("by-http")),
        ],
    );
    let other_kind = Edit::new(KIND, "spec.from[].kind", json!("AgentTool"), Refused("\"AgentTool\""));
    references.into_iter().chain(grants).chain([other_kind]).collect()
}
