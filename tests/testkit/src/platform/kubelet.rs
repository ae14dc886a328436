//! The kubelet of the platform's one node.

use std::{net::Ipv4Addr, path::Path};

use anyhow::{Context as _, bail};
use http::Request;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{cgroup, containerd, data_dir::DataDir};
use crate::{
    files,
    process::Launch,
    tools::{self, GoProgram},
};

/// The name of the node.
pub(super) const NODE: &str = "node";
/// The user name that the node authorizer expects for the kubelet of this node.
pub(super) const USER: &str = "system:node:node";
pub(super) const GROUP: &str = "system:nodes";

/// Writes the configuration and returns the program to run.
pub(super) fn configure(data_dir: &DataDir, kubeconfig: &Path, authority: &Path) -> anyhow::Result<Launch> {
    let dir = data_dir.join("kubelet");
    // Pods use only the cluster's DNS server, not the host's.
    let resolver = dir.join("resolv.conf");
    files::write(&resolver, &format!("nameserver {}\n", data_dir.node_address()))?;
    let config = configuration(data_dir, authority, &resolver).to_string();
    let path = dir.join("config.json");
    files::write(&path, &config)?;
    Ok(Launch::new("kubelet", tools::go_program(GoProgram::Kubelet)?)
        .path_flag("config", path)
        .path_flag("kubeconfig", kubeconfig)
        .path_flag("root-dir", &dir)
        .path_flag("cert-dir", dir.join("certificates"))
        .flag("hostname-override", NODE)
        .flag("node-ip", data_dir.node_address())
        .input(config))
}

/// The node is Ready and the kubelet answers. The condition alone is not enough:
/// it stays True for a while after the kubelet has died.
pub(super) async fn is_ready(client: &Client) -> anyhow::Result<()> {
    let node = Api::<Node>::all(client.clone())
        .get(NODE)
        .await
        .context("get the node")?;
    let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
    let Some(ready) = conditions.into_iter().find(|condition| condition.type_ == "Ready") else {
        bail!("the node has no condition Ready yet");
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

/// `KubeletCrashLoopBackOffMax`: a killed container restarts after a second, not
/// after up to five minutes. The eviction limits are low, so that a developer's
/// full disk does not evict pods. Images come only from archives, so the garbage
/// collection of images is off.
fn configuration(data_dir: &DataDir, authority: &Path, resolver: &Path) -> Value {
    let node: Ipv4Addr = data_dir.node_address();
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node,
        "healthzBindAddress": "127.0.0.1",
        "containerRuntimeEndpoint": format!("unix://{}", containerd::socket(data_dir).display()),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": authority},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup::path(data_dir),
        "failCgroupV1": false,
        "failSwapOn": false,
        "oomScoreAdj": 0,
        "clusterDNS": [node],
        "clusterDomain": "cluster.local",
        "resolvConf": resolver,
        "podLogsDir": data_dir.logs().join("pods"),
        "volumePluginDir": data_dir.join("kubelet").join("plugins-of-volumes"),
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
