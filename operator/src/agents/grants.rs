//! References of Agents to AgentTools and Agents in other namespaces: the grants that
//! permit them, and the Agents that a change of a grant or of an object concerns. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use steadfast_crds::{AgentReferenceGrantSpec, agent_reference_grant::ReferentKind};

use crate::kube::namespaced_name::NamespacedName;

/// An AgentTool or an Agent that an Agent refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Referent {
    /// Its kind.
    pub kind: ReferentKind,
    /// Its namespace and name.
    pub key: NamespacedName,
}

/// Why an object in another namespace may not be read. Neither says whether it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No grant permits the reference.
    NotPermitted,
    /// The operator does not watch the namespace.
    NotWatched,
}

/// All grants, by the namespace that they open.
#[derive(Debug, Default)]
pub(crate) struct Grants(HashMap<String, BTreeMap<String, AgentReferenceGrantSpec>>);

impl Grants {
    /// Replaces a grant, or removes it. Returns the one before.
    pub(crate) fn set(
        &mut self,
        key: &NamespacedName,
        grant: Option<AgentReferenceGrantSpec>,
    ) -> Option<AgentReferenceGrantSpec> {
        if let Some(grant) = grant {
            let namespace = self.0.entry(key.namespace.clone()).or_default();
            return namespace.insert(key.name.clone(), grant);
        }
        let namespace = self.0.get_mut(&key.namespace)?;
        let before = namespace.remove(&key.name);
        if namespace.is_empty() {
            self.0.remove(&key.namespace);
        }
        before
    }

    /// Whether an Agent in the namespace `from` may refer to an object in another namespace.
    pub(crate) fn permit(&self, from: &str, to: &Referent) -> bool {
        let grants = self.0.get(&to.key.namespace).into_iter().flat_map(BTreeMap::values);
        grants
            .into_iter()
            .any(|grant| grant.permits(from, to.kind, &to.key.name))
    }
}

/// What Agents refer to in other namespaces, in both directions.
#[derive(Debug, Default)]
pub(crate) struct ForeignReferences {
    of_agents: HashMap<NamespacedName, BTreeSet<Referent>>,
    /// By namespace, kind and name of what is referred to.
    dependents: HashMap<String, BTreeMap<(ReferentKind, String), BTreeSet<NamespacedName>>>,
}

impl ForeignReferences {
    /// Replaces the references of an Agent; an Agent that is gone has none.
    pub(crate) fn set(&mut self, agent: &NamespacedName, referents: BTreeSet<Referent>) {
        for before in self.of_agents.remove(agent).into_iter().flatten() {
            self.forget(agent, before);
        }
        if referents.is_empty() {
            return;
        }
        for Referent { kind, key } in referents.iter().cloned() {
            let namespace = self.dependents.entry(key.namespace).or_default();
            namespace.entry((kind, key.name)).or_default().insert(agent.clone());
        }
        self.of_agents.insert(agent.clone(), referents);
    }

    fn forget(&mut self, agent: &NamespacedName, Referent { kind, key }: Referent) {
        let Some(namespace) = self.dependents.get_mut(&key.namespace) else {
            return;
        };
        let object = (kind, key.name);
        if let Some(agents) = namespace.get_mut(&object) {
            agents.remove(agent);
            if agents.is_empty() {
                namespace.remove(&object);
            }
        }
        if namespace.is_empty() {
            self.dependents.remove(&key.namespace);
        }
    }

    /// The Agents in other namespaces that refer to an object.
    pub(crate) fn dependents(&self, referent: &Referent) -> Vec<NamespacedName> {
        let Referent { kind, key } = referent;
        let agents = self
            .dependents
            .get(&key.namespace)
            .and_then(|namespace| namespace.get(&(*kind, key.name.clone())));
        agents.into_iter().flatten().cloned().collect()
    }

    /// The Agents with a reference into `namespace` that one of the grants permits: those that the change of a grant
    /// from one to the other concerns.
    pub(crate) fn concerned(&self, namespace: &str, grants: &[AgentReferenceGrantSpec]) -> BTreeSet<NamespacedName> {
        let objects = self.dependents.get(namespace).into_iter().flatten();
        let pairs = objects.flat_map(|(object, agents)| agents.iter().map(move |agent| (object, agent)));
        let permitted = pairs.filter(|((kind, name), agent)| {
            let permits = |grant: &AgentReferenceGrantSpec| grant.permits(&agent.namespace, *kind, name);
            grants.iter().any(permits)
        });
        permitted.map(|(_, agent)| agent.clone()).collect()
    }

    /// The Agents with any reference into one of these namespaces.
    pub(crate) fn referring_to(&self, covers: impl Fn(&str) -> bool) -> BTreeSet<NamespacedName> {
        let namespaces = self.dependents.iter().filter(|(namespace, _)| covers(namespace));
        let agents = namespaces.flat_map(|(_, objects)| objects.values().flatten());
        agents.cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn grant(from: &str, to: &Value) -> AgentReferenceGrantSpec {
        serde_json::from_value(json!({ "from": [{ "kind": "Agent", "namespace": from }], "to": to })).unwrap()
    }

    fn tool(name: &str) -> Referent {
        Referent {
            kind: ReferentKind::AgentTool,
            key: NamespacedName::new("shop", name),
        }
    }

    fn agent(namespace: &str, name: &str) -> NamespacedName {
        NamespacedName::new(namespace, name)
    }

    #[test]
    fn a_grant_opens_its_own_namespace_only_and_until_it_is_removed() {
        let mut grants = Grants::default();
        assert!(!grants.permit("team-a", &tool("refund")));
        grants.set(
            &NamespacedName::new("other", "g"),
            Some(grant("team-a", &json!([{ "kind": "AgentTool" }]))),
        );
        assert!(!grants.permit("team-a", &tool("refund")));
        let key = NamespacedName::new("shop", "g");
        assert_eq!(
            grants.set(&key, Some(grant("team-a", &json!([{ "kind": "AgentTool" }])))),
            None
        );
        assert!(grants.permit("team-a", &tool("refund")));
        assert!(!grants.permit("team-b", &tool("refund")));
        assert!(grants.set(&key, None).is_some());
        assert!(!grants.permit("team-a", &tool("refund")));
    }

    #[test]
    fn grants_of_a_namespace_add_up_and_an_edit_replaces_the_one_before() {
        let mut grants = Grants::default();
        let named = |name: &str| Some(grant("team-a", &json!([{ "kind": "AgentTool", "name": name }])));
        grants.set(&NamespacedName::new("shop", "a"), named("refund"));
        grants.set(&NamespacedName::new("shop", "b"), named("invoice"));
        assert!(grants.permit("team-a", &tool("refund")) && grants.permit("team-a", &tool("invoice")));
        grants.set(&NamespacedName::new("shop", "a"), named("stock"));
        assert!(!grants.permit("team-a", &tool("refund")) && grants.permit("team-a", &tool("stock")));
    }

    #[test]
    fn a_change_of_a_grant_concerns_the_agents_that_it_permits_or_permitted_and_no_other() {
        let mut references = ForeignReferences::default();
        references.set(&agent("team-a", "one"), BTreeSet::from([tool("refund")]));
        references.set(&agent("team-a", "two"), BTreeSet::from([tool("invoice")]));
        references.set(&agent("team-b", "three"), BTreeSet::from([tool("refund")]));
        let refund = json!([{ "kind": "AgentTool", "name": "refund" }]);
        let concerned = |grants: &[AgentReferenceGrantSpec]| references.concerned("shop", grants);
        assert_eq!(
            concerned(&[grant("team-a", &refund)]),
            BTreeSet::from([agent("team-a", "one")])
        );
        assert_eq!(
            concerned(&[grant("team-a", &refund), grant("team-b", &refund)]),
            BTreeSet::from([agent("team-a", "one"), agent("team-b", "three")])
        );
        assert_eq!(
            references.concerned("other", &[grant("team-a", &refund)]),
            BTreeSet::new()
        );
    }

    #[test]
    fn an_agent_that_is_edited_or_gone_depends_on_nothing_that_it_named_before() {
        let mut references = ForeignReferences::default();
        let one = agent("team-a", "one");
        references.set(&one, BTreeSet::from([tool("refund"), tool("invoice")]));
        assert_eq!(references.dependents(&tool("refund")), std::slice::from_ref(&one));
        references.set(&one, BTreeSet::from([tool("invoice")]));
        assert_eq!(references.dependents(&tool("refund")), []);
        assert_eq!(
            references.referring_to(|namespace| namespace == "shop"),
            BTreeSet::from([one.clone()])
        );
        references.set(&one, BTreeSet::new());
        assert!(references.of_agents.is_empty() && references.dependents.is_empty());
    }
}
