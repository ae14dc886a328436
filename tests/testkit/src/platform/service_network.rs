//! kube-proxy for the addresses of Services, and CoreDNS for their names.

use std::{net::SocketAddrV4, path::Path};

use anyhow::Context as _;
use serde_json::json;

use super::{containerd::POD_RANGE, data_dir::DataDir, internet::NetworkAccess, kubelet::NODE};
use crate::{
    files, http_client,
    process::Launch,
    tools::{self, GoProgram},
};

const PROXY_HEALTH_PORT: u16 = 10256;
const DNS_READY_PORT: u16 = 8181;

/// `masqueradeAll`: pods share one bridge, so a reply from a Service's pod would
/// otherwise bypass the proxy and come from the pod's address.
pub(super) fn configure_proxy(data_dir: &DataDir, kubeconfig: &Path) -> anyhow::Result<Launch> {
    let config = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": kubeconfig},
        "hostnameOverride": NODE,
        "bindAddress": data_dir.node_address(),
        "clusterCIDR": POD_RANGE,
        "healthzBindAddress": SocketAddrV4::new(data_dir.node_address(), PROXY_HEALTH_PORT),
        "oomScoreAdj": 0,
        "conntrack": {"maxPerCore": 0, "min": 0},
        "nftables": {"masqueradeAll": true, "minSyncPeriod": "100ms"},
    })
    .to_string();
    let path = data_dir.join("kube-proxy.json");
    files::write(&path, &config)?;
    Ok(Launch::new("kube-proxy", tools::go_program(GoProgram::KubeProxy)?)
        .path_flag("config", path)
        .input(config))
}

pub(super) async fn proxy_is_ready(data_dir: &DataDir) -> anyhow::Result<()> {
    let address = SocketAddrV4::new(data_dir.node_address(), PROXY_HEALTH_PORT);
    get(format!("http://{address}/healthz")).await
}

/// CoreDNS resolves names outside the cluster only with `NetworkAccess::Internet`.
pub(super) fn configure_dns(data_dir: &DataDir, kubeconfig: &Path) -> anyhow::Result<Launch> {
    let node = data_dir.node_address();
    let kubeconfig = kubeconfig.display();
    let outside = NetworkAccess::saved(data_dir).resolver().map_or_else(
        || "template ANY ANY {\n        rcode NXDOMAIN\n    }".to_owned(),
        |resolver| format!("forward . {resolver}"),
    );
    let config = format!(
        "cluster.local:53 in-addr.arpa:53 {{
    bind {node}
    errors
    ready {node}:{DNS_READY_PORT}
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig}
        ttl 5
    }}
}}
.:53 {{
    bind {node}
    errors
    {outside}
}}
"
    );
    let path = data_dir.join("Corefile");
    files::write(&path, &config)?;
    Ok(Launch::new("coredns", tools::go_program(GoProgram::Coredns)?)
        .argument("-conf")
        .argument(path.display())
        .input(config))
}

pub(super) async fn dns_is_ready(data_dir: &DataDir) -> anyhow::Result<()> {
    let address = SocketAddrV4::new(data_dir.node_address(), DNS_READY_PORT);
    get(format!("http://{address}/ready")).await
}

async fn get(url: String) -> anyhow::Result<()> {
    let response = http_client::shared()?.get(&url).send().await;
    let response = response.and_then(reqwest::Response::error_for_status);
    response.map(drop).with_context(|| format!("ask {url}"))
}
