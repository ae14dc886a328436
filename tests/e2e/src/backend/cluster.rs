//! A Kubernetes cluster as a backend, and the platform that all its tests share.

pub mod namespace;
pub mod pods;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;
use steadfast_testkit::{
    Platform,
    install::{self, InstallOptions},
    process::ProcessId,
    release::{Profile, Release},
    scripted_model::ScriptedModel,
    stack::{API_KEY, Client, Task},
    wait,
};
use tokio::sync::OnceCell;

use super::{AgentOptions, Backend, BackendAgent, GatewayAccess, Script};
use namespace::{AGENT, Namespace, PODS_TIMEOUT};

const PLATFORM: &str = "e2e";
/// An edited prompt must be in use after this time.
const PROMPT_DEADLINE: Duration = Duration::from_secs(5);

/// Also keeps the error: if the platform did not start for one test, it starts for none.
static CLUSTER: OnceCell<Result<Cluster, String>> = OnceCell::const_new();

/// A platform with Steadfast.
pub struct Cluster {
    pub platform: Platform,
    /// `http://<address>:<port>` of the gateway.
    pub gateway: String,
}

/// The platform that all tests share. The first call starts it.
pub async fn shared_cluster() -> anyhow::Result<&'static Cluster> {
    let cluster = CLUSTER.get_or_init(async || Box::pin(start()).await.map_err(|error| format!("{error:#}")));
    cluster.await.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}

/// Ends the platform, if a test has started it.
pub async fn end() -> anyhow::Result<()> {
    if CLUSTER.initialized() {
        Platform::down(PLATFORM).await?;
    }
    Ok(())
}

async fn start() -> anyhow::Result<Cluster> {
    let release = Release::build(Profile::Ci).await.context("build the images")?;
    // Removes the remains of a killed test run.
    Platform::down(PLATFORM).await?;
    let platform = Platform::up(PLATFORM).await.context("start the platform")?;
    install::install(&platform, &release, &InstallOptions::default())
        .await
        .context("install Steadfast")?;
    let gateway = install::gateway_url(&platform).await?;
    Ok(Cluster { platform, gateway })
}

impl Backend for Namespace {
    type Agent = ClusterAgent;

    async fn start_agent(&self, options: AgentOptions) -> anyhow::Result<ClusterAgent> {
        let model = self.model(options.script)?;
        let spec = json!({"instructions": options.instructions, "worker": {"replicas": options.workers}});
        self.start_ready_agent(&model, spec).await?;
        ClusterAgent::new(self, AGENT, model).await
    }

    /// Applies the example as its README says. Only the address of the model differs.
    async fn start_weather_agent(&self, script: Script) -> anyhow::Result<ClusterAgent> {
        let model = self.model(script)?;
        install::apply_example(self.platform(), self.name(), "weather").await?;
        let base_url = json!({"model": {"baseUrl": model.base_url()}});
        self.patch_agent("weather", &base_url).await?;
        self.set_key(API_KEY).await?;
        install::wait_for_deployment(self.platform(), self.name(), "weather-tools", PODS_TIMEOUT).await?;
        install::wait_for_agent(self.platform(), self.name(), "weather", PODS_TIMEOUT).await?;
        ClusterAgent::new(self, "weather", model).await
    }
}

/// A scenario's agent in its namespace, and a user who may talk to it.
pub struct ClusterAgent {
    namespace: Namespace,
    name: &'static str,
    model: ScriptedModel,
    token: String,
    client: Client,
}

impl ClusterAgent {
    async fn new(namespace: &Namespace, name: &'static str, model: ScriptedModel) -> anyhow::Result<Self> {
        let token = namespace.user("alice").await?;
        let client = namespace.client(&token)?;
        namespace.until_agent_visible(&client, name).await?;
        Ok(Self {
            namespace: namespace.clone(),
            name,
            model,
            token,
            client,
        })
    }

    async fn revision(&self) -> anyhow::Result<i64> {
        let status = self.namespace.status_of(self.name).await?;
        status.revision.context("read the revision of the agent")
    }
}

impl BackendAgent for ClusterAgent {
    fn model(&self) -> &ScriptedModel {
        &self.model
    }

    async fn task(&self) -> anyhow::Result<Task> {
        self.client.task(&self.namespace.public_name(self.name)).await
    }

    async fn access(&self) -> anyhow::Result<GatewayAccess> {
        Ok(GatewayAccess {
            url: self.namespace.gateway().to_owned(),
            token: Some(self.token.clone()),
        })
    }

    async fn worker_processes(&self) -> anyhow::Result<Vec<ProcessId>> {
        pods::worker_processes(&self.namespace, self.name).await
    }

    /// The kubelet restarts the container.
    async fn replace_killed_worker(&self, killed: ProcessId) -> anyhow::Result<()> {
        wait::until("the kubelet to restart the worker", PODS_TIMEOUT, async || {
            let processes = self.worker_processes().await?;
            ensure!(!processes.contains(&killed), "the killed container is still listed");
            Ok(())
        })
        .await
    }

    async fn set_instructions(&self, instructions: &str) -> anyhow::Result<()> {
        let next = self.revision().await? + 1;
        let edited = json!({"instructions": instructions});
        self.namespace.patch_agent(self.name, &edited).await?;
        wait::until(format!("revision {next}"), PROMPT_DEADLINE, async || {
            let revision = self.revision().await?;
            ensure!(revision == next, "it is {revision}");
            Ok(())
        })
        .await
    }
}
