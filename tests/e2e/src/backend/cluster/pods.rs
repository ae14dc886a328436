//! The worker pods of an agent, and their processes.

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _, api::ListParams};
use steadfast_crds::names::AGENT_LABEL;
use steadfast_testkit::{process::ProcessId, wait};

use super::namespace::{AGENT, Namespace, PODS_TIMEOUT};

const CONTAINER: &str = "worker";

/// The members that show whether a pod was replaced or restarted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodState {
    pub name: String,
    pub uid: String,
    pub restarts: i32,
}

/// The pods of the test's agent that are not terminating, sorted by name.
pub async fn of(namespace: &Namespace) -> anyhow::Result<Vec<PodState>> {
    states(namespace, AGENT).await
}

/// The pods of an agent that are not terminating, sorted by name.
pub async fn states(namespace: &Namespace, agent: &str) -> anyhow::Result<Vec<PodState>> {
    let mut states: Vec<PodState> = list(namespace, agent).await?.iter().map(state).collect();
    states.sort();
    Ok(states)
}

/// The pods of an agent that are not terminating.
pub async fn list(namespace: &Namespace, agent: &str) -> anyhow::Result<Vec<Pod>> {
    let pods: Api<Pod> = Api::namespaced(namespace.platform().client(), namespace.name());
    let selected = ListParams::default().labels(&format!("{AGENT_LABEL}={agent}"));
    let mut pods = pods.list(&selected).await?.items;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(pods)
}

/// The process of a pod's worker.
pub async fn worker_process(namespace: &Namespace, pod: &Pod) -> anyhow::Result<ProcessId> {
    namespace
        .platform()
        .container_process(namespace.name(), &pod.name_any(), CONTAINER)
        .await
}

/// The processes of an agent's workers.
pub async fn worker_processes(namespace: &Namespace, agent: &str) -> anyhow::Result<Vec<ProcessId>> {
    let mut processes = Vec::new();
    for pod in list(namespace, agent).await? {
        processes.push(worker_process(namespace, &pod).await?);
    }
    Ok(processes)
}

/// Waits until a pod that is none of these is Ready.
pub async fn until_another_is_ready(namespace: &Namespace, known: &[PodState]) -> anyhow::Result<PodState> {
    wait::until("a new pod to be Ready", PODS_TIMEOUT, async || {
        let pods = list(namespace, AGENT).await?;
        let new = pods.iter().find(|pod| {
            let is_known = known.iter().any(|known| Some(&known.uid) == pod.metadata.uid.as_ref());
            !is_known && is_ready(pod)
        });
        Ok(state(new.context("there is none")?))
    })
    .await
}

/// Waits until the kubelet has restarted containers this many times, summed over all pods.
pub async fn until_restarted(namespace: &Namespace, times: i32) -> anyhow::Result<()> {
    wait::until(format!("{times} restarts"), PODS_TIMEOUT, async || {
        let restarts: i32 = of(namespace).await?.iter().map(|pod| pod.restarts).sum();
        ensure!(restarts == times, "there were {restarts}");
        Ok(())
    })
    .await
}

fn state(pod: &Pod) -> PodState {
    let containers = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    PodState {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        restarts: containers
            .into_iter()
            .flatten()
            .map(|container| container.restart_count)
            .sum(),
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
