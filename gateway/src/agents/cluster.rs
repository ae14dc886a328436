//! Keeps the index equal to the Agents of a cluster by a watch.

use std::sync::{Arc, PoisonError, RwLock};

use kube::{Client, Resource as _};
use steadfast_crds::Agent;
use steadfast_watch::{Event, RawObject, Watch};
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

    fn apply(&mut self, event: Event<RawObject>) {
        let entry = |agent: &RawObject| AgentEntry::of_agent(&self.naming, agent);
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => self.listing = AgentIndex::default(),
            Event::InitApply(agent) => {
                if let Some(entry) = entry(&agent) {
                    self.listing.insert(entry);
                }
            }
            Event::InitDone => index.replace(self.namespace.as_deref(), std::mem::take(&mut self.listing)),
            Event::Apply(agent) => {
                if let Some(entry) = entry(&agent) {
                    index.insert(entry);
                }
            }
            Event::Delete(agent) => {
                if let Some(name) = AgentName::of_object(agent.meta()) {
                    index.remove(&name);
                }
            }
        }
    }
}

/// Runs until `stop`; a watch that breaks is started again. Calls `listed` whenever the index has all agents.
pub(super) async fn watch(client: Client, mut feed: IndexFeed, listed: impl Fn() + Send, stop: CancellationToken) {
    let all = Watch::all::<Agent>(client);
    let watch = match &feed.namespace {
        Some(namespace) => all.in_namespace(namespace),
        None => all,
    };
    let watch = watch.run(move |event| {
        let is_complete = matches!(event, Event::InitDone);
        feed.apply(event);
        if is_complete {
            listed();
        }
    });
    tokio::select! {
        () = stop.cancelled() => {}
        () = watch => {}
    }
}

#[cfg(test)]
mod tests {
    use Event::{Apply, Delete, Init, InitApply, InitDone};
    use serde_json::{Value, json};

    use super::*;

    fn agent(name: &str) -> RawObject {
        agent_with(
            name,
            &json!({"description": "", "instructions": "Write.", "model": {"name": "fake"}}),
        )
    }

    fn agent_with(name: &str, spec: &Value) -> RawObject {
        let agent = json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent",
            "metadata": {"name": name, "namespace": "default"}, "spec": spec,
        });
        serde_json::from_str(&agent.to_string()).unwrap()
    }

    fn naming() -> Naming {
        Naming {
            install_id: "test".to_owned(),
            default_namespace: "default".to_owned(),
        }
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
        let mut feed = IndexFeed::new(naming(), None, index.clone());
        let mut after = |events: Vec<Event<RawObject>>| {
            for event in events {
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
        let mut other = agent("there");
        other.meta_mut().namespace = Some("other".to_owned());
        let mut feeds =
            ["default", "other"].map(|namespace| IndexFeed::new(naming(), Some(namespace.to_owned()), index.clone()));
        for (feed, agent) in feeds.iter_mut().zip([agent("here"), other]) {
            for event in [Init, InitApply(agent), InitDone] {
                feed.apply(event);
            }
        }
        assert_eq!(names(&index), ["here", "there"]);
        for event in [Init, InitDone] {
            feeds[0].apply(event);
        }
        assert_eq!(names(&index), ["there"]);
    }

    #[test]
    fn an_agent_that_the_gateway_cannot_read_whole_hides_no_other_agent() {
        let index = Arc::new(RwLock::default());
        let mut feed = IndexFeed::new(naming(), None, index.clone());
        let unknown = agent_with(
            "unknown",
            &json!({"description": "Writes.", "model": "of a later version"}),
        );
        let deep = (0..300).fold(json!("deep"), |inner, _| json!([inner]));
        let model = json!({"name": "m", "settings": deep});
        let deep = agent_with("deep", &json!({"description": "Sinks.", "model": model}));
        let wrong = agent_with("wrong", &json!({"description": ["of a later version"]}));
        for event in [
            Init,
            InitApply(unknown),
            InitApply(deep),
            InitApply(wrong),
            InitApply(agent("good")),
            InitDone,
        ] {
            feed.apply(event);
        }
        assert_eq!(names(&index), ["deep", "good", "unknown", "wrong"]);
        let index = index.read().unwrap();
        let description = |name| {
            index
                .by_name(&AgentName::new("default", name))
                .unwrap()
                .description
                .clone()
        };
        assert_eq!(description("unknown"), "Writes.");
        assert_eq!(description("deep"), "Sinks.");
        assert_eq!(description("wrong"), "");
    }

    #[test]
    fn an_agent_has_the_names_of_its_model_its_tools_and_its_pool() {
        let spec = json!({
            "model": {"name": "gpt", "settings": {"temperature": 1}}, "workerPool": {"name": "shared"},
            "tools": [{"tool": "get-weather", "approval": {"required": true}}, {"agent": "researcher", "name": "ask"}, {}],
        });
        let entry = AgentEntry::of_agent(&naming(), &agent_with("a", &spec)).unwrap();
        assert_eq!(
            (entry.model.as_str(), entry.task_queue.as_str()),
            ("gpt", "test/default/pool/shared")
        );
        assert_eq!(entry.tools, ["get-weather", "researcher"]);
        for tools in [json!("of a later version"), json!([{"tool": 7}]), json!(null)] {
            let spec = json!({"model": {"name": "gpt"}, "tools": tools});
            let entry = AgentEntry::of_agent(&naming(), &agent_with("a", &spec)).unwrap();
            assert_eq!((entry.model.as_str(), entry.tools), ("gpt", Vec::new()), "{spec}");
        }
    }
}
