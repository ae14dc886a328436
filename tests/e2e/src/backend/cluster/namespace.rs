//! A namespace of one test: the verbs of a person with kubectl, and the model that
//! the agents call.

use std::{net::TcpListener, time::Duration};

use anyhow::{Context as _, ensure};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use serde_json::{Value, json};
use steadfast_crds::{
    Agent, AgentStatus,
    conditions::{ConditionType, Reason},
};
use steadfast_testkit::{
    Platform, install,
    scripted_model::{ModelRequest, Reply, ScriptedModel},
    stack::{API_KEY, Client, TIMEOUT},
    wait,
};

use super::Cluster;

/// The name of a test's agent.
pub const AGENT: &str = "clerk";
/// The Secret with the model key, as the examples name it.
pub const SECRET: &str = "openai-secret";
const SECRET_KEY: &str = "api-key";
/// For pods to start, several at once, on a busy machine.
pub const PODS_TIMEOUT: Duration = Duration::from_secs(90);
/// The number of log lines in a report.
const TAIL: &str = "--tail=25";

/// A namespace that enforces the restricted Pod Security standard.
#[derive(Clone)]
pub struct Namespace {
    cluster: &'static Cluster,
    name: String,
}

impl Namespace {
    pub async fn create(cluster: &'static Cluster, name: &str) -> anyhow::Result<Self> {
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

    /// Another namespace of the same cluster.
    pub async fn create_beside(other: &Self, name: &str) -> anyhow::Result<Self> {
        Self::create(other.cluster, name).await
    }

    /// Deletes the namespace. Does not wait until its objects are gone.
    pub async fn delete(self) -> anyhow::Result<()> {
        self.platform()
            .kubectl(&["delete", "namespace", &self.name, "--wait=false"])
            .await
            .map(drop)
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

    /// The name of an agent of this namespace for clients of the gateway. Agents of the
    /// gateway's default namespace have no namespace in their names.
    pub fn public_name(&self, agent: &str) -> String {
        if self.name == "default" {
            agent.to_owned()
        } else {
            format!("{}.{agent}", self.name)
        }
    }

    pub async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let arguments = [&["--namespace", &self.name], arguments].concat();
        self.platform().kubectl(&arguments).await
    }

    /// Creates or replaces the Secret with the model key.
    pub async fn set_key(&self, key: &str) -> anyhow::Result<()> {
        install::set_model_key(self.platform(), &self.name, key).await
    }

    /// Starts a scripted model that pods can reach.
    pub fn model(
        &self,
        script: impl Fn(&ModelRequest) -> Reply + Send + Sync + 'static,
    ) -> anyhow::Result<ScriptedModel> {
        let listener = TcpListener::bind((self.platform().host_address(), 0)).context("bind the model's port")?;
        ScriptedModel::start_on(listener, script)
    }

    /// Applies the test's agent, with a key from the Secret and these members of its spec.
    pub async fn apply_agent(&self, model: &ScriptedModel, spec: Value) -> anyhow::Result<()> {
        self.apply_agent_named(AGENT, model, spec).await
    }

    /// Applies an agent under another name.
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

    /// Applies the test's agent and the Secret, and waits until the agent is Ready.
    pub async fn start_ready_agent(&self, model: &ScriptedModel, spec: Value) -> anyhow::Result<()> {
        self.set_key(API_KEY).await?;
        self.apply_agent(model, spec).await?;
        self.wait_until_ready().await
    }

    /// `kubectl wait --for=condition=Ready`.
    pub async fn wait_until_ready(&self) -> anyhow::Result<()> {
        install::wait_for_agent(self.platform(), &self.name, AGENT, PODS_TIMEOUT).await
    }

    /// `kubectl patch`, merging into the spec.
    pub async fn patch_agent(&self, name: &str, spec: &Value) -> anyhow::Result<()> {
        let patch = json!({ "spec": spec }).to_string();
        let arguments = ["patch", "agent", name, "--type=merge", "--patch", &patch];
        self.kubectl(&arguments).await.map(drop)
    }

    /// The status of the test's agent.
    pub async fn status(&self) -> anyhow::Result<AgentStatus> {
        self.status_of(AGENT).await
    }

    pub async fn status_of(&self, agent: &str) -> anyhow::Result<AgentStatus> {
        let agents: Api<Agent> = Api::namespaced(self.platform().client(), &self.name);
        Ok(agents.get(agent).await?.status.unwrap_or_default())
    }

    /// Waits until the agent is not Ready for this reason, and returns the condition.
    pub async fn until_not_ready(&self, reason: Reason) -> anyhow::Result<Condition> {
        wait::until(format!("Ready=False/{reason}"), PODS_TIMEOUT, async || {
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

    /// Creates a ServiceAccount without permissions and returns a token of it.
    pub async fn stranger(&self, name: &str) -> anyhow::Result<String> {
        self.kubectl(&["create", "serviceaccount", name]).await?;
        let token = self.kubectl(&["create", "token", name]).await?;
        Ok(token.trim().to_owned())
    }

    /// Creates a ServiceAccount that may talk to the agents of this namespace, and returns a token of it.
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

    /// A client that may talk to the agents of this namespace and decide their approvals. Returns when the
    /// gateway shows it this agent.
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

    /// A client that may talk to the test's agent. Returns when the gateway shows it the agent.
    pub async fn user_client(&self) -> anyhow::Result<Client> {
        let client = self.client(&self.user("alice").await?)?;
        self.until_visible(&client).await?;
        Ok(client)
    }

    /// Waits until the gateway shows a client the test's agent.
    pub async fn until_visible(&self, client: &Client) -> anyhow::Result<()> {
        self.until_agent_visible(client, AGENT).await
    }

    /// Waits until the gateway shows a client this agent.
    pub async fn until_agent_visible(&self, client: &Client, agent: &str) -> anyhow::Result<()> {
        let path = format!("/agents/name/{}", self.public_name(agent));
        wait::until("the gateway to show the agent", TIMEOUT, async || {
            client.get(&path).await?.success().map(drop)
        })
        .await
    }

    /// Descriptions and logs, for the message of a failed test.
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
