//! The worker pods of a scenario's agent, and their processes.

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use steadfast_crds::names::AGENT_LABEL;
use steadfast_testkit::process::ProcessId;
use steadfast_testkit::scripted_model::ScriptedModel;
use steadfast_testkit::wait;

use crate::namespace::{AGENT, Namespace, PODS_PATIENCE};

const CONTAINER: &str = "worker";

/// What tells whether a pod is the same as before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodState {
    pub name: String,
    pub uid: String,
    pub restarts: i32,
}

/// The pods that have not been told to end, in the order of their names.
pub async fn of(namespace: &Namespace) -> anyhow::Result<Vec<PodState>> {
    let mut states: Vec<PodState> = list(namespace).await?.iter().map(state).collect();
    states.sort();
    Ok(states)
}

/// Waits until a pod that is none of these is Ready.
pub async fn until_another_is_ready(namespace: &Namespace, known: &[PodState]) -> anyhow::Result<PodState> {
    wait::until("a new pod to be Ready", PODS_PATIENCE, async || {
        let pods = list(namespace).await?;
        let fresh = pods.iter().find(|pod| {
            let is_known = known.iter().any(|known| Some(&known.uid) == pod.metadata.uid.as_ref());
            !is_known && is_ready(pod)
        });
        Ok(state(fresh.context("there is none")?))
    })
    .await
}

/// Waits until the containers were restarted so often, all together.
pub async fn until_restarted(namespace: &Namespace, times: i32) -> anyhow::Result<()> {
    wait::until(format!("{times} restarts"), PODS_PATIENCE, async || {
        let restarts: i32 = of(namespace).await?.iter().map(|pod| pod.restarts).sum();
        ensure!(restarts == times, "there were {restarts}");
        Ok(())
    })
    .await
}

/// The process that a model streams an answer to: the one that has a connection to it.
pub async fn streaming_process(namespace: &Namespace, model: &ScriptedModel) -> anyhow::Result<ProcessId> {
    let port: u16 = model.url().rsplit(':').next().context("a port")?.parse()?;
    for pod in of(namespace).await? {
        let process = namespace
            .platform()
            .container_process(namespace.name(), &pod.name, CONTAINER)
            .await?;
        if is_connected_to(process, port)? {
            return Ok(process);
        }
    }
    anyhow::bail!("no worker is connected to the model")
}

async fn list(namespace: &Namespace) -> anyhow::Result<Vec<Pod>> {
    let pods: Api<Pod> = Api::namespaced(namespace.platform().client(), namespace.name());
    let selected = ListParams::default().labels(&format!("{AGENT_LABEL}={AGENT}"));
    let mut pods = pods.list(&selected).await?.items;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(pods)
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

/// Looks in the network namespace of the process, which is its pod's.
fn is_connected_to(process: ProcessId, port: u16) -> anyhow::Result<bool> {
    const ESTABLISHED: &str = "01";
    let table = std::fs::read_to_string(format!("/proc/{}/net/tcp", process.id())).context("list connections")?;
    let remote = format!(":{port:04X}");
    let mut connections = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    Ok(connections.any(|fields| {
        let (address, state) = (fields.get(2), fields.get(3));
        address.is_some_and(|address| address.ends_with(&remote)) && state == Some(&ESTABLISHED)
    }))
}
