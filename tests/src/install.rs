//! Steadfast on a platform, installed the way a user would: Helm for the two
//! charts, kubectl for Secrets and examples. Verbs for the demo and for tests;
//! none of them asserts anything.

mod manifests;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::files;
use crate::platform::Platform;
use crate::release::{REGISTRY, Release, workspace};
use crate::scratch::Scratch;

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
    apply(platform, &manifests::restricted_namespace(NAMESPACE)).await?;
    let scratch = Scratch::new("helm")?;
    let values = scratch.path().join("values.json");
    files::write_private(&values, &values_of(platform, release, options).to_string())?;
    helm(platform, "steadfast-crds", "steadfast-crds", &[]).await?;
    helm(
        platform,
        RELEASE,
        "steadfast",
        &["--values", &values.display().to_string()],
    )
    .await
}

async fn helm(platform: &Platform, name: &str, chart: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let chart = workspace().join("charts").join(chart).display().to_string();
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
    if let Err(error) = platform.helm(&command).await {
        let seen = describe(platform, NAMESPACE).await;
        return Err(error.context(format!("install the chart {name}; its pods:\n{seen}")));
    }
    Ok(())
}

fn values_of(platform: &Platform, release: &Release, options: &InstallOptions) -> Value {
    let extra_env: Vec<Value> = options
        .worker_env
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    json!({
        "images": {
            "registry": REGISTRY,
            "operator": {"tag": release.operator.tag()},
            "gateway": {"tag": release.gateway.tag()},
        },
        "temporal": {"address": manifests::TEMPORAL_ADDRESS},
        "redis": {"url": platform.redis().url()},
        "worker": {"image": release.worker.reference, "extraEnv": extra_env},
        "operator": {"replicas": options.operator_replicas},
        "gateway": {"replicas": options.gateway_replicas, "service": {"type": "NodePort"}},
    })
}

/// Makes, or replaces, the Secret with the model's key that the examples name.
pub async fn set_model_key(platform: &Platform, namespace: &str, key: &str) -> anyhow::Result<()> {
    apply(platform, &manifests::secret(namespace, "openai-secret", "api-key", key)).await
}

/// `kubectl apply -f examples/<name>`.
pub async fn apply_example(platform: &Platform, namespace: &str, name: &str) -> anyhow::Result<()> {
    let folder = workspace().join("examples").join(name).display().to_string();
    platform
        .kubectl(&["apply", "--namespace", namespace, "--filename", &folder])
        .await
        .map(drop)
}

/// Waits until an Agent is Ready; what stands in its way is in the error.
pub async fn wait_for_agent(platform: &Platform, namespace: &str, name: &str, timeout: Duration) -> anyhow::Result<()> {
    wait_for(platform, namespace, &format!("agent/{name}"), "Ready", timeout).await
}

/// Waits until a Deployment has the replicas it shall have.
pub async fn wait_for_deployment(
    platform: &Platform,
    namespace: &str,
    name: &str,
    timeout: Duration,
) -> anyhow::Result<()> {
    wait_for(platform, namespace, &format!("deployment/{name}"), "Available", timeout).await
}

async fn wait_for(
    platform: &Platform,
    namespace: &str,
    object: &str,
    condition: &str,
    timeout: Duration,
) -> anyhow::Result<()> {
    let condition = format!("--for=condition={condition}");
    let timeout = format!("--timeout={}s", timeout.as_secs());
    let waited = platform
        .kubectl(&["wait", &condition, object, "--namespace", namespace, &timeout])
        .await;
    if let Err(error) = waited {
        let seen = describe(platform, namespace).await;
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
pub async fn apply(platform: &Platform, manifests: &Value) -> anyhow::Result<()> {
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
    platform.kubectl(&arguments).await.map(drop)
}

/// What a person would look at when something does not become ready.
async fn describe(platform: &Platform, namespace: &str) -> String {
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
            platform
                .kubectl(&arguments)
                .await
                .unwrap_or_else(|error| format!("{error:#}")),
        );
    }
    seen.join("\n")
}
