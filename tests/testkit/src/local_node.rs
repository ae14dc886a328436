//! A node that runs the worker pods of a [`ControlPlane`] as processes of this machine, without containers.
//!
//! It does what a kubelet does for them: starts the program with the environment of the container (values of Secrets
//! among them), probes its readiness, writes the status of the pod, starts a program that has ended again, and ends it
//! with SIGTERM when the pod is deleted. Each pod has a loopback address of its own, which is the address in its status.
//! Pods are not scheduled, so the API server removes a deleted one at once, while its program still drains.

mod environment;
mod pod;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use steadfast_crds::names::{MANAGED_BY, MANAGED_BY_LABEL};
use tokio::task::{JoinHandle, JoinSet};

use crate::{control_plane::ControlPlane, temp_dir::TempDir};

pub use pod::RunningPod;

/// The pods that run, by uid.
type Pods = Arc<Mutex<BTreeMap<String, Arc<RunningPod>>>>;

/// What all pods of a node share.
#[derive(Clone)]
struct Node {
    client: Client,
    kubeconfig: PathBuf,
    program: PathBuf,
    logs: PathBuf,
    pods: Pods,
}

/// One node. Its programs end with the value.
pub struct LocalNode {
    pods: Pods,
    task: JoinHandle<()>,
    _logs: TempDir,
}

impl LocalNode {
    /// Runs the worker pods of all namespaces with this program.
    pub fn start(control_plane: &ControlPlane, program: &Path) -> anyhow::Result<Self> {
        let logs = TempDir::new("local-node")?;
        let node = Node {
            client: control_plane.client(),
            kubeconfig: control_plane.kubeconfig(),
            program: program.to_path_buf(),
            logs: logs.path().to_path_buf(),
            pods: Pods::default(),
        };
        Ok(Self {
            pods: node.pods.clone(),
            task: tokio::spawn(run(node)),
            _logs: logs,
        })
    }

    /// The pods whose programs have been started and not ended.
    pub fn pods(&self) -> Vec<Arc<RunningPod>> {
        let pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        pods.values().cloned().collect()
    }
}

impl Drop for LocalNode {
    fn drop(&mut self) {
        self.task.abort();
        self.pods.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Node {
    fn insert(&self, uid: &str, pod: Arc<RunningPod>) {
        let mut pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        pods.insert(uid.to_owned(), pod);
    }

    fn remove(&self, uid: &str) {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

async fn run(node: Node) {
    let of_workers = watcher::Config::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"));
    let pods = Api::<Pod>::all(node.client.clone());
    let mut events = watcher(pods, of_workers).default_backoff().boxed();
    let mut stops = BTreeMap::new();
    // The pods of a list that is being read.
    let mut listed = BTreeSet::new();
    let mut running = JoinSet::new();
    loop {
        let pod = match events.try_next().await {
            Ok(Some(Event::Apply(pod))) => pod,
            Ok(Some(Event::InitApply(pod))) => {
                listed.insert(pod.uid().unwrap_or_default());
                pod
            }
            Ok(Some(Event::Delete(pod))) => {
                // Dropping the sender is its shutdown signal.
                stops.remove(&pod.uid().unwrap_or_default());
                continue;
            }
            Ok(Some(Event::Init)) => {
                listed.clear();
                continue;
            }
            Ok(Some(Event::InitDone)) => {
                // The others were deleted while nobody watched.
                stops.retain(|uid, _| listed.contains(uid));
                continue;
            }
            Ok(None) => return,
            Err(error) => {
                // The watcher begins again by itself.
                tracing::debug!("the watch of a local node: {:#}", anyhow::Error::from(error));
                continue;
            }
        };
        let uid = pod.uid().unwrap_or_default();
        if pod.metadata.deletion_timestamp.is_some() || stops.contains_key(&uid) {
            continue;
        }
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        stops.insert(uid.clone(), stop);
        let node = node.clone();
        running.spawn(async move {
            let name = pod.name_any();
            let ran = pod::run(&node, &pod, stopped).await;
            node.remove(&uid);
            if let Err(error) = ran.with_context(|| format!("run the pod {name}")) {
                tracing::warn!("{error:#}");
            }
        });
    }
}
