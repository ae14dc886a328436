//! The references of Agents to Secrets, ConfigMaps, AgentTools and other Agents,
//! in both directions: a change of an object reconciles the Agents that refer to
//! it, and no other. Pure; fed by the Agent watch.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use steadfast_crds::Agent;

use crate::{kube::namespaced_name::NamespacedName, settings::Settings};

/// An object that an Agent refers to, in its own namespace.
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
}

/// The references of an Agent, with the Secrets that every worker of this install needs.
pub(crate) fn references(agent: &Agent, settings: &Settings) -> BTreeSet<Reference> {
    let spec = &agent.spec;
    let agent_secrets = spec.credentials.iter().map(|credential| &credential.secret_name);
    let config_map = spec.instructions_from.iter().map(|from| &from.config_map_key_ref.name);
    agent_secrets
        .chain(settings.worker_secrets())
        .cloned()
        .map(Reference::Secret)
        .chain(config_map.cloned().map(Reference::ConfigMap))
        .chain(referenced_tools(agent).cloned().map(Reference::Tool))
        .chain(referenced_agents(agent).cloned().map(Reference::Agent))
        .collect()
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

/// The references of all Agents.
#[derive(Debug, Default)]
pub(crate) struct ReferenceIndex {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    references: HashMap<NamespacedName, BTreeSet<Reference>>,
    dependents: HashMap<(String, Reference), BTreeSet<String>>,
    agents_per_namespace: HashMap<String, usize>,
}

impl ReferenceIndex {
    /// Replaces the references of an Agent.
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
        *state.agents_per_namespace.entry(agent.namespace.clone()).or_default() += 1;
        state.references.insert(agent.clone(), references);
    }

    /// Forgets an Agent that is gone.
    pub(crate) fn remove(&self, agent: &NamespacedName) {
        self.lock().remove(agent);
    }

    /// The Agents in `namespace` with this reference.
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

    /// Whether `namespace` has any Agent.
    pub(crate) fn has_agents(&self, namespace: &str) -> bool {
        self.lock().agents_per_namespace.contains_key(namespace)
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
        if let Some(count) = self.agents_per_namespace.get_mut(&agent.namespace) {
            *count -= 1;
            if *count == 0 {
                self.agents_per_namespace.remove(&agent.namespace);
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
        assert!(!index.has_agents("team"));
    }
}
