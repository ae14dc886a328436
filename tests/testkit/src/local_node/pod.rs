//! One pod as a process: its start, its probes, its status, its end.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use anyhow::Context as _;
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;
use steadfast_crds::names::{AGENT_LABEL, WORKER_POOL_LABEL};
use tokio::sync::oneshot;

use super::{Node, environment};
use crate::{
    http_client,
    port::{self, Port},
    process::{Launch, Lifetime, Service},
};

/// The port of the probes in every worker pod.
const ADMIN_PORT: u16 = 8081;
/// While a program starts, it is probed more often, so that what is measured is its start.
const STARTUP_PROBE_PERIOD: Duration = Duration::from_millis(25);
/// As in the manifests of the operator.
const PROBE_PERIOD: Duration = Duration::from_secs(2);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Where a pod says nothing: the default of Kubernetes.
const GRACE_PERIOD_SECONDS: i64 = 30;

/// A pod whose program has been started.
#[derive(Debug)]
pub struct RunningPod {
    name: String,
    namespace: String,
    /// Agent or WorkerPool.
    owner: String,
    service: Service,
    address: Ipv4Addr,
    /// Makes the address unique on this machine.
    _lease: Port,
}

impl RunningPod {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name of the Agent or of the WorkerPool.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The process and its log.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// The answer of the admin server to `path`, for instance `metrics`.
    pub async fn admin(&self, path: &str) -> anyhow::Result<String> {
        let url = format!("http://{}:{ADMIN_PORT}/{path}", self.address);
        let response = http_client::shared()?.get(url).timeout(PROBE_TIMEOUT).send().await;
        let response = response.and_then(reqwest::Response::error_for_status)?;
        response.text().await.context("read the answer of a pod")
    }
}

/// Whether the program of a pod answers its readiness probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readiness {
    Ready,
    Unready,
}

/// Runs a pod until `stopped` ends.
pub(super) async fn run(node: &Node, pod: &Pod, mut stopped: oneshot::Receiver<()>) -> anyhow::Result<()> {
    let running = Arc::new(start(node, pod).await?);
    node.insert(&pod.uid().unwrap_or_default(), running.clone());
    let api: Api<Pod> = Api::namespaced(node.client.clone(), &running.namespace);
    let (mut restarts, mut reported, mut period) = (0_u32, None, STARTUP_PROBE_PERIOD);
    loop {
        if !running.service.is_alive() {
            restarts += 1;
            running.service.start()?;
        }
        let readiness = match running.admin("readyz").await {
            Ok(_) => Readiness::Ready,
            Err(_) => Readiness::Unready,
        };
        if reported != Some((readiness, restarts)) {
            // A pod that was deleted meanwhile has no status.
            if let Err(error) = report(&api, &running, readiness, restarts).await {
                tracing::debug!("{error:#}");
            } else {
                reported = Some((readiness, restarts));
            }
        }
        if readiness == Readiness::Ready {
            period = PROBE_PERIOD;
        }
        tokio::select! {
            _ = &mut stopped => break,
            () = tokio::time::sleep(period) => {}
        }
    }
    let spec = pod.spec.as_ref();
    let grace = spec.and_then(|spec| spec.termination_grace_period_seconds);
    let grace = u64::try_from(grace.unwrap_or(GRACE_PERIOD_SECONDS)).unwrap_or_default();
    running.service.stop(Duration::from_secs(grace)).await
}

async fn start(node: &Node, pod: &Pod) -> anyhow::Result<RunningPod> {
    let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
    let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
    let container = container.context("find the container")?;
    let variables = container.env.as_deref().unwrap_or_default();
    let lease = port::lease()?;
    let [high, low] = lease.number().to_be_bytes();
    let address = Ipv4Addr::new(127, high, low, 1);
    let launch = Launch::new(name.as_str(), &node.program);
    let environment = environment::of_container(&node.client, &namespace, variables).await?;
    let launch = environment
        .iter()
        .fold(launch, |launch, (name, value)| launch.variable(name, value))
        .variable("HOSTNAME", &name)
        .variable("KUBECONFIG", node.kubeconfig.display())
        .variable("STEADFAST_ADMIN_ADDRESS", format_args!("{address}:{ADMIN_PORT}"))
        .variable("STEADFAST_LOG_FORMAT", "compact");
    let service = Service::new(launch, Lifetime::OfThisProcess, &node.logs)?;
    service.start()?;
    let labels = pod.labels();
    let owner = labels.get(WORKER_POOL_LABEL).or_else(|| labels.get(AGENT_LABEL));
    Ok(RunningPod {
        owner: owner.cloned().unwrap_or_default(),
        name,
        namespace,
        service,
        address,
        _lease: lease,
    })
}

/// Writes the status of a pod, as a kubelet does.
async fn report(api: &Api<Pod>, pod: &RunningPod, readiness: Readiness, restarts: u32) -> anyhow::Result<()> {
    let now = Timestamp::now().to_string();
    let ready = readiness == Readiness::Ready;
    let status = if ready { "True" } else { "False" };
    let condition = |kind: &str| json!({ "type": kind, "status": status, "lastTransitionTime": now });
    let patch = json!({ "status": {
        "phase": "Running",
        "podIP": pod.address, "podIPs": [{ "ip": pod.address }],
        "conditions": [condition("Ready"), condition("ContainersReady")],
        "containerStatuses": [{
            "name": "worker", "image": "worker", "imageID": "", "ready": ready, "started": true,
            "restartCount": restarts, "state": { "running": { "startedAt": now } },
        }],
    } });
    api.patch_status(&pod.name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map(drop)
        .with_context(|| format!("write the status of {}", pod.name))
}
