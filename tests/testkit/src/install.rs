//! Steadfast on a platform, installed the way a user would: Helm for the two
//! charts, kubectl for Secrets and examples. Verbs for the demo and for tests;
//! none of them asserts anything.

mod administer;
mod examples;
mod manifests;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::files;
use crate::platform::Platform;
use crate::release::{REGISTRY, Release};
use crate::scratch::Scratch;
use crate::workspace;

pub use administer::{Administer, ExistingCluster};
pub use examples::{Elsewhere, Example, set_model_key_in, set_model_keys};

/// Where the charts are installed.
pub const NAMESPACE: &str = "steadfast-system";
/// Name of the release, and so of the install.
pub const RELEASE: &str = "steadfast";
const HELM_TIMEOUT: &str = "--timeout=3m";

/// How to install.
#[derive(Clone, Debug)]
pub struct InstallOptions {
    /// Environment of every worker.
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
    /// Sends every model call to this base URL instead of the provider's.
    #[must_use]
    pub fn with_model_at(mut self, base_url: impl Into<String>) -> Self {
        self.worker_env
            .insert("STEADFAST_MODEL_BASE_URL".to_owned(), base_url.into());
        self
    }
}

/// Loads the images and installs, or upgrades, both charts; returns when the
/// operator and the gateway are ready.
pub async fn install(platform: &Platform, release: &Release, options: &InstallOptions) -> anyhow::Result<()> {
    release.load_onto(platform).await?;
    apply(platform, &manifests::temporal_service(&platform.temporal().address())?).await?;
    install_charts(platform, &values_of(platform, release, options)).await
}

/// The same on a cluster that has a Temporal and a Redis and pulls its images from a registry.
pub async fn install_elsewhere(
    cluster: &impl Administer,
    elsewhere: &Elsewhere,
    redis_url: &str,
    options: &InstallOptions,
) -> anyhow::Result<()> {
    let values = json!({
        "images": {"registry": elsewhere.registry, "tag": elsewhere.tag},
        "temporal": {"address": elsewhere.temporal_address},
        "redis": {"url": redis_url},
        "worker": {"extraEnv": extra_env(options)},
        "operator": {"replicas": options.operator_replicas},
        "gateway": {"replicas": options.gateway_replicas},
    });
    install_charts(cluster, &values).await
}

async fn install_charts(cluster: &impl Administer, values: &Value) -> anyhow::Result<()> {
    apply(cluster, &manifests::restricted_namespace(NAMESPACE)).await?;
    let scratch = Scratch::new("helm")?;
    let path = scratch.path().join("values.json");
    files::write_private(&path, &values.to_string())?;
    helm(cluster, "steadfast-crds", "steadfast-crds", &[]).await?;
    let path = path.display().to_string();
    helm(cluster, RELEASE, "steadfast", &["--values", &path]).await
}

async fn helm(cluster: &impl Administer, name: &str, chart: &str, arguments: &[&str]) -> anyhow::Result<()> {
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
        let seen = describe(cluster, NAMESPACE).await;
        return Err(error.context(format!("install the chart {name}; its pods:\n{seen}")));
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
        "worker": {"image": release.worker.reference, "extraEnv": extra_env(options)},
        "operator": {"replicas": options.operator_replicas},
        "gateway": {"replicas": options.gateway_replicas, "service": {"type": "NodePort"}},
    })
}

fn extra_env(options: &InstallOptions) -> Vec<Value> {
    options
        .worker_env
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect()
}

/// Makes, or replaces, the Secret with the model's key that most examples name.
pub async fn set_model_key(cluster: &impl Administer, namespace: &str, key: &str) -> anyhow::Result<()> {
    set_model_key_in(cluster, namespace, "openai-secret", key).await
}

/// Lets a ServiceAccount, made if there is none, talk to the agents of its namespace and decide what they ask.
pub async fn let_talk_and_decide(cluster: &impl Administer, namespace: &str, account: &str) -> anyhow::Result<()> {
    let roles = ["user", "approver"].map(|role| format!("{RELEASE}-{role}"));
    apply(cluster, &manifests::account_with_roles(namespace, account, &roles)).await
}

/// `kubectl apply -f examples/<name>`.
pub async fn apply_example(cluster: &impl Administer, namespace: &str, name: &str) -> anyhow::Result<()> {
    let folder = workspace::root().join("examples").join(name).display().to_string();
    cluster
        .kubectl(&["apply", "--namespace", namespace, "--filename", &folder])
        .await
        .map(drop)
}

/// Waits until an Agent is Ready; what stands in its way is in the error.
pub async fn wait_for_agent(
    cluster: &impl Administer,
    namespace: &str,
    name: &str,
    timeout: Duration,
) -> anyhow::Result<()> {
    wait_for(cluster, namespace, &format!("agent/{name}"), "Ready", timeout).await
}

/// Waits until a Deployment has the replicas it shall have.
pub async fn wait_for_deployment(
    cluster: &impl Administer,
    namespace: &str,
    name: &str,
    timeout: Duration,
) -> anyhow::Result<()> {
    wait_for(cluster, namespace, &format!("deployment/{name}"), "Available", timeout).await
}

async fn wait_for(
    cluster: &impl Administer,
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
        let seen = describe(cluster, namespace).await;
        return Err(error.context(format!("wait for {object}; what is there:\n{seen}")));
    }
    Ok(())
}

/// The gateway, as this machine reaches it: `http://<node>:<port>`.
pub async fn gateway_url(platform: &Platform) -> anyhow::Result<String> {
    let service = format!("{RELEASE}-gateway");
    let path = "jsonpath={.spec.ports[0].nodePort}";
    let port = platform
        .kubectl(&["get", "service", &service, "--namespace", NAMESPACE, "--output", path])
        .await
        .context("find the gateway's port")?;
    Ok(format!("http://{}:{}", platform.node_address(), port.trim()))
}

/// Applies manifests that are not in a file.
pub async fn apply(cluster: &impl Administer, manifests: &Value) -> anyhow::Result<()> {
    let scratch = Scratch::new("manifests")?;
    let path = scratch.path().join("manifests.json");
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

/// What a person would look at when something does not become ready.
async fn describe(cluster: &impl Administer, namespace: &str) -> String {
    let mut seen = Vec::new();
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
        seen.push(
            cluster
                .kubectl(&arguments)
                .await
                .unwrap_or_else(|error| format!("{error:#}")),
        );
    }
    seen.join("\n")
}
