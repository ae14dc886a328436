//! Keeps a watch going and hands on its events. Decides how long to wait after
//! an error, and which objects of a re-list are news; never ends by itself.

use std::{collections::BTreeSet, fmt::Debug};

use futures::StreamExt as _;
use kube::{
    Api, Client, Resource, ResourceExt,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt as _,
        reflector::{ObjectRef, store::Writer},
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;

use crate::cache::ObjectKey;

/// The namespaces one set of watches covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every namespace.
    Cluster,
    /// One namespace.
    Namespace(String),
}

impl Scope {
    /// The API of a kind within this scope.
    pub fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match self {
            Self::Cluster => Api::all(client.clone()),
            Self::Namespace(namespace) => Api::namespaced(client.clone(), namespace),
        }
    }
}

/// Watches until dropped. Errors are logged and waited out with growing pauses.
pub async fn follow<K>(api: Api<K>, config: watcher::Config, mut on_event: impl FnMut(Event<K>))
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let events = watcher::watcher(api, config)
        .default_backoff()
        // Nobody reads them, and they are often the largest part of an object.
        .modify(|object| object.managed_fields_mut().clear());
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => on_event(event),
            Err(error) => {
                tracing::warn!(kind = %K::kind(&()), error = &error as &dyn std::error::Error, "watch interrupted");
            }
        }
    }
}

/// Feeds the store that a controller reads its own objects from.
pub struct StoreFeed<K: Resource<DynamicType = ()> + Clone + 'static> {
    writer: Writer<K>,
    known: BTreeSet<ObjectKey>,
    listed: BTreeSet<ObjectKey>,
    news: Vec<ObjectKey>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> StoreFeed<K> {
    /// Feeds `writer`.
    #[must_use]
    pub fn new(writer: Writer<K>) -> Self {
        Self {
            writer,
            known: BTreeSet::new(),
            listed: BTreeSet::new(),
            news: vec![],
        }
    }

    /// Whether there is such an object.
    #[must_use]
    pub fn knows(&self, key: &ObjectKey) -> bool {
        self.known.contains(key)
    }

    /// Takes over one watch event; the objects it changed, added or removed.
    pub fn observe(&mut self, event: &Event<K>) -> Vec<ObjectKey> {
        let news = match event {
            Event::Apply(object) => {
                let key = ObjectKey::of(object);
                self.known.insert(key.clone());
                vec![key]
            }
            Event::Delete(object) => {
                let key = ObjectKey::of(object);
                self.known.remove(&key);
                vec![key]
            }
            Event::Init => {
                self.listed.clear();
                self.news.clear();
                vec![]
            }
            Event::InitApply(object) => {
                let key = ObjectKey::of(object);
                if !self.holds(&key, object) {
                    self.news.push(key.clone());
                }
                self.listed.insert(key);
                vec![]
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let mut news = std::mem::take(&mut self.news);
                news.extend(self.known.difference(&listed).cloned());
                self.known = listed;
                news
            }
        };
        self.writer.apply_watcher_event(event);
        news
    }

    fn holds(&self, key: &ObjectKey, object: &K) -> bool {
        let known = self
            .writer
            .as_reader()
            .get(&ObjectRef::new(&key.name).within(&key.namespace));
        known.is_some_and(|known| known.uid() == object.uid() && known.resource_version() == object.resource_version())
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Debug for StoreFeed<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreFeed")
            .field("known", &self.known.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{core::ObjectMeta, runtime::reflector};

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

    #[test]
    fn a_relist_is_news_only_for_what_changed_appeared_or_vanished() {
        let (store, writer) = reflector::store();
        let mut feed = StoreFeed::new(writer);
        let mut list = |objects: &[(&str, &str)]| {
            feed.observe(&Event::Init);
            for (name, version) in objects {
                feed.observe(&Event::InitApply(object(name, version)));
            }
            let news = feed.observe(&Event::InitDone);
            news.into_iter().map(|key| key.name).collect::<BTreeSet<_>>()
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(list(&[("a", "1"), ("b", "1"), ("c", "1")]), names(&["a", "b", "c"]));
        assert_eq!(list(&[("a", "1"), ("b", "2"), ("d", "1")]), names(&["b", "c", "d"]));
        assert_eq!(store.len(), 3);
    }
}
