//! Runs a watch and passes its events on. Decides how long to wait after an
//! error; never ends by itself.

use std::fmt::Debug;

use futures::StreamExt as _;
use kube::{
    Api, Client, Resource, ResourceExt,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;

/// The namespaces that one set of watches covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchScope {
    /// Every namespace.
    Cluster,
    /// One namespace.
    Namespace(String),
}

impl WatchScope {
    /// The API of one kind within this scope.
    pub(crate) fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match self {
            Self::Cluster => Api::all(client.clone()),
            Self::Namespace(namespace) => Api::namespaced(client.clone(), namespace),
        }
    }

    /// Whether the scope covers the namespace.
    pub(crate) fn covers(&self, namespace: &str) -> bool {
        match self {
            Self::Cluster => true,
            Self::Namespace(own) => own == namespace,
        }
    }
}

/// Watches until dropped. Logs errors and tries again, with growing pauses.
pub(crate) async fn run_watch<K>(api: Api<K>, config: watcher::Config, mut on_event: impl FnMut(Event<K>))
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
                tracing::warn!(
                    kind = %K::kind(&()),
                    error = &error as &dyn std::error::Error,
                    "the watch was interrupted; trying again"
                );
            }
        }
    }
}
