//! Decides which objects a watch event changed.
//!
//! A watch lists all objects again after an interruption. Only an object that
//! is new, changed or deleted since the last list counts as changed, so that a
//! list of unchanged objects wakes nobody. kube's own filters do not see the
//! objects that a list no longer has. Pure.

use std::collections::HashMap;

use kube::{Resource, ResourceExt as _, runtime::watcher::Event};

use crate::kube::namespaced_name::NamespacedName;

/// The versions of all objects that a watch selects.
#[derive(Debug, Default)]
pub(crate) struct ChangeTracker {
    known: HashMap<NamespacedName, Version>,
    /// The objects of a list that is not complete yet.
    listed: HashMap<NamespacedName, Version>,
}

/// Uid and resource version of an object.
type Version = (Option<String>, Option<String>);

impl ChangeTracker {
    /// Records one watch event. Returns the objects that it added, changed or deleted.
    pub(crate) fn observe<K: Resource>(&mut self, event: &Event<K>) -> Vec<NamespacedName> {
        match event {
            Event::Apply(object) => {
                self.set(object);
                vec![NamespacedName::of(object)]
            }
            Event::Delete(object) => {
                let key = NamespacedName::of(object);
                self.known.remove(&key);
                vec![key]
            }
            Event::Init => {
                self.listed.clear();
                vec![]
            }
            Event::InitApply(object) => {
                self.listed.insert(NamespacedName::of(object), version(object));
                vec![]
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let before = std::mem::replace(&mut self.known, listed);
                let deleted = before.keys().filter(|key| !self.known.contains_key(*key));
                let new_or_changed = self.known.iter().filter(|(key, now)| before.get(*key) != Some(now));
                deleted.chain(new_or_changed.map(|(key, _)| key)).cloned().collect()
            }
        }
    }

    /// Records an object that this process has written, ahead of the watch.
    pub(crate) fn set<K: Resource>(&mut self, object: &K) {
        self.known.insert(NamespacedName::of(object), version(object));
    }

    /// Whether the object exists.
    pub(crate) fn contains(&self, key: &NamespacedName) -> bool {
        self.known.contains_key(key)
    }
}

fn version<K: Resource>(object: &K) -> Version {
    (object.uid(), object.resource_version())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::ObjectMeta;

    use super::*;

    fn object(name: &str, version: &str) -> ConfigMap {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some("team".to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        };
        ConfigMap {
            metadata,
            ..ConfigMap::default()
        }
    }

    fn list(tracker: &mut ChangeTracker, objects: &[(&str, &str)]) -> Vec<String> {
        assert_eq!(tracker.observe::<ConfigMap>(&Event::Init), []);
        for (name, version) in objects {
            assert_eq!(tracker.observe(&Event::InitApply(object(name, version))), []);
        }
        let changed = tracker.observe::<ConfigMap>(&Event::InitDone);
        let mut names: Vec<_> = changed.into_iter().map(|key| key.name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_list_changes_only_objects_that_are_new_changed_or_deleted() {
        let mut tracker = ChangeTracker::default();
        assert_eq!(
            list(&mut tracker, &[("a", "1"), ("b", "1"), ("c", "1")]),
            ["a", "b", "c"]
        );
        assert_eq!(
            list(&mut tracker, &[("a", "1"), ("b", "2"), ("d", "1")]),
            ["b", "c", "d"]
        );
        assert!(!tracker.contains(&NamespacedName::new("team", "c")));
    }

    #[test]
    fn a_list_that_begins_again_forgets_its_first_part() {
        let mut tracker = ChangeTracker::default();
        tracker.observe::<ConfigMap>(&Event::Init);
        tracker.observe(&Event::InitApply(object("a", "1")));
        assert_eq!(list(&mut tracker, &[("b", "1")]), ["b"]);
        assert!(!tracker.contains(&NamespacedName::new("team", "a")));
    }

    #[test]
    fn an_object_that_this_process_wrote_is_no_change_in_the_next_list() {
        let mut tracker = ChangeTracker::default();
        tracker.set(&object("a", "1"));
        assert_eq!(list(&mut tracker, &[("a", "1")]), [""; 0]);
    }
}
