//! The references of Agents to Secrets, ConfigMaps, AgentTools, WorkerPools and other
//! Agents, and those of WorkerPools to Secrets, in both directions: a change of an
//! object reconciles the objects that refer to it, and no other. Pure; fed by the
//! watches of Agents and WorkerPools, each with an index of its own. References to
//! other namespaces are few, and have an index of theirs ([`super::grants`]).

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use steadfast_crds::{Agent, WorkerPool, agent_reference_grant::ReferentKind};

use crate::{agents::grants::Referent, kube::namespaced_name::NamespacedName, settings::Settings};

/// An object that an Agent or a WorkerPool refers to, in its own namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reference {
    /// A Secret.
    Secret(String),
    /// A ConfigMap.
    ConfigMap(String),
    /// An AgentTool.
    Tool(String),
    /// Another Agent, or the Agent itself.
    Agent(String),
    /// The WorkerPool that runs the Agent.
    Pool(String),
}

/// The references of an Agent in its own namespace, with the Secrets that the workers of its own need.
pub(crate) fn references(agent: &Agent, settings: &Settings) -> BTreeSet<Reference> {
    let spec = &agent.spec;
    let config_map = spec.instructions_from.iter().map(|from| &from.config_map_key_ref.name);
    agent_secrets(agent, settings)
        .cloned()
        .map(Reference::Secret)
        .chain(spec.pool().map(|pool| Reference::Pool(pool.to_owned())))
        .chain(config_map.cloned().map(Reference::ConfigMap))
        .chain(own_referents(agent))
        .collect()
}

fn own_referents(agent: &Agent) -> impl Iterator<Item = Reference> {
    let own = NamespacedName::of(agent).namespace;
    let in_namespace = referents(agent)
        .into_iter()
        .filter(move |referent| referent.key.namespace == own);
    in_namespace.map(|Referent { kind, key }| match kind {
        ReferentKind::Agent => Reference::Agent(key.name),
        ReferentKind::AgentTool => Reference::Tool(key.name),
    })
}

/// The references of an Agent to other namespaces.
pub(crate) fn foreign_referents(agent: &Agent) -> BTreeSet<Referent> {
    let own = NamespacedName::of(agent).namespace;
    let all = referents(agent).into_iter();
    all.filter(|referent| referent.key.namespace != own).collect()
}

/// The references of a WorkerPool: the Secrets that its workers need.
pub(crate) fn pool_references(pool: &WorkerPool, settings: &Settings) -> BTreeSet<Reference> {
    pool_secrets(pool, settings).cloned().map(Reference::Secret).collect()
}

/// The Secrets that the workers of an Agent's own need; none for an Agent on a WorkerPool.
pub(crate) fn agent_secrets<'a>(agent: &'a Agent, settings: &'a Settings) -> impl Iterator<Item = &'a String> + Send {
    let credentials = agent.spec.credentials.iter().map(|credential| &credential.secret_name);
    let has_own_workers = agent.spec.worker_pool.is_none();
    let all = credentials.chain(settings.worker_secrets());
    all.filter(move |_| has_own_workers)
}

/// The Secrets that the workers of a WorkerPool need.
pub(crate) fn pool_secrets<'a>(
    pool: &'a WorkerPool,
    settings: &'a Settings,
) -> impl Iterator<Item = &'a String> + Send {
    let credentials = pool.spec.credentials.iter().map(|credential| &credential.secret_name);
    credentials.chain(settings.worker_secrets())
}

/// The AgentTools and the other Agents that an Agent refers to: as tools, in handoffs and as judges, in its own
/// namespace and in others.
pub(crate) fn referents(agent: &Agent) -> Vec<Referent> {
    let own = NamespacedName::of(agent).namespace;
    let referent = |kind, namespace: &Option<String>, name: &String| Referent {
        kind,
        key: NamespacedName::new(namespace.as_ref().unwrap_or(&own), name),
    };
    let spec = &agent.spec;
    let tools = spec.tools.iter().flat_map(|entry| {
        let tool = entry.tool.iter().map(|name| (ReferentKind::AgentTool, name));
        let agent = entry.agent.iter().map(|name| (ReferentKind::Agent, name));
        tool.chain(agent)
            .map(|(kind, name)| referent(kind, &entry.namespace, name))
    });
    let handoffs = spec.handoffs.iter();
    let handoffs = handoffs.map(|handoff| referent(ReferentKind::Agent, &handoff.namespace, &handoff.agent));
    let checks = spec.guardrails.input.iter().chain(&spec.guardrails.output);
    let judges = checks.filter_map(|check| {
        let agent = check.agent.as_ref()?;
        Some(referent(ReferentKind::Agent, &check.namespace, agent))
    });
    tools.chain(handoffs).chain(judges).collect()
}

/// The references of all Agents, or of all WorkerPools.
#[derive(Debug, Default)]
pub(crate) struct ReferenceIndex {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    references: HashMap<NamespacedName, BTreeSet<Reference>>,
    dependents: HashMap<(String, Reference), BTreeSet<String>>,
    objects_per_namespace: HashMap<String, usize>,
}

impl ReferenceIndex {
    /// Replaces the references of an object.
    pub(crate) fn set(&self, agent: &NamespacedName, references: BTreeSet<Reference>) {
        let mut state = self.lock();
        state.remove(agent);
        for reference in &references {
            state
                .dependents
                .entry((agent.namespace.clone(), reference.clone()))
                .or_default()
                .insert(agent.name.clone());
        }
        *state.objects_per_namespace.entry(agent.namespace.clone()).or_default() += 1;
        state.references.insert(agent.clone(), references);
    }

    /// Forgets an object that is gone.
    pub(crate) fn remove(&self, agent: &NamespacedName) {
        self.lock().remove(agent);
    }

    /// The objects in `namespace` with this reference.
    pub(crate) fn dependents(&self, namespace: &str, reference: Reference) -> Vec<NamespacedName> {
        let state = self.lock();
        let key = (namespace.to_owned(), reference);
        state
            .dependents
            .get(&key)
            .into_iter()
            .flatten()
            .map(|name| NamespacedName::new(namespace, name))
            .collect()
    }

    /// Whether `namespace` has any object.
    pub(crate) fn has_objects(&self, namespace: &str) -> bool {
        self.lock().objects_per_namespace.contains_key(namespace)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, agent: &NamespacedName) {
        let Some(references) = self.references.remove(agent) else {
            return;
        };
        for reference in references {
            let key = (agent.namespace.clone(), reference);
            if let Some(names) = self.dependents.get_mut(&key) {
                names.remove(&agent.name);
                if names.is_empty() {
                    self.dependents.remove(&key);
                }
            }
        }
        if let Some(count) = self.objects_per_namespace.get_mut(&agent.namespace) {
            *count -= 1;
            if *count == 0 {
                self.objects_per_namespace.remove(&agent.namespace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_references_are_tools_handoffs_and_judges_each_in_its_namespace() {
        let agent: Agent = serde_json::from_value(json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent",
            "metadata": { "name": "a", "namespace": "team" },
            "spec": {
                "instructions": "Answer.", "model": { "name": "m" },
                "tools": [{ "tool": "t" }, { "agent": "asked" }, { "tool": "t", "namespace": "shop" }],
                "handoffs": [{ "agent": "other" }, { "agent": "desk", "namespace": "shop" }],
                "guardrails": {
                    "input": [{ "name": "g", "agent": "judge" }, { "name": "h", "cel": "true" }],
                    "output": [
                        { "name": "g", "agent": "proofreader", "namespace": "shop" },
                        { "name": "i", "agent": "own", "namespace": "team" },
                    ],
                },
            },
        }))
        .unwrap();
        let tool = |name: &str| Reference::Tool(name.to_owned());
        let other = |name: &str| Reference::Agent(name.to_owned());
        let own: Vec<_> = own_referents(&agent).collect();
        assert_eq!(
            own,
            [tool("t"), other("asked"), other("other"), other("judge"), other("own")]
        );
        let foreign = foreign_referents(&agent).into_iter();
        let foreign: Vec<_> = foreign.map(|r| (r.kind.as_str(), r.key.to_string())).collect();
        let shop = |kind, name: &str| (kind, format!("shop/{name}"));
        assert_eq!(
            foreign,
            [
                shop("Agent", "desk"),
                shop("Agent", "proofreader"),
                shop("AgentTool", "t")
            ]
        );
    }

    fn key(name: &str) -> NamespacedName {
        NamespacedName::new("team", name)
    }

    fn secret(name: &str) -> Reference {
        Reference::Secret(name.to_owned())
    }

    #[test]
    fn the_dependents_of_an_object_are_the_agents_that_refer_to_it() {
        let index = ReferenceIndex::default();
        index.set(
            &key("a"),
            BTreeSet::from([secret("openai"), Reference::Tool("openai".to_owned())]),
        );
        index.set(&key("b"), BTreeSet::from([secret("openai"), secret("other")]));
        assert_eq!(index.dependents("team", secret("openai")), [key("a"), key("b")]);
        assert_eq!(
            index.dependents("team", Reference::Tool("openai".to_owned())),
            [key("a")]
        );
        assert_eq!(index.dependents("elsewhere", secret("openai")), []);
    }

    #[test]
    fn an_edited_agent_does_not_depend_on_a_removed_reference() {
        let index = ReferenceIndex::default();
        index.set(&key("a"), BTreeSet::from([secret("old")]));
        index.set(&key("a"), BTreeSet::from([secret("new")]));
        assert_eq!(index.dependents("team", secret("old")), []);
        assert_eq!(index.dependents("team", secret("new")), [key("a")]);
        index.remove(&key("a"));
        assert_eq!(index.dependents("team", secret("new")), []);
        assert!(!index.has_objects("team"));
    }
}
