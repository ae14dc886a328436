//! Plays the kubelet of a [`ControlPlane`]: says of every pod at once that it runs and is ready. Nothing runs.
//!
//! Pods are not scheduled, so the API server removes a deleted one at once. A pod that somebody makes unready stays so.

use std::sync::Arc;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use serde_json::{Value, json};
use tokio::{
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
};

use crate::control_plane::ControlPlane;

/// Requests that are in flight at once.
const REQUESTS_AT_ONCE: usize = 16;

/// One node. It ends with the value.
#[derive(Debug)]
pub struct PlayedNode(JoinHandle<()>);

impl PlayedNode {
    /// Plays for the pods of all namespaces.
    pub fn start(control_plane: &ControlPlane) -> Self {
        Self(tokio::spawn(run(control_plane.client())))
    }
}

impl Drop for PlayedNode {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(client: Client) {
    let pods = Api::<Pod>::all(client.clone());
    let mut events = watcher(pods, watcher::Config::default()).default_backoff().boxed();
    let permits = Arc::new(Semaphore::new(REQUESTS_AT_ONCE));
    let mut requests = JoinSet::new();
    loop {
        let pod = match events.try_next().await {
            Ok(Some(Event::Apply(pod) | Event::InitApply(pod))) => pod,
            Ok(Some(_)) => continue,
            Ok(None) => return,
            Err(error) => {
                // The watcher begins again by itself.
                tracing::debug!("the watch of a played node: {:#}", anyhow::Error::from(error));
                continue;
            }
        };
        while requests.try_join_next().is_some() {}
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if pod.metadata.deletion_timestamp.is_none() && phase == Some("Pending") {
            let (client, permits) = (client.clone(), permits.clone());
            requests.spawn(async move {
                let _permit = permits.acquire_owned().await;
                if let Err(error) = report(client, &pod).await {
                    // For instance of a pod that was deleted meanwhile.
                    tracing::debug!("{error:#}");
                }
            });
        }
    }
}

async fn report(client: Client, pod: &Pod) -> anyhow::Result<()> {
    let api: Api<Pod> = Api::namespaced(client, &pod.namespace().unwrap_or_default());
    let name = pod.name_any();
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&running(pod)))
        .await
        .map(drop)
        .with_context(|| format!("write the status of {name}"))
}

/// The status of a pod all of whose containers run.
fn running(pod: &Pod) -> Value {
    let now = Timestamp::now().to_string();
    let condition = |kind: &str| json!({ "type": kind, "status": "True", "lastTransitionTime": now });
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let containers: Vec<Value> = containers
        .map(|container| {
            json!({
                "name": container.name, "image": container.image, "imageID": "", "ready": true, "started": true,
                "restartCount": 0, "state": { "running": { "startedAt": now } },
            })
        })
        .collect();
    json!({ "status": {
        "phase": "Running", "startTime": now,
        "conditions": [condition("Initialized"), condition("ContainersReady"), condition("Ready")],
        "containerStatuses": containers,
    } })
}
