//! The objects of one kind as the API server last described them, fed by a watch.
//!
//! A lookup is by name or by the owner in the object's label, never a scan.
//! Does no IO.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use kube::{Resource, runtime::watcher::Event};
use tokio::sync::watch;

use crate::kube::{
    change_tracker::ChangeTracker,
    namespaced_name::NamespacedName,
    owner::{Owner, OwnerKind, owner_of},
};

/// All objects of one kind that a watch selects.
#[derive(Debug)]
pub(crate) struct ObjectCache<K> {
    state: RwLock<State<K>>,
    synced: watch::Sender<bool>,
}

#[derive(Debug)]
struct State<K> {
    tracker: ChangeTracker,
    objects: HashMap<NamespacedName, Arc<K>>,
    names_by_owner: HashMap<Owner, BTreeSet<String>>,
    /// The objects of a list that is not complete yet.
    listed: HashMap<NamespacedName, Arc<K>>,
}

impl<K> Default for ObjectCache<K> {
    fn default() -> Self {
        let state = State {
            tracker: ChangeTracker::default(),
            objects: HashMap::new(),
            names_by_owner: HashMap::new(),
            listed: HashMap::new(),
        };
        Self {
            state: RwLock::new(state),
            synced: watch::Sender::new(false),
        }
    }
}

impl<K: Resource> ObjectCache<K> {
    /// Stores one watch event. Returns the objects that it added, changed or deleted; of a deleted object, the last
    /// known state.
    pub(crate) fn observe(&self, event: Event<K>) -> Vec<Arc<K>> {
        let mut state = self.write();
        let changed = state.tracker.observe(&event);
        match event {
            Event::Apply(object) => {
                let object = Arc::new(object);
                state.insert(Arc::clone(&object));
                vec![object]
            }
            Event::Delete(object) => {
                state.remove(&NamespacedName::of(&object));
                vec![Arc::new(object)]
            }
            Event::Init => {
                state.listed.clear();
                vec![]
            }
            Event::InitApply(object) => {
                state.listed.insert(NamespacedName::of(&object), Arc::new(object));
                vec![]
            }
            Event::InitDone => {
                let changed = state.take_listed(&changed);
                drop(state);
                self.synced.send_replace(true);
                changed
            }
        }
    }

    /// Stores an object that this process has just written, ahead of the watch.
    pub(crate) fn insert(&self, object: K) {
        let mut state = self.write();
        state.tracker.set(&object);
        state.insert(Arc::new(object));
    }

    /// The object with that name.
    pub(crate) fn get(&self, key: &NamespacedName) -> Option<Arc<K>> {
        self.read().objects.get(key).cloned()
    }

    /// The objects that carry the owner's label, in the order of names.
    pub(crate) fn of_owner(&self, kind: OwnerKind, owner: &NamespacedName) -> Vec<Arc<K>> {
        let state = self.read();
        let Some(names) = state.names_by_owner.get(&(kind, owner.clone())) else {
            return vec![];
        };
        names
            .iter()
            .filter_map(|name| state.objects.get(&NamespacedName::new(&owner.namespace, name)).cloned())
            .collect()
    }

    /// Every object.
    pub(crate) fn all(&self) -> Vec<Arc<K>> {
        self.read().objects.values().cloned().collect()
    }

    /// Returns when the first list is complete.
    pub(crate) async fn wait_until_synced(&self) {
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
        let key = NamespacedName::of(object.as_ref());
        self.remove(&key);
        if let Some(owner) = owner_of(object.as_ref()) {
            self.names_by_owner.entry(owner).or_default().insert(key.name.clone());
        }
        self.objects.insert(key, object);
    }

    fn remove(&mut self, key: &NamespacedName) -> Option<Arc<K>> {
        let object = self.objects.remove(key)?;
        if let Some(owner) = owner_of(object.as_ref())
            && let Some(names) = self.names_by_owner.get_mut(&owner)
        {
            names.remove(&key.name);
            if names.is_empty() {
                self.names_by_owner.remove(&owner);
            }
        }
        Some(object)
    }

    /// Stores the changed objects of a complete list. Returns them, and the objects that the list no longer has.
    fn take_listed(&mut self, changed: &[NamespacedName]) -> Vec<Arc<K>> {
        let mut listed = std::mem::take(&mut self.listed);
        let mut objects = Vec::with_capacity(changed.len());
        for key in changed {
            match listed.remove(key) {
                Some(object) => {
                    self.insert(Arc::clone(&object));
                    objects.push(object);
                }
                None => objects.extend(self.remove(key)),
            }
        }
        objects
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{ResourceExt as _, core::ObjectMeta};
    use steadfast_crds::names::AGENT_LABEL;

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

    fn list(cache: &ObjectCache<ConfigMap>, objects: Vec<ConfigMap>) -> Vec<String> {
        assert_eq!(names(&cache.observe(Event::Init)), Vec::<String>::new());
        for object in objects {
            assert_eq!(names(&cache.observe(Event::InitApply(object))), Vec::<String>::new());
        }
        names(&cache.observe(Event::InitDone))
    }

    #[test]
    fn a_list_replaces_what_is_known_and_returns_what_changed() {
        let cache = ObjectCache::default();
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
        assert_eq!(names(&cache.all()), ["a", "b", "d"]);
        assert!(cache.get(&NamespacedName::new("team", "c")).is_none());
    }

    #[test]
    fn objects_are_found_by_the_agent_in_their_label() {
        let cache = ObjectCache::default();
        list(
            &cache,
            vec![object("a", Some("weather"), "1"), object("b", Some("haiku"), "1")],
        );
        cache.observe(Event::Apply(object("c", Some("weather"), "1")));
        let weather = NamespacedName::new("team", "weather");
        assert_eq!(names(&cache.of_owner(OwnerKind::Agent, &weather)), ["a", "c"]);
        cache.observe(Event::Apply(object("a", Some("haiku"), "2")));
        assert_eq!(names(&cache.of_owner(OwnerKind::Agent, &weather)), ["c"]);
        cache.observe(Event::Delete(object("c", Some("weather"), "3")));
        assert_eq!(names(&cache.of_owner(OwnerKind::Agent, &weather)), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_cache_is_synced_once_the_first_list_is_complete() {
        let cache: ObjectCache<ConfigMap> = ObjectCache::default();
        assert!(!*cache.synced.borrow());
        list(&cache, vec![]);
        cache.wait_until_synced().await;
    }
}
