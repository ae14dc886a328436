//! What a person with kubectl does in a namespace, and the model that the
//! agents in it call.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use serde_json::{Value, json};
use steadfast_crds::conditions::{ConditionType, Reason};
use steadfast_crds::{Agent, AgentStatus};
use steadfast_testkit::scripted_model::{ModelRequest, Reply, ScriptedModel};
use steadfast_testkit::stack::{Client, PATIENCE};
use steadfast_testkit::{Platform, install, wait};

use crate::cluster::Cluster;

/// The name of the agent of a scenario.
pub const AGENT: &str = "clerk";
/// The Secret with the model's key, as the examples name it.
pub const SECRET: &str = "openai-secret";
pub const SECRET_KEY: &str = "api-key";
/// The model's key at first.
pub const API_KEY: &str = "sk-of-the-cluster-tests";
/// For pods to start, several at once, on a busy machine.
pub const PODS_PATIENCE: Duration = Duration::from_secs(90);
/// How much of a log one reads when something failed.
const TAIL: &str = "--tail=25";

/// A namespace whose pods must be restricted.
#[derive(Clone)]
pub struct Namespace {
    cluster: &'static Cluster,
    name: String,
}

impl Namespace {
    pub async fn make(cluster: &'static Cluster, name: &str) -> anyhow::Result<Self> {
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        });
        install::apply(&cluster.platform, &manifest).await?;
        Ok(Self {
            cluster,
            name: name.to_owned(),
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn platform(&self) -> &Platform {
        &self.cluster.platform
    }

    pub fn gateway(&self) -> &str {
        &self.cluster.gateway
    }

    /// An agent here, as clients of the gateway name it.
    pub fn public_name(&self, agent: &str) -> String {
        format!("{}.{agent}", self.name)
    }

    pub async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let arguments = [&["--namespace", &self.name], arguments].concat();
        self.platform().kubectl(&arguments).await
    }

    /// Makes, or replaces, the Secret with the model's key.
    pub async fn set_key(&self, key: &str) -> anyhow::Result<()> {
        install::set_model_key(self.platform(), &self.name, key).await
    }

    /// A model that pods reach; the script decides what it answers.
    pub fn model(
        &self,
        script: impl Fn(&ModelRequest) -> Reply + Send + Sync + 'static,
    ) -> anyhow::Result<ScriptedModel> {
        let listener = TcpListener::bind((self.platform().host_address(), 0)).context("bind the model's port")?;
        ScriptedModel::start_on(listener, script)
    }

    /// Applies the scenario's agent, with a key from the Secret and these
    /// members of its spec besides.
    pub async fn apply_agent(&self, model: &ScriptedModel, spec: Value) -> anyhow::Result<()> {
        self.apply_agent_named(AGENT, model, spec).await
    }

    /// The same under another name.
    pub async fn apply_agent_named(&self, name: &str, model: &ScriptedModel, spec: Value) -> anyhow::Result<()> {
        let mut manifest = json!({
            "apiVersion": "steadfast.dev/v1alpha1",
            "kind": "Agent",
            "metadata": {"name": name, "namespace": self.name},
            "spec": {
                "description": "Answers.",
                "instructions": "Prompt A.",
                "model": {"name": "scripted", "baseUrl": model.base_url(), "apiKeyEnvVar": "OPENAI_API_KEY"},
                "credentials": [{"envVarName": "OPENAI_API_KEY", "secretName": SECRET, "secretKey": SECRET_KEY}],
            },
        });
        for (name, value) in spec.as_object().into_iter().flatten() {
            manifest["spec"][name] = value.clone();
        }
        install::apply(self.platform(), &manifest).await
    }

    /// The same with the Secret, and waits until the agent is Ready.
    pub async fn start_agent(&self, model: &ScriptedModel, spec: Value) -> anyhow::Result<()> {
        self.set_key(API_KEY).await?;
        self.apply_agent(model, spec).await?;
        self.wait_until_ready().await
    }

    /// `kubectl wait --for=condition=Ready`.
    pub async fn wait_until_ready(&self) -> anyhow::Result<()> {
        install::wait_for_agent(self.platform(), &self.name, AGENT, PODS_PATIENCE).await
    }

    /// `kubectl patch`, merging into the spec.
    pub async fn patch_agent(&self, name: &str, spec: &Value) -> anyhow::Result<()> {
        let patch = json!({ "spec": spec }).to_string();
        let arguments = ["patch", "agent", name, "--type=merge", "--patch", &patch];
        self.kubectl(&arguments).await.map(drop)
    }

    pub async fn status(&self) -> anyhow::Result<AgentStatus> {
        let agents: Api<Agent> = Api::namespaced(self.platform().client(), &self.name);
        Ok(agents.get(AGENT).await?.status.unwrap_or_default())
    }

    /// Waits until the agent is not Ready for this reason; gives the condition.
    pub async fn until_not_ready(&self, reason: Reason) -> anyhow::Result<Condition> {
        wait::until(format!("Ready=False/{reason}"), PODS_PATIENCE, async || {
            let conditions = self.status().await?.conditions;
            let ready = conditions
                .into_iter()
                .find(|condition| condition.type_ == ConditionType::Ready.as_str())
                .context("there is no condition Ready")?;
            ensure!(
                ready.status == "False" && ready.reason == reason.as_str(),
                "it is {ready:?}"
            );
            Ok(ready)
        })
        .await
    }

    /// Makes a ServiceAccount and gives a fresh token of it.
    pub async fn stranger(&self, name: &str) -> anyhow::Result<String> {
        self.kubectl(&["create", "serviceaccount", name]).await?;
        let token = self.kubectl(&["create", "token", name]).await?;
        Ok(token.trim().to_owned())
    }

    /// The same, and lets it talk to the agents here.
    pub async fn user(&self, name: &str) -> anyhow::Result<String> {
        let token = self.stranger(name).await?;
        let account = format!("--serviceaccount={}:{name}", self.name);
        let role = format!("--clusterrole={}-user", install::RELEASE);
        self.kubectl(&["create", "rolebinding", name, &role, &account]).await?;
        Ok(token)
    }

    /// A client of the gateway.
    pub fn client(&self, token: &str) -> anyhow::Result<Client> {
        Client::with_token(self.gateway().to_owned(), token)
    }

    /// Somebody who may talk to the agents here and decide what they ask, once the gateway shows one of them.
    pub async fn approver(&self, agent: &str) -> anyhow::Result<Client> {
        let token = self.user("alice").await?;
        let account = format!("--serviceaccount={}:alice", self.name);
        let role = format!("--clusterrole={}-approver", install::RELEASE);
        self.kubectl(&["create", "rolebinding", "alice-approves", &role, &account])
            .await?;
        let client = self.client(&token)?;
        self.until_agent_visible(&client, agent).await?;
        Ok(client)
    }

    /// The client of somebody who may talk to the scenario's agent, once the
    /// gateway knows of both.
    pub async fn talk(&self) -> anyhow::Result<Client> {
        let client = self.client(&self.user("alice").await?)?;
        self.until_visible(&client).await?;
        Ok(client)
    }

    /// Waits until the gateway shows somebody the scenario's agent.
    pub async fn until_visible(&self, client: &Client) -> anyhow::Result<()> {
        self.until_agent_visible(client, AGENT).await
    }

    async fn until_agent_visible(&self, client: &Client, agent: &str) -> anyhow::Result<()> {
        let path = format!("/agents/name/{}", self.public_name(agent));
        wait::until("the gateway to show the agent", PATIENCE, async || {
            client.get(&path).await?.ok().map(drop)
        })
        .await
    }

    /// What a person would look at when something went wrong.
    pub async fn report(&self) -> String {
        let system = |component: &'static str| {
            let selector = format!("--selector=app.kubernetes.io/component={component}");
            vec![
                "--namespace".to_owned(),
                install::NAMESPACE.to_owned(),
                "logs".to_owned(),
                TAIL.to_owned(),
                selector,
            ]
        };
        let here = |arguments: &[&str]| {
            let arguments = [&["--namespace", &self.name], arguments].concat();
            arguments.into_iter().map(str::to_owned).collect()
        };
        let mut commands: Vec<Vec<String>> = vec![
            system("operator"),
            system("gateway"),
            here(&["describe", "agents,deployments,pods"]),
        ];
        let pods = self
            .kubectl(&["get", "pods", "--output=name"])
            .await
            .unwrap_or_default();
        for pod in pods.lines() {
            commands.push(here(&["logs", TAIL, pod]));
            commands.push(here(&["logs", TAIL, "--previous", pod]));
        }
        let mut report = Vec::new();
        for command in commands {
            let arguments: Vec<&str> = command.iter().map(String::as_str).collect();
            let told = self.platform().kubectl(&arguments).await;
            report.push(format!("--- kubectl {}", arguments.join(" ")));
            report.push(told.unwrap_or_else(|error| format!("{error:#}")));
        }
        report.join("\n")
    }
}
