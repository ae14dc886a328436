//! Keeps the index equal to the Agents of a cluster by a watch.

use std::{
    pin::pin,
    sync::{Arc, PoisonError, RwLock},
};

use futures::StreamExt as _;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt as _, watcher},
};
use steadfast_crds::Agent;
use tokio_util::sync::CancellationToken;

use super::{AgentEntry, AgentName, Naming, index::AgentIndex};

/// Applies the events of one watch to the index.
pub(super) struct IndexFeed {
    naming: Naming,
    /// The namespace of the watch; all namespaces when absent.
    namespace: Option<String>,
    index: Arc<RwLock<AgentIndex>>,
    /// The agents of a list that is not complete yet; it replaces the index as a whole.
    listing: AgentIndex,
}

impl IndexFeed {
    pub(super) fn new(naming: Naming, namespace: Option<String>, index: Arc<RwLock<AgentIndex>>) -> Self {
        Self {
            naming,
            namespace,
            index,
            listing: AgentIndex::default(),
        }
    }

    fn apply(&mut self, event: &watcher::Event<Agent>) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            watcher::Event::Init => self.listing = AgentIndex::default(),
            watcher::Event::InitApply(agent) => {
                if let Some(entry) = AgentEntry::of_agent(&self.naming, agent) {
                    self.listing.insert(entry);
                }
            }
            watcher::Event::InitDone => index.replace(self.namespace.as_deref(), std::mem::take(&mut self.listing)),
            watcher::Event::Apply(agent) => {
                if let Some(entry) = AgentEntry::of_agent(&self.naming, agent) {
                    index.insert(entry);
                }
            }
            watcher::Event::Delete(agent) => {
                if let Some(name) = AgentName::of_object(&agent.metadata) {
                    index.remove(&name);
                }
            }
        }
    }
}

/// Runs until `stop`; a watch that breaks is started again. Calls `listed` whenever the index has all agents.
pub(super) async fn watch(client: Client, mut feed: IndexFeed, listed: impl Fn(), stop: CancellationToken) {
    let api: Api<Agent> = match &feed.namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let events = watcher(api, watcher::Config::default()).default_backoff();
    let mut events = pin!(events.take_until(stop.cancelled_owned()));
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                feed.apply(&event);
                if matches!(event, watcher::Event::InitDone) {
                    listed();
                }
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the watch on Agents failed and starts again"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
    use serde_json::json;

    use super::*;

    fn agent(name: &str) -> Agent {
        serde_json::from_value(json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent", "metadata": {"name": name, "namespace": "default"},
            "spec": {"description": "", "instructions": "Write.", "model": {"name": "fake"}},
        }))
        .unwrap()
    }

    fn names(index: &RwLock<AgentIndex>) -> Vec<String> {
        let index = index.read().unwrap();
        let names = index.iter().map(|agent| agent.name.name.clone()).collect();
        // Both indexes hold the same agents.
        assert!(index.iter().all(|agent| index.by_id(agent.id).as_ref() == Some(agent)));
        names
    }

    #[test]
    fn a_list_replaces_the_agents_when_it_is_complete_and_not_before() {
        let index = Arc::new(RwLock::default());
        let naming = Naming {
            install_id: "test".to_owned(),
            default_namespace: "default".to_owned(),
        };
        let mut feed = IndexFeed::new(naming, None, index.clone());
        let mut after = |events: Vec<watcher::Event<Agent>>| {
            for event in &events {
                feed.apply(event);
            }
            names(&index)
        };
        assert_eq!(after(vec![Init, InitApply(agent("b"))]), [""; 0]);
        assert_eq!(after(vec![InitApply(agent("a")), InitDone]), ["a", "b"]);
        assert_eq!(after(vec![Apply(agent("c")), Delete(agent("a"))]), ["b", "c"]);
        // After a watch that broke, an agent that the new list lacks is gone.
        assert_eq!(after(vec![Init, InitApply(agent("c"))]), ["b", "c"]);
        assert_eq!(after(vec![InitDone]), ["c"]);
    }

    #[test]
    fn a_list_of_one_namespace_leaves_the_agents_of_others() {
        let index = Arc::new(RwLock::default());
        let naming = Naming {
            install_id: "test".to_owned(),
            default_namespace: "default".to_owned(),
        };
        let mut other = agent("there");
        other.metadata.namespace = Some("other".to_owned());
        let mut feeds = ["default", "other"]
            .map(|namespace| IndexFeed::new(naming.clone(), Some(namespace.to_owned()), index.clone()));
        for (feed, agent) in feeds.iter_mut().zip([agent("here"), other]) {
            for event in [Init, InitApply(agent), InitDone] {
                feed.apply(&event);
            }
        }
        assert_eq!(names(&index), ["here", "there"]);
        for event in [Init, InitDone] {
            feeds[0].apply(&event);
        }
        assert_eq!(names(&index), ["there"]);
    }
}
