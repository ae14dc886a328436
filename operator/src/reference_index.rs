//! Which Agents name which Secret, ConfigMap, AgentTool or other Agent, so that a change to
//! one of those wakes exactly the Agents that use it. Pure; fed by the Agent watch.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use steadfast_crds::Agent;

use crate::{cache::ObjectKey, settings::Settings};

/// Something an Agent may name, in its own namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// A Secret.
    Secret(String),
    /// A ConfigMap.
    ConfigMap(String),
    /// An AgentTool.
    Tool(String),
    /// Another Agent, or the Agent itself.
    Agent(String),
}

/// What an Agent names, and what every worker of this install needs.
#[must_use]
pub fn references(agent: &Agent, settings: &Settings) -> BTreeSet<Reference> {
    let spec = &agent.spec;
    let own_secrets = spec.credentials.iter().map(|credential| &credential.secret_name);
    let common_secrets = settings
        .worker_secret_env
        .iter()
        .map(|variable| &variable.source.secret);
    let config_map = spec.instructions_from.iter().map(|from| &from.config_map_key_ref.name);
    own_secrets
        .chain(common_secrets)
        .cloned()
        .map(Reference::Secret)
        .chain(config_map.cloned().map(Reference::ConfigMap))
        .chain(named_tools(agent).cloned().map(Reference::Tool))
        .chain(named_agents(agent).cloned().map(Reference::Agent))
        .collect()
}

/// The AgentTools an Agent names.
pub fn named_tools(agent: &Agent) -> impl Iterator<Item = &String> {
    agent.spec.tools.iter().filter_map(|reference| reference.tool.as_ref())
}

/// The Agents an Agent names: those it asks, hands over to and is judged by.
pub fn named_agents(agent: &Agent) -> impl Iterator<Item = &String> {
    let spec = &agent.spec;
    let asked = spec.tools.iter().filter_map(|reference| reference.agent.as_ref());
    let taking_over = spec.handoffs.iter().map(|handoff| &handoff.agent);
    let checks = spec.guardrails.input.iter().chain(&spec.guardrails.output);
    asked
        .chain(taking_over)
        .chain(checks.filter_map(|check| check.agent.as_ref()))
}

/// Both directions: Agent to references and back.
#[derive(Debug, Default)]
pub struct ReferenceIndex {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    references: HashMap<ObjectKey, BTreeSet<Reference>>,
    dependents: HashMap<(String, Reference), BTreeSet<String>>,
    agents_per_namespace: HashMap<String, usize>,
}

impl ReferenceIndex {
    /// What an Agent names from now on.
    pub fn set(&self, agent: &ObjectKey, references: BTreeSet<Reference>) {
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
    pub fn remove(&self, agent: &ObjectKey) {
        self.lock().remove(agent);
    }

    /// The Agents that name `reference` in `namespace`.
    pub fn dependents(&self, namespace: &str, reference: Reference) -> Vec<ObjectKey> {
        let state = self.lock();
        let key = (namespace.to_owned(), reference);
        state
            .dependents
            .get(&key)
            .into_iter()
            .flatten()
            .map(|name| ObjectKey::new(namespace, name))
            .collect()
    }

    /// Whether any Agent is in `namespace`.
    pub fn has_agents(&self, namespace: &str) -> bool {
        self.lock().agents_per_namespace.contains_key(namespace)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, agent: &ObjectKey) {
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
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use serde_json::json;

    use super::*;

    #[test]
    fn an_agent_names_those_it_asks_hands_over_to_and_is_judged_by() {
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
        assert_eq!(named_tools(&agent).collect::<Vec<_>>(), ["t"]);
        assert_eq!(
            named_agents(&agent).collect::<Vec<_>>(),
            ["asked", "other", "judge", "proofreader"]
        );
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("team", name)
    }

    fn secret(name: &str) -> Reference {
        Reference::Secret(name.to_owned())
    }

    #[test]
    fn a_change_wakes_the_agents_that_name_it_and_no_other() {
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
    fn an_edited_agent_no_longer_depends_on_what_it_dropped() {
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
