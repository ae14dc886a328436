//! The namespaces that watches cover, and objects that a watch delivers although
//! they cannot be decoded.

use std::fmt;

use kube::{
    Client, Resource,
    core::{DeserializeGuard, NamespaceResourceScope, error_boundary::InvalidObject},
    runtime::watcher::Event,
};
use serde::de::DeserializeOwned;
use steadfast_watch::{RawObject, Watch};

/// The namespaces that one set of watches covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchScope {
    /// Every namespace.
    Cluster,
    /// One namespace.
    Namespace(String),
}

impl WatchScope {
    /// The watch of one kind within this scope.
    pub(crate) fn watch<K>(&self, client: &Client) -> Watch
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        let all = Watch::all::<K>(client.clone());
        match self {
            Self::Cluster => all,
            Self::Namespace(namespace) => all.in_namespace(namespace),
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

impl fmt::Display for WatchScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("all namespaces"),
            Self::Namespace(namespace) => write!(f, "the namespace {namespace}"),
        }
    }
}

/// The event of an object that is reconciled also when it cannot be decoded, so that its status can say so.
pub(crate) fn guarded<K: Resource + DeserializeOwned>(event: Event<RawObject>) -> Event<DeserializeGuard<K>> {
    match event {
        Event::Apply(object) => Event::Apply(guard(&object)),
        Event::Delete(object) => Event::Delete(guard(&object)),
        Event::InitApply(object) => Event::InitApply(guard(&object)),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}

fn guard<K: Resource + DeserializeOwned>(object: &RawObject) -> DeserializeGuard<K> {
    DeserializeGuard(object.decode().map_err(|error| InvalidObject {
        error: error.to_string(),
        metadata: object.meta().clone(),
    }))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{StreamExt as _, channel::mpsc};
    use http::{Request, Response};
    use kube::{ResourceExt as _, client::Body};
    use serde_json::json;
    use steadfast_crds::Agent;

    use super::*;

    #[tokio::test]
    async fn a_list_with_one_good_and_one_malformed_agent_holds_both() {
        let agent = |name: &str, replicas: serde_json::Value| {
            json!({
                "metadata": { "name": name, "namespace": "team", "resourceVersion": "1" },
                "spec": { "instructions": "Answer.", "model": { "name": "m" }, "worker": { "replicas": replicas } },
            })
        };
        let list = json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "AgentList", "metadata": { "resourceVersion": "9" },
            "items": [agent("bad", json!("many")), agent("good", json!(1))],
        })
        .to_string();
        let service = tower::service_fn(move |request: Request<Body>| {
            let list = list.clone();
            async move {
                if request.uri().query().unwrap_or_default().contains("watch=true") {
                    return std::future::pending().await;
                }
                Ok::<_, Infallible>(Response::new(Body::from(list.into_bytes())))
            }
        });
        let (sender, receiver) = mpsc::unbounded();
        let watch = WatchScope::Cluster.watch::<Agent>(&Client::new(service, "team"));
        let run = watch.run(move |event| {
            let _ = sender.unbounded_send(guarded::<Agent>(event));
        });
        let events: Vec<_> = tokio::select! {
            () = run => unreachable!("a watch never ends"),
            events = receiver.take(4).collect() => events,
        };
        let Ok(
            [
                Event::Init,
                Event::InitApply(bad),
                Event::InitApply(good),
                Event::InitDone,
            ],
        ) = <[_; 4]>::try_from(events)
        else {
            panic!("other events");
        };
        assert_eq!((bad.name_any(), good.name_any()), ("bad".to_owned(), "good".to_owned()));
        assert_eq!(
            bad.0.unwrap_err().to_string(),
            "spec.worker.replicas: invalid type: string \"many\", expected i32"
        );
        assert_eq!(good.0.unwrap().spec.worker.replicas, Some(1));
    }
}
