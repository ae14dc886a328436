//! The newest revisions of each agent, fed by a watch. Of the older ones, which the
//! operator keeps for people, a process of a thousand agents must not hold a copy.
//! Does no IO.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use kube::ResourceExt as _;
use steadfast_crds::AgentRevision;
use steadfast_watch::Event;

/// How many are kept of each agent: the newest, and the one that takes its place when somebody deletes it.
const KEPT_REVISIONS: usize = 2;

/// The revisions of one agent by sequence number and name.
type NewestOfAgent = BTreeMap<(i64, String), Arc<AgentRevision>>;

/// The newest revisions by agent.
#[derive(Debug, Default)]
pub(crate) struct NewestRevisions(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    agents: BTreeMap<String, NewestOfAgent>,
    /// The revisions of a list that is not complete yet.
    listed: BTreeMap<String, NewestOfAgent>,
    synced: bool,
}

impl NewestRevisions {
    /// Takes in one event of the watch. A revision that `admits` refuses does not exist.
    pub(super) fn observe(&self, event: Event<AgentRevision>, admits: impl Fn(&AgentRevision) -> bool) {
        let mut state = self.write();
        match event {
            Event::Apply(revision) if admits(&revision) => insert(&mut state.agents, revision),
            Event::InitApply(revision) if admits(&revision) => insert(&mut state.listed, revision),
            Event::Apply(_) | Event::InitApply(_) => {}
            Event::Delete(revision) => {
                let agent = &revision.spec.agent;
                if let Some(kept) = state.agents.get_mut(agent) {
                    kept.remove(&key(&revision));
                    if kept.is_empty() {
                        state.agents.remove(agent);
                    }
                }
            }
            Event::Init => state.listed.clear(),
            Event::InitDone => {
                state.agents = std::mem::take(&mut state.listed);
                state.synced = true;
            }
        }
    }

    /// Adds a revision.
    pub(super) fn insert(&self, revision: AgentRevision) {
        insert(&mut self.write().agents, revision);
    }

    /// The newest revision of an agent.
    pub(super) fn newest(&self, agent: &str) -> Option<Arc<AgentRevision>> {
        self.read().agents.get(agent).and_then(newest)
    }

    /// The newest revision of each agent.
    pub(super) fn all(&self) -> Vec<Arc<AgentRevision>> {
        self.read().agents.values().filter_map(newest).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.read().agents.is_empty()
    }

    /// Whether the first list is complete.
    pub(super) fn is_synced(&self) -> bool {
        self.read().synced
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(revision: &AgentRevision) -> (i64, String) {
    (revision.spec.sequence, revision.name_any())
}

fn newest(kept: &NewestOfAgent) -> Option<Arc<AgentRevision>> {
    kept.last_key_value().map(|(_, revision)| revision.clone())
}

fn insert(agents: &mut BTreeMap<String, NewestOfAgent>, revision: AgentRevision) {
    let kept = agents.entry(revision.spec.agent.clone()).or_default();
    kept.insert(key(&revision), Arc::new(revision));
    while kept.len() > KEPT_REVISIONS {
        kept.pop_first();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn revision(agent: &str, sequence: u32) -> AgentRevision {
        let revision = json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "AgentRevision",
            "metadata": {"name": format!("{agent}-{sequence}"), "namespace": "default"},
            "spec": {"agent": agent, "sequence": sequence, "model": {"name": "m"}, "taskQueue": "q"},
        });
        serde_json::from_value(revision).unwrap()
    }

    fn observe(store: &NewestRevisions, event: Event<AgentRevision>) {
        store.observe(event, |_| true);
    }

    fn names(store: &NewestRevisions) -> Vec<String> {
        store.all().iter().map(|revision| revision.name_any()).collect()
    }

    #[test]
    fn of_many_revisions_the_newest_two_are_kept_and_the_second_follows_a_deleted_one() {
        let store = NewestRevisions::default();
        for sequence in [3, 10, 1, 9] {
            observe(&store, Event::Apply(revision("a", sequence)));
        }
        assert_eq!(store.read().agents["a"].len(), KEPT_REVISIONS);
        observe(&store, Event::Delete(revision("a", 1)));
        assert_eq!(names(&store), ["a-10"]);
        observe(&store, Event::Delete(revision("a", 10)));
        assert_eq!(names(&store), ["a-9"]);
        observe(&store, Event::Delete(revision("a", 9)));
        assert!(store.is_empty());
    }

    #[test]
    fn agents_come_and_go_while_the_watch_runs() {
        let store = NewestRevisions::default();
        let list = |agents: &[&str]| {
            observe(&store, Event::Init);
            for agent in agents {
                observe(&store, Event::InitApply(revision(agent, 1)));
            }
            observe(&store, Event::InitDone);
        };
        list(&["a", "b"]);
        observe(&store, Event::Apply(revision("c", 1)));
        assert_eq!(names(&store), ["a-1", "b-1", "c-1"]);
        observe(&store, Event::Delete(revision("b", 1)));
        assert_eq!(names(&store), ["a-1", "c-1"]);
        list(&["c", "d"]);
        assert_eq!(names(&store), ["c-1", "d-1"]);
    }

    #[test]
    fn a_revision_that_is_not_admitted_does_not_exist() {
        let store = NewestRevisions::default();
        store.observe(Event::Apply(revision("a", 1)), |_| false);
        assert!(store.newest("a").is_none());
    }
}
