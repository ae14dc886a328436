//! Agents by id and by name. Pure; a lookup neither copies nor scans the agents.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use uuid::Uuid;

use super::{AgentEntry, AgentName};

#[derive(Debug, Default)]
pub(super) struct AgentIndex {
    by_name: BTreeMap<AgentName, Arc<AgentEntry>>,
    by_id: HashMap<Uuid, Arc<AgentEntry>>,
}

impl AgentIndex {
    /// Adds an agent, or replaces the one with the same name.
    pub(super) fn insert(&mut self, agent: AgentEntry) {
        let agent = Arc::new(agent);
        self.by_id.insert(agent.id, agent.clone());
        self.by_name.insert(agent.name.clone(), agent);
    }

    /// Replaces the agents of a namespace, or all agents.
    pub(super) fn replace(&mut self, namespace: Option<&str>, listed: Self) {
        let Some(namespace) = namespace else {
            *self = listed;
            return;
        };
        let of_namespace = |name: &AgentName| name.namespace == namespace;
        self.by_name.retain(|name, _| !of_namespace(name));
        self.by_id.retain(|_, agent| !of_namespace(&agent.name));
        self.by_id.extend(listed.by_id);
        self.by_name.extend(listed.by_name);
    }

    pub(super) fn remove(&mut self, name: &AgentName) {
        if let Some(agent) = self.by_name.remove(name) {
            self.by_id.remove(&agent.id);
        }
    }

    pub(super) fn by_id(&self, id: Uuid) -> Option<Arc<AgentEntry>> {
        self.by_id.get(&id).cloned()
    }

    pub(super) fn by_name(&self, name: &AgentName) -> Option<Arc<AgentEntry>> {
        self.by_name.get(name).cloned()
    }

    /// Ordered by namespace and name.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<AgentEntry>> {
        self.by_name.values()
    }
}

impl FromIterator<AgentEntry> for AgentIndex {
    fn from_iter<I: IntoIterator<Item = AgentEntry>>(agents: I) -> Self {
        let mut index = Self::default();
        for agent in agents {
            index.insert(agent);
        }
        index
    }
}
