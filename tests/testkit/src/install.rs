//! Installs Steadfast on a platform as a user does: Helm for the two charts,
//! kubectl for Secrets and examples. Verbs for the demo and for tests; no verb
//! asserts anything.

mod cluster_admin;
mod examples;
mod manifests;

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::{
    files,
    platform::Platform,
    release::{REGISTRY, Release},
    temp_dir::TempDir,
    workspace,
};

pub use cluster_admin::{ClusterAdmin, ExistingCluster};
pub use examples::{Example, ManifestOverrides, set_model_key_in, set_model_keys};

/// The namespace of the charts.
pub const NAMESPACE: &str = "steadfast-system";
/// The name of the Helm release, and so of the install.
pub const RELEASE: &str = "steadfast";
const HELM_TIMEOUT: &str = "--timeout=3m";

/// How to install.
#[derive(Clone, Debug)]
pub struct InstallOptions {
    /// Environment variables of every worker.
    pub worker_env: BTreeMap<String, String>,
    pub gateway_replicas: u32,
    pub operator_replicas: u32,
}

impl Default for InstallOptions {
    fn default() -> Self {
        Self {
            worker_env: BTreeMap::new(),
            gateway_replicas: 1,
            operator_replicas: 1,
        }
    }
}

impl InstallOptions {
    /// Sends every model call to this base URL instead of the provider.
    #[must_use]
    pub fn with_model_at(mut self, base_url: impl Into<String>) -> Self {
        self.worker_env
            .insert("STEADFAST_MODEL_BASE_URL".to_owned(), base_url.into());
        self
    }
}

/// Loads the images and installs or upgrades both charts. Returns when the
/// operator and the gateway are ready.
pub async fn install(platform: &Platform, release: &Release, options: &InstallOptions) -> anyhow::Result<()> {
    release.load_onto(platform).await?;
    apply(platform, &manifests::temporal_service(&platform.temporal().address())?).await?;
    install_charts(platform, &values_of(platform, release, options)).await
}

/// Installs on a cluster that has Temporal and Redis and pulls its images from a registry.
pub async fn install_on_existing_cluster(
    cluster: &impl ClusterAdmin,
    overrides: &ManifestOverrides,
    redis_url: &str,
    options: &InstallOptions,
) -> anyhow::Result<()> {
    let values = json!({
        "images": {"registry": overrides.registry, "tag": overrides.tag},
        "temporal": {"address": overrides.temporal_address},
        "redis": {"url": redis_url},
        "worker": {"extraEnv": extra_env(options)},
        "operator": {"replicas": options.operator_replicas},
        "gateway": {"replicas": options.gateway_replicas},
    });
    install_charts(cluster, &values).await
}

async fn install_charts(cluster: &impl ClusterAdmin, values: &Value) -> anyhow::Result<()> {
    apply(cluster, &manifests::restricted_namespace(NAMESPACE)).await?;
    let temp_dir = TempDir::new("helm")?;
    let path = temp_dir.path().join("values.json");
    files::write_private(&path, &values.to_string())?;
    helm(cluster, "steadfast-crds", "steadfast-crds", &[]).await?;
    let path = path.display().to_string();
    helm(cluster, RELEASE, "steadfast", &["--values", &path]).await
}

async fn helm(cluster: &impl ClusterAdmin, name: &str, chart: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let chart = workspace::root().join("charts").join(chart).display().to_string();
    let mut command = vec![
        "upgrade",
        "--install",
        name,
        &chart,
        "--namespace",
        NAMESPACE,
        "--wait",
        HELM_TIMEOUT,
    ];
    command.extend(arguments);
    if let Err(error) = cluster.helm(&command).await {
        let state = describe(cluster, NAMESPACE).await;
        return Err(error.context(format!("install the chart {name}; the namespace contains:\n{state}")));
    }
    Ok(())
}

fn values_of(platform: &Platform, release: &Release, options: &InstallOptions) -> Value {
    json!({
        "images": {
            "registry": REGISTRY,
            "operator": {"tag": release.operator.tag()},
            "gateway": {"tag": release.gateway.tag()},
        },
        "temporal": {"address": manifests::TEMPORAL_ADDRESS},
        "redis": {"url": platform.redis().url()},
        "worker": {
            "image": release.worker.reference,
            "extraEnv": extra_env(options),
            // The models of tests and of the demo run beside the cluster or in it.
            "models": {"allowLocalAddresses": true},
        },
        "operator": {"replicas": options.operator_replicas},
        "gateway": {
            "replicas": options.gateway_replicas,
            "service": {"type": "NodePort"},
            // One account chats and decides.
            "forbidSelfApproval": false,
        },
    })
}

fn extra_env(options: &InstallOptions) -> Vec<Value> {
    options
        .worker_env
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect()
}

/// Creates or replaces the Secret with the model key that most examples name.
pub async fn set_model_key(cluster: &impl ClusterAdmin, namespace: &str, key: &str) -> anyhow::Result<()> {
    set_model_key_in(cluster, namespace, "openai-secret", key).await
}

/// Grants a ServiceAccount the roles `user` and `approver` in its namespace. Creates the account if there is none.
pub async fn grant_user_and_approver(
    cluster: &impl ClusterAdmin,
    namespace: &str,
    account: &str,
) -> anyhow::Result<()> {
    let roles = ["user", "approver"].map(|role| format!("{RELEASE}-{role}"));
    apply(cluster, &manifests::account_with_roles(namespace, account, &roles)).await
}

/// `kubectl apply -f examples/<name>`.
pub async fn apply_example(cluster: &impl ClusterAdmin, namespace: &str, name: &str) -> anyhow::Result<()> {
    let dir = workspace::root().join("examples").join(name).display().to_string();
    cluster
        .kubectl(&["apply", "--namespace", namespace, "--filename", &dir])
        .await
        .map(drop)
}

/// Waits until an Agent is Ready. The error describes the namespace.
pub async fn wait_for_agent(
    cluster: &impl ClusterAdmin,
    namespace: &str,
    name: &str,
    timeout: Duration,
) -> anyhow::Result<()> {
    wait_for(cluster, namespace, &format!("agent/{name}"), "Ready", timeout).await
}

/// Waits until a Deployment is Available.
pub async fn wait_for_deployment(
    cluster: &impl ClusterAdmin,
    namespace: &str,
    name: &str,
    timeout: Duration,
) -> anyhow::Result<()> {
    wait_for(cluster, namespace, &format!("deployment/{name}"), "Available", timeout).await
}

async fn wait_for(
    cluster: &impl ClusterAdmin,
    namespace: &str,
    object: &str,
    condition: &str,
    timeout: Duration,
) -> anyhow::Result<()> {
    let condition = format!("--for=condition={condition}");
    let timeout = format!("--timeout={}s", timeout.as_secs());
    let waited = cluster
        .kubectl(&["wait", &condition, object, "--namespace", namespace, &timeout])
        .await;
    if let Err(error) = waited {
        let state = describe(cluster, namespace).await;
        return Err(error.context(format!("wait for {object}; the namespace contains:\n{state}")));
    }
    Ok(())
}

/// The URL of the gateway for this machine: `http://<node>:<port>`.
pub async fn gateway_url(platform: &Platform) -> anyhow::Result<String> {
    let service = format!("{RELEASE}-gateway");
    let path = "jsonpath={.spec.ports[0].nodePort}";
    let port = platform
        .kubectl(&["get", "service", &service, "--namespace", NAMESPACE, "--output", path])
        .await
        .context("find the gateway's port")?;
    Ok(format!("http://{}:{}", platform.node_address(), port.trim()))
}

/// Applies manifests from memory.
pub async fn apply(cluster: &impl ClusterAdmin, manifests: &Value) -> anyhow::Result<()> {
    let temp_dir = TempDir::new("manifests")?;
    let path = temp_dir.path().join("manifests.json");
    files::write_private(&path, &manifests.to_string())?;
    let path = path.display().to_string();
    let arguments = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--field-manager=platform",
        "--filename",
        &path,
    ];
    cluster.kubectl(&arguments).await.map(drop)
}

/// The objects, events and logs of a namespace, for an error message.
async fn describe(cluster: &impl ClusterAdmin, namespace: &str) -> String {
    let mut sections = Vec::new();
    for arguments in [
        [
            "get",
            "agents,agenttools,deployments,pods",
            "--output=wide",
            "--namespace",
            namespace,
        ],
        ["get", "events", "--sort-by=.lastTimestamp", "--namespace", namespace],
        [
            "logs",
            "--selector=app.kubernetes.io/name=steadfast",
            "--tail=10",
            "--namespace",
            namespace,
        ],
    ] {
        sections.push(
            cluster
                .kubectl(&arguments)
                .await
                .unwrap_or_else(|error| format!("{error:#}")),
        );
    }
    sections.join("\n")
}
