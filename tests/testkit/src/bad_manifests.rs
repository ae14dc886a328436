//! Agents and AgentTools that are wrong, each with what becomes of it. An API
//! server with the operator, and `steadfast lint`, say the same of each.

mod agents;
mod tools;

use serde_json::{Value, json};
use steadfast_crds::conditions::{
    ConditionType::{self, Accepted, CredentialsResolved, ReferencesResolved},
    Reason,
};

/// Part of the instructions of every Agent and the description of every tool; no log line may hold it.
pub const PRIVATE_TEXT: &str = "What this tenant tells its agents is private.";

/// More levels than the parser of our programs reads.
const TOO_DEEP: usize = 150;

/// One object that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct BadManifest {
    /// For example `Agent`.
    pub kind: &'static str,
    /// The name of the object.
    pub name: &'static str,
    /// The object, without a namespace.
    pub object: Value,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What becomes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The API server refuses it with a message that contains this.
    Refused(&'static str),
    /// It is stored, and this condition is false for this reason.
    Unmet(ConditionType, Reason),
}

/// All of them. Their Agents ask for no pods.
pub fn all() -> Vec<BadManifest> {
    let agents = [
        agents::refused_by_schema(),
        agents::refused_by_rules(),
        agents::invalid_text(),
        agents::invalid_behavior(),
        agents::unresolved(),
        agents::without_credentials(),
    ];
    let tools = [tools::refused(), tools::not_accepted()];
    agents.into_iter().chain(tools).flatten().collect()
}

/// Nested so deeply that the operator cannot decode them, and an Agent that refers to one. `steadfast lint` reads no
/// file with such an object.
pub fn too_deep() -> Vec<BadManifest> {
    [agents::too_deep(), tools::too_deep()].into_iter().flatten().collect()
}

/// Valid objects that the others refer to, without a namespace.
pub fn surroundings() -> Vec<Value> {
    let tool = |name: &str, kind: Value| {
        let mut spec = json!({"description": PRIVATE_TEXT});
        extend(&mut spec, kind);
        object("AgentTool", name, &spec)
    };
    vec![
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "present"}, "stringData": {"key": "x"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "present"}, "data": {"key": "x"}}),
        tool("get-time", json!({"activity": {"name": "a", "taskQueue": "q"}})),
        tool("web-search", json!({"hosted": {"type": "web_search"}})),
        tool(
            "sends-token",
            json!({"http": {"url": "https://example.com/${env.NOT_PROVIDED}"}}),
        ),
        tool(
            "any-host",
            json!({
                "http": {"url": "https://{{ host }}/", "headers": [{"name": "A", "value": "${env.TOKEN}"}]},
            }),
        ),
    ]
}

fn agent(name: &'static str, spec: Value, verdict: Verdict) -> BadManifest {
    let mut whole = json!({
        "description": "Disturbs.",
        "instructions": PRIVATE_TEXT,
        "model": {"name": "m", "apiKeyEnvVar": ""},
        "worker": {"replicas": 0},
    });
    extend(&mut whole, spec);
    BadManifest {
        kind: "Agent",
        name,
        object: object("Agent", name, &whole),
        verdict,
    }
}

fn tool(name: &'static str, spec: Value, verdict: Verdict) -> BadManifest {
    let mut whole = json!({"description": PRIVATE_TEXT});
    extend(&mut whole, spec);
    BadManifest {
        kind: "AgentTool",
        name,
        object: object("AgentTool", name, &whole),
        verdict,
    }
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "steadfast.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// Sets the members of an object; null removes one.
fn extend(object: &mut Value, members: Value) {
    if let (Value::Object(object), Value::Object(members)) = (object, members) {
        object.extend(members);
        object.retain(|_, value| !value.is_null());
    }
}

/// Objects inside each other.
fn nested(levels: usize) -> Value {
    (0..levels).fold(json!({}), |inner, _| json!({"a": inner}))
}

const fn not_accepted(reason: Reason) -> Verdict {
    Verdict::Unmet(Accepted, reason)
}

const fn unresolved(reason: Reason) -> Verdict {
    Verdict::Unmet(ReferencesResolved, reason)
}

const fn no_credential(reason: Reason) -> Verdict {
    Verdict::Unmet(CredentialsResolved, reason)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_object_has_a_name_of_its_own() {
        let all = all();
        let names: BTreeSet<_> = all.iter().map(|bad| (bad.kind, bad.name)).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.len() >= 40, "{}", all.len());
    }
}
