//! kube-proxy, which makes the addresses of Services work, and CoreDNS, which
//! makes their names work.

use std::net::SocketAddrV4;
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use super::containerd::POD_RANGE;
use super::home::Home;
use super::internet::Reach;
use super::kubelet::NODE;
use crate::process::Launch;
use crate::tools::{self, GoProgram};
use crate::{files, http_client};

const PROXY_HEALTH_PORT: u16 = 10256;
const DNS_READY_PORT: u16 = 8181;

/// `masqueradeAll`: pods share one bridge, so an answer from a Service's pod
/// would otherwise take the short way and come from an address nobody asked.
pub fn prepare_proxy(home: &Home, kubeconfig: &Path) -> anyhow::Result<Launch> {
    let config = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": kubeconfig},
        "hostnameOverride": NODE,
        "bindAddress": home.node_address(),
        "clusterCIDR": POD_RANGE,
        "healthzBindAddress": SocketAddrV4::new(home.node_address(), PROXY_HEALTH_PORT),
        "oomScoreAdj": 0,
        "conntrack": {"maxPerCore": 0, "min": 0},
        "nftables": {"masqueradeAll": true, "minSyncPeriod": "100ms"},
    })
    .to_string();
    let path = home.path("kube-proxy.json");
    files::write(&path, &config)?;
    Ok(Launch::new("kube-proxy", tools::go_program(GoProgram::KubeProxy)?)
        .path_flag("config", path)
        .input(config))
}

pub async fn proxy_is_ready(home: &Home) -> anyhow::Result<()> {
    let address = SocketAddrV4::new(home.node_address(), PROXY_HEALTH_PORT);
    answers(format!("http://{address}/healthz")).await
}

/// Names outside the cluster exist only for pods that can go there.
pub fn prepare_dns(home: &Home, kubeconfig: &Path) -> anyhow::Result<Launch> {
    let node = home.node_address();
    let kubeconfig = kubeconfig.display();
    let outside = Reach::of(home).resolver().map_or_else(
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
    let path = home.path("Corefile");
    files::write(&path, &config)?;
    Ok(Launch::new("coredns", tools::go_program(GoProgram::Coredns)?)
        .argument("-conf")
        .argument(path.display())
        .input(config))
}

pub async fn dns_is_ready(home: &Home) -> anyhow::Result<()> {
    let address = SocketAddrV4::new(home.node_address(), DNS_READY_PORT);
    answers(format!("http://{address}/ready")).await
}

async fn answers(url: String) -> anyhow::Result<()> {
    let response = http_client::shared()?.get(&url).send().await;
    let response = response.and_then(reqwest::Response::error_for_status);
    response.map(drop).with_context(|| format!("ask {url}"))
}
