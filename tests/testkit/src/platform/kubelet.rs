//! The kubelet of the platform's one node.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, bail};
use http::Request;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::home::Home;
use super::{cgroup, containerd};
use crate::files;
use crate::process::Launch;
use crate::tools::{self, GoProgram};

/// The name of the node.
pub const NODE: &str = "node";
/// The user that the node authorizer knows the kubelet of that node by.
pub const USER: &str = "system:node:node";
pub const GROUP: &str = "system:nodes";

/// Writes the configuration and says what to run.
pub fn prepare(home: &Home, kubeconfig: &Path, authority: &Path) -> anyhow::Result<Launch> {
    let folder = home.path("kubelet");
    // No name server of the host: pods resolve through the cluster's alone.
    let resolver = folder.join("resolv.conf");
    files::write(&resolver, &format!("nameserver {}\n", home.node_address()))?;
    let config = configuration(home, authority, &resolver).to_string();
    let path = folder.join("config.json");
    files::write(&path, &config)?;
    Ok(Launch::new("kubelet", tools::go_program(GoProgram::Kubelet)?)
        .path_flag("config", path)
        .path_flag("kubeconfig", kubeconfig)
        .path_flag("root-dir", &folder)
        .path_flag("cert-dir", folder.join("certificates"))
        .flag("hostname-override", NODE)
        .flag("node-ip", home.node_address())
        .input(config))
}

/// The node says Ready, and the kubelet answers for it now: what the node said
/// stays written for a while after a kubelet has died.
pub async fn is_ready(client: &Client) -> anyhow::Result<()> {
    let node = Api::<Node>::all(client.clone())
        .get(NODE)
        .await
        .context("get the node")?;
    let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
    let Some(ready) = conditions.into_iter().find(|condition| condition.type_ == "Ready") else {
        bail!("the node has not said whether it is ready");
    };
    if ready.status != "True" {
        bail!("the node is not ready: {}", ready.message.unwrap_or_default());
    }
    let request = Request::get(format!("/api/v1/nodes/{NODE}/proxy/healthz"))
        .body(Vec::new())
        .context("build a request")?;
    client
        .request_text(request)
        .await
        .map(drop)
        .context("ask the kubelet for its health")
}

/// `KubeletCrashLoopBackOffMax`: a killed container is back after a second, not
/// after up to five minutes. The eviction limits only guard the machine: a
/// developer's full disk must not evict pods. Images come from archives alone,
/// so none may be collected.
fn configuration(home: &Home, authority: &Path, resolver: &Path) -> Value {
    let node: Ipv4Addr = home.node_address();
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node,
        "healthzBindAddress": "127.0.0.1",
        "containerRuntimeEndpoint": format!("unix://{}", containerd::socket(home).display()),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": authority},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup::path(home),
        "failCgroupV1": false,
        "failSwapOn": false,
        "oomScoreAdj": 0,
        "clusterDNS": [node],
        "clusterDomain": "cluster.local",
        "resolvConf": resolver,
        "podLogsDir": home.logs().join("pods"),
        "volumePluginDir": home.path("kubelet").join("plugins-of-volumes"),
        "makeIPTablesUtilChains": false,
        "maxPods": 250,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
        "featureGates": {"KubeletCrashLoopBackOffMax": true},
        "crashLoopBackOff": {"maxContainerRestartPeriod": "1s"},
    })
}
