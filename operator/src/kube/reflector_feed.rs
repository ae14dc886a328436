//! Feeds the reflector store from which a controller reads its own objects,
//! and decides which of them to reconcile after a watch event.

use std::fmt::Debug;

use kube::{
    Resource,
    runtime::{reflector::store::Writer, watcher::Event},
};

use crate::kube::{change_tracker::ChangeTracker, namespaced_name::NamespacedName};

/// The writing end of a reflector store.
pub(crate) struct ReflectorFeed<K: Resource<DynamicType = ()> + Clone + 'static> {
    writer: Writer<K>,
    tracker: ChangeTracker,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> ReflectorFeed<K> {
    /// A feed of the store that `writer` writes to.
    pub(crate) fn new(writer: Writer<K>) -> Self {
        Self {
            writer,
            tracker: ChangeTracker::default(),
        }
    }

    /// Whether the object exists.
    pub(crate) fn contains(&self, key: &NamespacedName) -> bool {
        self.tracker.contains(key)
    }

    /// Stores one watch event. Returns the objects that it added, changed or deleted.
    pub(crate) fn observe(&mut self, event: &Event<K>) -> Vec<NamespacedName> {
        let changed = self.tracker.observe(event);
        self.writer.apply_watcher_event(event);
        changed
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Debug for ReflectorFeed<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReflectorFeed").finish_non_exhaustive()
    }
}
