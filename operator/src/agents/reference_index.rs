//! The references of Agents to Secrets, ConfigMaps, AgentTools, WorkerPools and other
//! Agents, and those of WorkerPools to Secrets, in both directions: a change of an
//! object reconciles the objects that refer to it, and no other. Pure; fed by the
//! watches of Agents and WorkerPools, each with an index of its own.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use steadfast_crds::{Agent, WorkerPool};

use crate::{kube::namespaced_name::NamespacedName, settings::Settings};

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

/// The references of an Agent, with the Secrets that the workers of its own need.
pub(crate) fn references(agent: &Agent, settings: &Settings) -> BTreeSet<Reference> {
    let spec = &agent.spec;
    let config_map = spec.instructions_from.iter().map(|from| &from.config_map_key_ref.name);
    agent_secrets(agent, settings)
        .cloned()
        .map(Reference::Secret)
        .chain(spec.pool().map(|pool| Reference::Pool(pool.to_owned())))
        .chain(config_map.cloned().map(Reference::ConfigMap))
        .chain(referenced_tools(agent).cloned().map(Reference::Tool))
        .chain(referenced_agents(agent).cloned().map(Reference::Agent))
        .collect()
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

/// The AgentTools that an Agent refers to.
pub(crate) fn referenced_tools(agent: &Agent) -> impl Iterator<Item = &String> {
    agent.spec.tools.iter().filter_map(|reference| reference.tool.as_ref())
}

/// The other Agents that an Agent refers to: as tools, in handoffs and as judges.
pub(crate) fn referenced_agents(agent: &Agent) -> impl Iterator<Item = &String> {
    let spec = &agent.spec;
    let tools = spec.tools.iter().filter_map(|reference| reference.agent.as_ref());
    let handoffs = spec.handoffs.iter().map(|handoff| &handoff.agent);
    let checks = spec.guardrails.input.iter().chain(&spec.guardrails.output);
    tools
        .chain(handoffs)
        .chain(checks.filter_map(|check| check.agent.as_ref()))
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
    fn the_referenced_agents_are_tools_handoffs_and_judges() {
        let agent: Agent = serde_json::from_value(json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent",
            "metadata": { "name": "a", "namespace": "team" },
            "spec": {
                "instructions": "Answer.", "model": { "name": "m" },
                "tools": [{ "tool": "t" }, { "agent": "asked" }],
                "handoffs": [{ "agent": "other" }],
                "guardrails": {
                    "input": [{ "name": "g", "agent": "judge" }, { "name": "h", "cel": "true" }],
                    "output": [{ "name": "g", "agent": "proofreader" }],
                },
            },
        }))
        .unwrap();
        assert_eq!(referenced_tools(&agent).collect::<Vec<_>>(), ["t"]);
        assert_eq!(
            referenced_agents(&agent).collect::<Vec<_>>(),
            ["asked", "other", "judge", "proofreader"]
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
