//! The resource AgentReferenceGrant: which Agents of other namespaces may refer to the
//! Agents and AgentTools of this one, and the rule that decides it. Modelled on
//! ReferenceGrant of the Gateway API. It has no status.

use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::MAXIMUM_NAMESPACE_BYTES;

/// Which references from other namespaces are permitted. Without a grant, none is.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "steadfast.dev",
    version = "v1alpha1",
    kind = "AgentReferenceGrant",
    namespaced,
    derive = "PartialEq",
    shortname = "agtgrant",
    category = "steadfast",
    doc = "Permits Agents of other namespaces to refer to Agents and AgentTools of this namespace.",
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct AgentReferenceGrantSpec {
    /// Who may refer to what `to` lists: one match is enough. At most 16 entries; further grants add to this one.
    #[schemars(length(min = 1, max = 16))]
    pub from: Vec<GrantFrom>,
    /// What may be referred to, in the namespace of the grant: one match is enough. At most 16 entries.
    #[schemars(length(min = 1, max = 16))]
    pub to: Vec<GrantTo>,
}

/// The Agents of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantFrom {
    /// API group of what refers; `steadfast.dev` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GrantGroup>,
    /// Kind of what refers.
    pub kind: GrantFromKind,
    /// Namespace of what refers. There is no wildcard.
    #[schemars(length(min = 1, max = MAXIMUM_NAMESPACE_BYTES), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: String,
}

/// One object of the grant's namespace, or all of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantTo {
    /// API group of the object; `steadfast.dev` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GrantGroup>,
    /// Kind of the object.
    pub kind: ReferentKind,
    /// Name of the object; when absent, every object of the kind in this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub name: Option<String>,
}

/// The API group; `steadfast.dev` when absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GrantGroup {
    /// The group of Agents and AgentTools.
    #[serde(rename = "steadfast.dev")]
    Steadfast,
}

/// The kind of objects that refer to others in other namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GrantFromKind {
    /// An Agent: its `tools`, `handoffs` and `guardrails`.
    Agent,
}

/// The kind of an object that may be referred to from another namespace. Never a Secret or a ConfigMap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ReferentKind {
    /// An Agent: as a tool, in handoffs and as a judge.
    Agent,
    /// An AgentTool.
    AgentTool,
}

impl ReferentKind {
    /// The name of the kind.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "Agent",
            Self::AgentTool => "AgentTool",
        }
    }
}

impl AgentReferenceGrantSpec {
    /// Whether an Agent in the namespace `from` may refer to this object of the grant's namespace.
    #[must_use]
    pub fn permits(&self, from: &str, kind: ReferentKind, name: &str) -> bool {
        let names = |to: &GrantTo| to.name.as_deref().is_none_or(|only| only == name);
        self.from.iter().any(|entry| entry.namespace == from)
            && self.to.iter().any(|entry| entry.kind == kind && names(entry))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn grant(from: &[&str], to: &serde_json::Value) -> AgentReferenceGrantSpec {
        let from = from
            .iter()
            .map(|namespace| json!({ "kind": "Agent", "namespace": namespace }));
        serde_json::from_value(json!({ "from": from.collect::<Vec<_>>(), "to": to })).unwrap()
    }

    #[test]
    fn a_grant_without_a_name_permits_every_object_of_its_kind_and_no_other_kind() {
        let tools = grant(&["team-a"], &json!([{ "kind": "AgentTool" }]));
        assert!(tools.permits("team-a", ReferentKind::AgentTool, "refund"));
        assert!(!tools.permits("team-a", ReferentKind::Agent, "refund"));
        assert!(!tools.permits("team-b", ReferentKind::AgentTool, "refund"));
    }

    #[test]
    fn a_grant_with_a_name_permits_that_object_alone() {
        let refund = grant(&["team-a"], &json!([{ "kind": "AgentTool", "name": "refund" }]));
        assert!(refund.permits("team-a", ReferentKind::AgentTool, "refund"));
        for other in ["refunds", "refun", ""] {
            assert!(!refund.permits("team-a", ReferentKind::AgentTool, other), "{other}");
        }
    }

    #[test]
    fn one_entry_of_each_list_is_enough() {
        let two = grant(
            &["team-a", "team-b"],
            &json!([{ "kind": "Agent", "name": "desk" }, { "kind": "AgentTool" }]),
        );
        for from in ["team-a", "team-b"] {
            assert!(two.permits(from, ReferentKind::Agent, "desk"), "{from}");
            assert!(two.permits(from, ReferentKind::AgentTool, "any"), "{from}");
            assert!(!two.permits(from, ReferentKind::Agent, "any"), "{from}");
        }
        assert!(!two.permits("team", ReferentKind::Agent, "desk"));
    }

    #[test]
    fn a_grant_names_no_other_kind_and_no_other_group() {
        for to in [
            json!([{ "kind": "Secret" }]),
            json!([{ "kind": "ConfigMap" }]),
            json!([{ "kind": "Agent", "group": "example.com" }]),
        ] {
            let spec = json!({ "from": [{ "kind": "Agent", "namespace": "team-a" }], "to": to });
            assert!(serde_json::from_value::<AgentReferenceGrantSpec>(spec).is_err(), "{to}");
        }
        let group = json!([{ "group": "steadfast.dev", "kind": "Agent" }]);
        assert!(grant(&["team-a"], &group).permits("team-a", ReferentKind::Agent, "desk"));
    }
}
