//! AgentReferenceGrants that are wrong. They have no conditions: the API server refuses them.

use serde_json::{Value, json};

use super::{BadManifest, bad, object, refused};

fn grant(name: &'static str, spec: Value, verdict: super::Verdict) -> BadManifest {
    let mut grant = object("AgentReferenceGrant", name, &Value::Null);
    grant["spec"] = spec;
    bad("AgentReferenceGrant", name, grant, verdict)
}

/// By the API server.
pub(super) fn refused_grants() -> Vec<BadManifest> {
    [refused_lists(), refused_entries()].concat()
}

/// Lists that are missing, empty or too long.
fn refused_lists() -> Vec<BadManifest> {
    let agent = json!({"kind": "Agent", "namespace": "team-a"});
    let tools = json!({"kind": "AgentTool"});
    refused(
        grant,
        [
            ("grant-without-from", json!({"to": [tools]}), "spec"),
            ("grant-to-nobody", json!({"from": [], "to": [tools]}), "spec.from"),
            ("grant-of-nothing", json!({"from": [agent], "to": []}), "spec.to"),
            ("grant-without-to", json!({"from": [agent]}), "spec"),
            (
                "grant-to-too-many",
                json!({"from": vec![&agent; 17], "to": [tools]}),
                "spec.from",
            ),
            (
                "grant-of-too-many",
                json!({"from": [agent], "to": vec![&tools; 17]}),
                "spec.to",
            ),
        ],
    )
}

/// Entries of the lists.
fn refused_entries() -> Vec<BadManifest> {
    let from = |entry: Value| json!({"from": [entry], "to": [{"kind": "AgentTool"}]});
    let to = |entry: Value| json!({"from": [{"kind": "Agent", "namespace": "team-a"}], "to": [entry]});
    refused(
        grant,
        [
            (
                "grant-to-every-namespace",
                from(json!({"kind": "Agent", "namespace": "*"})),
                "spec.from[0].namespace",
            ),
            (
                "grant-to-no-namespace",
                from(json!({"kind": "Agent", "namespace": ""})),
                "spec.from[0].namespace",
            ),
            (
                "grant-without-a-namespace",
                from(json!({"kind": "Agent"})),
                "spec.from[0]",
            ),
            (
                "grant-to-pods",
                from(json!({"kind": "Pod", "namespace": "team-a"})),
                "spec.from[0].kind",
            ),
            (
                "grant-to-another-group",
                from(json!({"kind": "Agent", "group": "example.com", "namespace": "team-a"})),
                "spec.from[0].group",
            ),
            (
                "grant-by-labels",
                from(json!({"kind": "Agent", "namespace": "team-a", "selector": {}})),
                "unknown field \"spec.from[0].selector\"",
            ),
            ("grant-of-secrets", to(json!({"kind": "Secret"})), "spec.to[0].kind"),
            (
                "grant-of-a-config-map",
                to(json!({"kind": "ConfigMap", "name": "prompts"})),
                "spec.to[0].kind",
            ),
            (
                "grant-of-another-group",
                to(json!({"kind": "Agent", "group": "apps"})),
                "spec.to[0].group",
            ),
            (
                "grant-of-an-empty-name",
                to(json!({"kind": "Agent", "name": ""})),
                "spec.to[0].name",
            ),
            (
                "grant-of-a-long-name",
                to(json!({"kind": "Agent", "name": "a".repeat(64)})),
                "spec.to[0].name",
            ),
        ],
    )
}
