//! One watch: the first list, the changes after it, and the list again when the
//! connection is lost for too long. Never ends by itself.

use std::borrow::Cow;

use futures::{Stream, StreamExt as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client, Resource,
    core::{ApiResource, DynamicResourceScope, NamespaceResourceScope},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use serde::{Deserialize, Deserializer};

use crate::RawObject;

/// Which objects are watched.
#[derive(Clone)]
pub struct Watch {
    client: Client,
    resource: ApiResource,
    namespace: Option<String>,
    labels: Option<String>,
    fields: Option<String>,
    metadata_only: bool,
}

impl Watch {
    /// All objects of the kind `K` in the cluster; of a [`PartialObjectMeta`](kube::core::PartialObjectMeta), the
    /// API server sends the metadata alone.
    #[must_use]
    pub fn all<K>(client: Client) -> Self
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Self {
            client,
            resource: ApiResource::erase::<K>(&()),
            namespace: None,
            labels: None,
            fields: None,
            metadata_only: K::metadata_api(),
        }
    }

    /// Only those in this namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// Only those with these labels: `name=value`, or `name` alone, separated by commas.
    #[must_use]
    pub fn with_labels(mut self, selector: &str) -> Self {
        self.labels = Some(selector.to_owned());
        self
    }

    /// Only the one of this name. A role that names its resources permits this watch.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.fields = Some(format!("metadata.name={name}"));
        self
    }

    /// The kind of the objects.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.resource.kind
    }

    /// Passes every event on, until it is dropped. Logs errors and tries again, with growing pauses.
    pub async fn run(self, mut on_event: impl FnMut(Event<RawObject>) + Send) {
        let kind = self.resource.kind.clone();
        let events = if self.metadata_only {
            self.events::<true>().boxed()
        } else {
            self.events::<false>().boxed()
        };
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => on_event(event),
                Err(error) => tracing::warn!(
                    kind,
                    error = &error as &dyn std::error::Error,
                    "the watch was interrupted; trying again"
                ),
            }
        }
    }

    fn events<const METADATA_ONLY: bool>(
        self,
    ) -> impl Stream<Item = Result<Event<RawObject>, watcher::Error>> + Send + 'static {
        let api: Api<WatchedObject<METADATA_ONLY>> = match &self.namespace {
            None => Api::all_with(self.client, &self.resource),
            Some(namespace) => Api::namespaced_with(self.client, namespace, &self.resource),
        };
        let config = watcher::Config {
            label_selector: self.labels,
            field_selector: self.fields,
            ..watcher::Config::default()
        };
        watcher::watcher(api, config)
            .default_backoff()
            .map(|event| event.map(raw))
    }
}

fn raw<const METADATA_ONLY: bool>(event: Event<WatchedObject<METADATA_ONLY>>) -> Event<RawObject> {
    match event {
        Event::Apply(object) => Event::Apply(object.0),
        Event::Delete(object) => Event::Delete(object.0),
        Event::InitApply(object) => Event::InitApply(object.0),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}

/// An object of a list or a watch. Its type tells kube which representation to ask the API server for.
#[derive(Clone, Debug)]
struct WatchedObject<const METADATA_ONLY: bool>(RawObject);

impl<'de, const METADATA_ONLY: bool> Deserialize<'de> for WatchedObject<METADATA_ONLY> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RawObject::deserialize(deserializer).map(Self)
    }
}

impl<const METADATA_ONLY: bool> Resource for WatchedObject<METADATA_ONLY> {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        RawObject::kind(resource)
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        RawObject::group(resource)
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        RawObject::version(resource)
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        RawObject::plural(resource)
    }

    fn metadata_api() -> bool {
        METADATA_ONLY
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.meta_mut()
    }
}

#[cfg(test)]
mod tests;
