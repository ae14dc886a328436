//! Agents, AgentTools, WorkerPools and AgentReferenceGrants that are wrong, each with what becomes of it. An
//! API server with the operator, and `steadfast lint`, say the same of each.

mod agents;
mod grants;
mod pools;
mod refused_agents;
mod refused_tools;
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
    /// It is stored, and this condition is false for this reason, with a message that begins so.
    Unmet(ConditionType, Reason, &'static str),
}

/// All of them. Their Agents and WorkerPools ask for no pods.
pub fn all() -> Vec<BadManifest> {
    let refused = [
        refused_agents::by_names(),
        refused_agents::by_types(),
        refused_agents::by_bounds(),
        refused_agents::by_words(),
        refused_agents::by_rules(),
        refused_tools::by_schema(),
        refused_tools::by_rules(),
        pools::refused(),
        grants::refused_grants(),
    ];
    let unmet = [
        agents::invalid_text(),
        agents::invalid_schemas(),
        agents::invalid_behavior(),
        agents::unresolved(),
        agents::without_credentials(),
        agents::on_pools(),
        tools::invalid_schemas(),
        tools::invalid_text(),
        tools::impossible(),
        pools::unmet(),
    ];
    refused.into_iter().chain(unmet).flatten().collect()
}

/// Nested so deeply that the operator cannot decode them, and an Agent that refers to one. `steadfast lint` reads no
/// file with such an object.
pub fn too_deep() -> Vec<BadManifest> {
    [agents::too_deep(), tools::too_deep()].into_iter().flatten().collect()
}

/// Agents that are unusual, and right: each becomes ready without pods.
pub fn unusual() -> Vec<(&'static str, Value)> {
    let agents = [
        (
            "whole-numbers",
            json!({"worker": {"replicas": 0, "resources": {"limits": {"cpu": 4, "memory": 8_589_934_592_i64}}}}),
        ),
        (
            "unknown-host",
            json!({"model": {"name": "m", "apiKeyEnvVar": "", "baseUrl": "https://no-such-host.invalid/v1"}}),
        ),
        (
            "hands-off-to-itself",
            json!({"handoffs": [{"agent": "hands-off-to-itself"}]}),
        ),
        (
            "there",
            json!({"handoffs": [{"agent": "and-back"}], "tools": [{"agent": "and-back"}]}),
        ),
        (
            "and-back",
            json!({"handoffs": [{"agent": "there"}], "tools": [{"agent": "there"}]}),
        ),
        ("a-name-of-exactly-forty-characters-fits1", json!({})),
        (
            "words-of-many-scripts",
            json!({"description": "Ελληνικά, العربية, 日本語", "instructions": "e\u{301}🦀\u{202e}\r\n{{ user }}"}),
        ),
    ];
    let objects = agents.into_iter().map(|(name, spec)| (name, whole_agent(name, spec)));
    objects.collect()
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
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "unusable"}, "data": {
            "empty": "", "line-break": "Cg==", "bytes": "//79AA==", "nul": "YQBi",
        }}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "present"}, "data": {"key": "x"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "broken"}, "data": {"key": "{{ user"}}),
        // A line break takes two bytes in JSON: the revision is larger than the ConfigMap.
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"}, "data": {"key": "\n".repeat(600_000)}}),
        object("WorkerPool", "calm", &json!({"worker": {"replicas": 0}})),
        tool("get-time", json!({"activity": {"name": "a", "taskQueue": "q"}})),
        tool(
            "docs",
            json!({"mcp": {"url": "https://example.com", "prefix": "docs_", "tools": [{"name": "search"}]}}),
        ),
        tool("docs-search", json!({"activity": {"name": "a", "taskQueue": "q"}})),
        tool(
            "transfer-to-broken-template",
            json!({"activity": {"name": "a", "taskQueue": "q"}}),
        ),
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

fn whole_agent(name: &str, spec: Value) -> Value {
    let mut whole = json!({
        "description": "Disturbs.",
        "instructions": PRIVATE_TEXT,
        "model": {"name": "m", "apiKeyEnvVar": ""},
        "worker": {"replicas": 0},
    });
    extend(&mut whole, spec);
    object("Agent", name, &whole)
}

fn agent(name: &'static str, spec: Value, verdict: Verdict) -> BadManifest {
    bad("Agent", name, whole_agent(name, spec), verdict)
}

fn tool(name: &'static str, spec: Value, verdict: Verdict) -> BadManifest {
    let mut whole = json!({"description": PRIVATE_TEXT});
    extend(&mut whole, spec);
    bad("AgentTool", name, object("AgentTool", name, &whole), verdict)
}

fn pool(name: &'static str, spec: Value, verdict: Verdict) -> BadManifest {
    let mut whole = json!({"worker": {"replicas": 0}});
    extend(&mut whole, spec);
    bad("WorkerPool", name, object("WorkerPool", name, &whole), verdict)
}

const fn bad(kind: &'static str, name: &'static str, object: Value, verdict: Verdict) -> BadManifest {
    BadManifest {
        kind,
        name,
        object,
        verdict,
    }
}

/// Makes a manifest: its name, what its spec has besides that of a right one, and what becomes of it.
type Make = fn(&'static str, Value, Verdict) -> BadManifest;
/// A row of a table: name, spec, and what the message contains or begins with.
type Row = (&'static str, Value, &'static str);

fn table<const N: usize>(make: Make, rows: [(&'static str, Value, Verdict); N]) -> Vec<BadManifest> {
    rows.map(|(name, spec, verdict)| make(name, spec, verdict)).into()
}

/// A table of what the API server refuses.
fn refused<const N: usize>(make: Make, rows: [Row; N]) -> Vec<BadManifest> {
    table(
        make,
        rows.map(|(name, spec, message)| (name, spec, Verdict::Refused(message))),
    )
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

const fn not_accepted(reason: Reason, start: &'static str) -> Verdict {
    Verdict::Unmet(Accepted, reason, start)
}

const fn unresolved(reason: Reason, start: &'static str) -> Verdict {
    Verdict::Unmet(ReferencesResolved, reason, start)
}

const fn no_credential(reason: Reason, start: &'static str) -> Verdict {
    Verdict::Unmet(CredentialsResolved, reason, start)
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
        assert!(all.len() >= 100, "{}", all.len());
    }
}
