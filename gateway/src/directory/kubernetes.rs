//! Keeps the Agents of a cluster in memory by a watch.

use futures::StreamExt as _;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt as _, reflector, watcher},
};
use steadfast_crds::Agent;
use tokio_util::sync::CancellationToken;

/// Starts the watch; the store fills as answers come and outlives an API server that goes away.
pub fn watch(client: Client, stop: CancellationToken) -> reflector::Store<Agent> {
    let (store, writer) = reflector::store();
    let agents = Api::<Agent>::all(client);
    let watch = reflector(writer, watcher(agents, watcher::Config::default()).default_backoff());
    tokio::spawn(async move {
        let mut watch = std::pin::pin!(watch.take_until(stop.cancelled_owned()));
        while let Some(event) = watch.next().await {
            if let Err(error) = event {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the watch on Agents broke; it is taken up again"
                );
            }
        }
    });
    store
}
