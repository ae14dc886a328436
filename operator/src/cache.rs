//! What the API server last said about one kind of object, fed by a watch.
//!
//! Decides which objects a watch event really touched, so that a re-list of
//! unchanged objects wakes nobody. Looked up by name, or by the Agent in the
//! object's label, never by scanning. Pure: it does no IO.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use kube::{Resource, ResourceExt, runtime::watcher::Event};
use steadfast_crds::names::AGENT_LABEL;
use tokio::sync::watch;

/// Namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// A key from its parts.
    #[must_use]
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key of a namespaced object.
    #[must_use]
    pub fn of<K: Resource>(object: &K) -> Self {
        Self::new(object.namespace().unwrap_or_default(), object.name_any())
    }

    /// The key of the Agent in the object's label.
    #[must_use]
    pub fn agent_of<K: Resource>(object: &K) -> Option<Self> {
        let agent = object.labels().get(AGENT_LABEL)?;
        Some(Self::new(object.namespace()?, agent.clone()))
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// All objects of one kind that a watch selects.
#[derive(Debug)]
pub struct Cache<K> {
    state: RwLock<State<K>>,
    synced: watch::Sender<bool>,
}

#[derive(Debug)]
struct State<K> {
    objects: HashMap<ObjectKey, Arc<K>>,
    by_agent: HashMap<ObjectKey, BTreeSet<String>>,
    /// What a list in progress has brought so far.
    listing: BTreeMap<ObjectKey, Arc<K>>,
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        let state = State {
            objects: HashMap::new(),
            by_agent: HashMap::new(),
            listing: BTreeMap::new(),
        };
        Self {
            state: RwLock::new(state),
            synced: watch::Sender::new(false),
        }
    }
}

impl<K: Resource> Cache<K> {
    /// Takes over one watch event; the objects it changed, added or removed.
    pub fn observe(&self, event: Event<K>) -> Vec<Arc<K>> {
        let mut state = self.write();
        match event {
            Event::Apply(object) => {
                let object = Arc::new(object);
                state.insert(Arc::clone(&object));
                vec![object]
            }
            Event::Delete(object) => {
                state.remove(&ObjectKey::of(&object));
                vec![Arc::new(object)]
            }
            Event::Init => {
                state.listing.clear();
                vec![]
            }
            Event::InitApply(object) => {
                state.listing.insert(ObjectKey::of(&object), Arc::new(object));
                vec![]
            }
            Event::InitDone => {
                let touched = state.finish_listing();
                drop(state);
                self.synced.send_replace(true);
                touched
            }
        }
    }

    /// Adds what was just written, ahead of the watch.
    pub fn insert(&self, object: K) {
        self.write().insert(Arc::new(object));
    }

    /// The object of that name.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.read().objects.get(key).cloned()
    }

    /// The objects that carry the Agent's label, by name.
    pub fn of_agent(&self, agent: &ObjectKey) -> Vec<Arc<K>> {
        let state = self.read();
        let Some(names) = state.by_agent.get(agent) else {
            return vec![];
        };
        names
            .iter()
            .filter_map(|name| state.objects.get(&ObjectKey::new(&agent.namespace, name)).cloned())
            .collect()
    }

    /// Every object.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.read().objects.values().cloned().collect()
    }

    /// Returns once the first list is complete.
    pub async fn wait_until_synced(&self) {
        // The sender lives as long as self: waiting cannot fail.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    fn read(&self) -> RwLockReadGuard<'_, State<K>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State<K>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Resource> State<K> {
    fn insert(&mut self, object: Arc<K>) {
        let key = ObjectKey::of(object.as_ref());
        self.remove(&key);
        if let Some(agent) = ObjectKey::agent_of(object.as_ref()) {
            self.by_agent.entry(agent).or_default().insert(key.name.clone());
        }
        self.objects.insert(key, object);
    }

    fn remove(&mut self, key: &ObjectKey) {
        let Some(old) = self.objects.remove(key) else { return };
        let Some(agent) = ObjectKey::agent_of(old.as_ref()) else {
            return;
        };
        if let Some(names) = self.by_agent.get_mut(&agent) {
            names.remove(&key.name);
            if names.is_empty() {
                self.by_agent.remove(&agent);
            }
        }
    }

    fn finish_listing(&mut self) -> Vec<Arc<K>> {
        let listing = std::mem::take(&mut self.listing);
        let gone: Vec<ObjectKey> = self
            .objects
            .keys()
            .filter(|key| !listing.contains_key(*key))
            .cloned()
            .collect();
        let mut touched: Vec<Arc<K>> = Vec::new();
        for key in gone {
            touched.extend(self.objects.get(&key).cloned());
            self.remove(&key);
        }
        for (key, object) in listing {
            let unchanged = self
                .objects
                .get(&key)
                .is_some_and(|known| same_version(known.as_ref(), object.as_ref()));
            if !unchanged {
                self.insert(Arc::clone(&object));
                touched.push(object);
            }
        }
        touched
    }
}

fn same_version<K: Resource>(a: &K, b: &K) -> bool {
    a.uid() == b.uid() && a.resource_version() == b.resource_version()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::ObjectMeta;

    use super::*;

    fn object(name: &str, agent: Option<&str>, version: &str) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some("team".to_owned()),
                resource_version: Some(version.to_owned()),
                labels: agent.map(|agent| BTreeMap::from([(AGENT_LABEL.to_owned(), agent.to_owned())])),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        }
    }

    fn names(objects: &[Arc<ConfigMap>]) -> Vec<String> {
        let mut names: Vec<_> = objects.iter().map(|o| o.name_any()).collect();
        names.sort();
        names
    }

    fn list(cache: &Cache<ConfigMap>, objects: Vec<ConfigMap>) -> Vec<String> {
        assert_eq!(names(&cache.observe(Event::Init)), Vec::<String>::new());
        for object in objects {
            assert_eq!(names(&cache.observe(Event::InitApply(object))), Vec::<String>::new());
        }
        names(&cache.observe(Event::InitDone))
    }

    #[test]
    fn a_relist_touches_only_what_changed_appeared_or_vanished() {
        let cache = Cache::default();
        let first = list(
            &cache,
            vec![object("a", None, "1"), object("b", None, "1"), object("c", None, "1")],
        );
        assert_eq!(first, ["a", "b", "c"]);
        let second = list(
            &cache,
            vec![object("a", None, "1"), object("b", None, "2"), object("d", None, "1")],
        );
        assert_eq!(second, ["b", "c", "d"]);
        assert!(cache.get(&ObjectKey::new("team", "c")).is_none());
    }

    #[test]
    fn objects_are_found_by_the_agent_in_their_label() {
        let cache = Cache::default();
        list(
            &cache,
            vec![object("a", Some("weather"), "1"), object("b", Some("haiku"), "1")],
        );
        cache.observe(Event::Apply(object("c", Some("weather"), "1")));
        let weather = ObjectKey::new("team", "weather");
        assert_eq!(names(&cache.of_agent(&weather)), ["a", "c"]);
        cache.observe(Event::Apply(object("a", Some("haiku"), "2")));
        assert_eq!(names(&cache.of_agent(&weather)), ["c"]);
        cache.observe(Event::Delete(object("c", Some("weather"), "3")));
        assert_eq!(names(&cache.of_agent(&weather)), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_cache_is_synced_once_the_first_list_is_complete() {
        let cache: Cache<ConfigMap> = Cache::default();
        assert!(!*cache.synced.borrow());
        list(&cache, vec![]);
        cache.wait_until_synced().await;
    }
}
