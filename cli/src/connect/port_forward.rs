//! Forwards a local port to a gateway in the cluster, like `kubectl port-forward`.
//! Every connection selects a ready pod: when a gateway pod dies, the next
//! connection goes to another pod.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

const GATEWAY_LABELS: &str = "app.kubernetes.io/name=steadfast,app.kubernetes.io/component=gateway";
/// Name of the container port of the HTTP API.
const PORT_NAME: &str = "http";

/// A local port of a gateway. Dropping this value closes the port.
pub(super) struct PortForward {
    address: SocketAddr,
    _accepting: AbortOnDropHandle<()>,
}

/// A pod and the port of its container.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    pod: String,
    port: u16,
}

impl PortForward {
    /// Fails when there is no gateway to forward to.
    pub(super) async fn start(client: Client, namespace: Option<&str>) -> anyhow::Result<Self> {
        let namespace = match namespace {
            Some(namespace) => namespace.to_owned(),
            None => find_namespace(&client).await?,
        };
        let pods: Api<Pod> = Api::namespaced(client, &namespace);
        find_target(&pods)
            .await
            .with_context(|| format!("find a gateway in namespace {namespace}"))?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("open a local port")?;
        let address = listener.local_addr()?;
        let accepting = AbortOnDropHandle::new(tokio::spawn(accept(listener, pods)));
        Ok(Self {
            address,
            _accepting: accepting,
        })
    }

    pub(super) fn url(&self) -> anyhow::Result<Url> {
        Ok(format!("http://{}", self.address).parse()?)
    }
}

async fn accept(listener: TcpListener, pods: Api<Pod>) {
    while let Ok((local, _)) = listener.accept().await {
        let pods = pods.clone();
        // A connection that cannot be forwarded is closed. The HTTP client then tries again.
        tokio::spawn(async move { forward(local, &pods).await });
    }
}

async fn forward(mut local: TcpStream, pods: &Api<Pod>) -> anyhow::Result<()> {
    let Target { pod, port } = find_target(pods).await?;
    let mut forwarder = pods.portforward(&pod, &[port]).await?;
    let mut remote = forwarder.take_stream(port).context("the port-forward has no stream")?;
    tokio::io::copy_bidirectional(&mut local, &mut remote).await?;
    drop(remote);
    Ok(forwarder.join().await?)
}

async fn find_namespace(client: &Client) -> anyhow::Result<String> {
    let pods: Api<Pod> = Api::all(client.clone());
    let pods = pods.list(&ListParams::default().labels(GATEWAY_LABELS)).await.context(
        "search all namespaces for a gateway; if you may not list pods in all namespaces, pass --gateway-namespace",
    )?;
    let mut namespaces: BTreeSet<String> = pods.iter().filter_map(Pod::namespace).collect();
    let Some(first) = namespaces.pop_first() else {
        bail!("no gateway found in this cluster: is Steadfast installed? check with `helm list --all-namespaces`");
    };
    if !namespaces.is_empty() {
        let others: Vec<String> = namespaces.into_iter().collect();
        bail!(
            "there are gateways in several namespaces ({first}, {}): select one with --gateway-namespace",
            others.join(", ")
        );
    }
    Ok(first)
}

async fn find_target(pods: &Api<Pod>) -> anyhow::Result<Target> {
    let gateways = pods
        .list(&ListParams::default().labels(GATEWAY_LABELS))
        .await
        .context("list gateway pods")?;
    let target = gateways.iter().find_map(target_of);
    target.with_context(|| match gateways.items.len() {
        0 => "no gateway pod found".to_owned(),
        count => format!("none of {count} gateway pods is ready: see `kubectl get pods -l {GATEWAY_LABELS}`"),
    })
}

/// The pod as a target, if it is ready and is not being deleted.
fn target_of(pod: &Pod) -> Option<Target> {
    let conditions = pod.status.as_ref()?.conditions.as_deref().unwrap_or_default();
    let ready = conditions
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    if !ready || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let ports = pod
        .spec
        .as_ref()?
        .containers
        .iter()
        .flat_map(|container| container.ports.iter().flatten());
    let port = ports.into_iter().find(|port| port.name.as_deref() == Some(PORT_NAME))?;
    Some(Target {
        pod: pod.name_any(),
        port: u16::try_from(port.container_port).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(ready: &str) -> Value {
        json!({
            "metadata": {"name": "gateway-1"},
            "spec": {"containers": [{"name": "gateway", "ports": [
                {"name": "admin", "containerPort": 8081},
                {"name": "http", "containerPort": 8080},
            ]}]},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        })
    }

    fn target(pod: Value) -> Option<Target> {
        target_of(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn only_a_ready_pod_that_is_not_being_deleted_is_a_target() {
        assert_eq!(
            target(pod("True")),
            Some(Target {
                pod: "gateway-1".to_owned(),
                port: 8080
            })
        );
        assert_eq!(target(pod("False")), None);
        let mut deleted = pod("True");
        deleted["metadata"]["deletionTimestamp"] = json!("2026-11-23T00:00:00Z");
        assert_eq!(target(deleted), None);
    }
}
