//! The verbs of these tests: one control plane for all tests, one namespace and
//! one operator for each.

use std::{fmt::Debug, path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Pod, Secret},
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::NamespaceResourceScope,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use steadfast_crds::{Agent, AgentRevision, AgentTool, conditions::ConditionType};
use steadfast_operator::{
    app,
    args::LeaderElection,
    conditions::find,
    config::Config,
    kube::watch::WatchScope,
    settings::{ImagePullPolicy, Settings, Variable},
};
use steadfast_testkit::{ControlPlane, wait};
use tokio::{net::TcpListener, sync::OnceCell, task::JoinHandle};
use tokio_util::sync::CancellationToken;

static CONTROL_PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
/// The garbage collector of Kubernetes discovers a new kind only every 30 s.
const GARBAGE_COLLECTION_TIMEOUT: Duration = Duration::from_mins(2);

/// One namespace of the control plane.
pub(crate) struct Cluster {
    pub client: Client,
    pub namespace: String,
    /// The file with the address and the credentials of the API server.
    pub kubeconfig: PathBuf,
    kube_config: kube::Config,
}

/// An operator that is running.
pub(crate) struct Operator {
    stop: CancellationToken,
    task: JoinHandle<Result<(), app::Error>>,
}

impl Operator {
    /// Waits until it ends by itself, and returns why.
    pub(crate) async fn ended(self) -> app::Error {
        tokio::time::timeout(TIMEOUT, self.task)
            .await
            .unwrap()
            .unwrap()
            .unwrap_err()
    }

    /// Ends it and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

impl Cluster {
    /// A fresh namespace with an operator that watches only it.
    pub(crate) async fn with_operator(name: &str) -> (Self, Operator) {
        let cluster = Self::new(name).await;
        let operator = cluster.start_operator(LeaderElection::Disabled).await;
        (cluster, operator)
    }

    /// A fresh namespace.
    pub(crate) async fn new(name: &str) -> Self {
        steadfast_process::crypto::install();
        let control_plane = CONTROL_PLANE.get_or_init(start).await;
        let file = Kubeconfig::read_from(control_plane.kubeconfig()).unwrap();
        let options = KubeConfigOptions::default();
        let kube_config = kube::Config::from_custom_kubeconfig(file, &options).await.unwrap();
        let client = Client::try_from(kube_config.clone()).unwrap();
        let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
        Api::all(client.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
        Self {
            client,
            namespace: name.to_owned(),
            kubeconfig: control_plane.kubeconfig(),
            kube_config,
        }
    }

    /// Starts an operator for this namespace.
    pub(crate) async fn start_operator(&self, leader_election: LeaderElection) -> Operator {
        let scopes = vec![WatchScope::Namespace(self.namespace.clone())];
        self.start_operator_of(leader_election, scopes).await
    }

    /// Starts an operator for these namespaces.
    pub(crate) async fn start_operator_of(&self, leader_election: LeaderElection, scopes: Vec<WatchScope>) -> Operator {
        let config = Config {
            scopes,
            operator_namespace: self.namespace.clone(),
            settings: Settings {
                install_id: "test".to_owned(),
                worker_image: "worker:1".to_owned(),
                image_pull_policy: ImagePullPolicy::IfNotPresent,
                worker_env: vec![Variable {
                    name: "TEMPORAL_ADDRESS".to_owned(),
                    value: "temporal:7233".to_owned(),
                }],
                worker_secret_env: vec![],
                worker_encryption: None,
                allow_service_account_name: false,
            },
            temporal: None,
            take_over_clusters: vec![],
            concurrency: 16,
            debounce: Duration::from_millis(20),
            offers_interval: Duration::from_millis(200),
            schedule_resync: Duration::from_mins(10),
            autoscaling_interval: Duration::from_secs(1),
            leader_election,
            pod_name: "operator".to_owned(),
            admin_address: "127.0.0.1:0".parse().unwrap(),
        };
        let admin = TcpListener::bind(config.admin_address).await.unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(app::run(config, self.kube_config.clone(), admin, stop.clone()));
        Operator { stop, task }
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Runs kubectl in this namespace as the administrator and returns its standard output.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let control_plane = CONTROL_PLANE.get().context("no control plane runs")?;
        let namespace = format!("--namespace={}", self.namespace);
        control_plane
            .kubectl(&[arguments, &[namespace.as_str()]].concat())
            .await
    }

    /// Creates an object from its JSON.
    pub(crate) async fn create<K>(&self, object: Value) -> Result<K, kube::Error>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Serialize + Debug,
    {
        let object: K = serde_json::from_value(object).unwrap();
        self.api::<K>().create(&PostParams::default(), &object).await
    }

    /// Merges `change` into an object.
    pub(crate) async fn edit<K>(&self, name: &str, change: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        self.api::<K>()
            .patch(name, &PatchParams::default(), &Patch::Merge(&change))
            .await
            .unwrap()
    }

    pub(crate) async fn delete<K>(&self, name: &str)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        self.api::<K>().delete(name, &DeleteParams::background()).await.unwrap();
    }

    pub(crate) async fn agent(&self, name: &str, spec: Value) -> Agent {
        self.create(agent(name, spec)).await.unwrap()
    }

    pub(crate) async fn tool(&self, name: &str, spec: Value) -> AgentTool {
        self.create(tool(name, spec)).await.unwrap()
    }

    pub(crate) async fn secret(&self, name: &str, values: Value) -> Secret {
        self.create(json!({ "metadata": { "name": name }, "stringData": values }))
            .await
            .unwrap()
    }

    /// Waits until an Agent's condition has this status and reason, and returns its message.
    pub(crate) async fn condition(&self, agent: &str, condition: ConditionType, status: &str, reason: &str) -> String {
        wait::until(
            format!("{condition}={status}/{reason} of Agent {agent}"),
            TIMEOUT,
            || self.check_condition(agent, condition, status, reason),
        )
        .await
        .unwrap()
    }

    async fn check_condition(
        &self,
        agent: &str,
        condition: ConditionType,
        status: &str,
        reason: &str,
    ) -> anyhow::Result<String> {
        let agent = self.api::<Agent>().get(agent).await?;
        let now = agent.status.unwrap_or_default();
        let found = find(&now.conditions, condition).context("no such condition")?;
        ensure!(
            now.observed_generation == agent.metadata.generation,
            "generation not observed"
        );
        ensure!(
            (found.status.as_str(), found.reason.as_str()) == (status, reason),
            "it is {}/{}: {}",
            found.status,
            found.reason,
            found.message
        );
        Ok(found.message.clone())
    }

    /// Waits until a revision exists.
    pub(crate) async fn revision(&self, name: &str) -> AgentRevision {
        let api = self.api::<AgentRevision>();
        wait::until(format!("AgentRevision {name}"), TIMEOUT, || async {
            Ok(api.get(name).await?)
        })
        .await
        .unwrap()
    }

    /// Waits until an Agent's Deployment satisfies `condition`.
    pub(crate) async fn deployment(&self, agent: &str, condition: impl Fn(&Deployment) -> bool) -> Deployment {
        let api = self.api::<Deployment>();
        let name = format!("agent-{agent}");
        wait::until(format!("Deployment {name}"), TIMEOUT, || async {
            let deployment = api.get(&name).await?;
            ensure!(condition(&deployment), "not yet: {:?}", deployment.status);
            Ok(deployment)
        })
        .await
        .unwrap()
    }

    /// Waits until no object of that name is left.
    pub(crate) async fn gone<K>(&self, name: &str)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let api = self.api::<K>();
        wait::until(
            format!("the end of {} {name}", K::kind(&())),
            GARBAGE_COLLECTION_TIMEOUT,
            || async {
                ensure!(api.get_opt(name).await?.is_none(), "still there");
                Ok(())
            },
        )
        .await
        .unwrap();
    }

    /// Acts as the kubelet once: sets the status of every pod of an Agent.
    pub(crate) async fn set_pods_status(&self, agent: &str, status: &Value) {
        wait::until(format!("pods of Agent {agent}"), TIMEOUT, || {
            self.set_pod_status(agent, status)
        })
        .await
        .unwrap();
    }

    async fn set_pod_status(&self, agent: &str, status: &Value) -> anyhow::Result<()> {
        let api = self.api::<Pod>();
        let of_agent = ListParams::default().labels(&format!("steadfast.dev/agent={agent}"));
        let pods = api.list(&of_agent).await?;
        let live: Vec<_> = pods
            .iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .collect();
        ensure!(!live.is_empty(), "there is none");
        for pod in live {
            let patch = json!({ "status": status });
            api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
                .await?;
        }
        Ok(())
    }

    /// Makes an Agent's workers available and waits until it is Ready.
    pub(crate) async fn make_ready(&self, agent: &str) {
        let now = k8s_openapi::jiff::Timestamp::now();
        let running = json!({
            "phase": "Running",
            "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": now.to_string() }],
        });
        wait::until(format!("Agent {agent} to be Ready"), TIMEOUT, || async {
            // A pod may appear at any time until the rollout is over.
            self.set_pod_status(agent, &running).await?;
            self.check_condition(agent, ConditionType::Ready, "True", "AllConditionsMet")
                .await
        })
        .await
        .unwrap();
    }

    /// Name and resource version of all objects of a kind.
    pub(crate) async fn versions<K>(&self) -> Vec<(String, Option<String>)>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let objects = self.api::<K>().list(&ListParams::default()).await.unwrap();
        objects
            .iter()
            .map(|object| (object.name_any(), object.resource_version()))
            .collect()
    }
}

async fn start() -> ControlPlane {
    let control_plane = ControlPlane::start().await.unwrap();
    control_plane.define(steadfast_crds::definitions()).await.unwrap();
    control_plane
}

/// An Agent that needs nothing, with `spec` over it.
pub(crate) fn agent(name: &str, spec: Value) -> Value {
    let mut base = json!({
        "instructions": "Answer.",
        "model": { "name": "m", "apiKeyEnvVar": "" },
    });
    base.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({
        "apiVersion": "steadfast.dev/v1alpha1",
        "kind": "Agent",
        "metadata": { "name": name },
        "spec": base,
    })
}

/// A tool by activity, with `spec` over it.
pub(crate) fn tool(name: &str, spec: Value) -> Value {
    let mut base = json!({
        "description": "Tells the weather.",
        "activity": { "name": "get_weather", "taskQueue": "weather" },
    });
    base.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({
        "apiVersion": "steadfast.dev/v1alpha1",
        "kind": "AgentTool",
        "metadata": { "name": name },
        "spec": base,
    })
}

/// The pod template of a Deployment as JSON.
pub(crate) fn template(deployment: &Deployment) -> Value {
    serde_json::to_value(&deployment.spec.as_ref().unwrap().template).unwrap()
}

/// The credentials hash in a Deployment's pod template.
pub(crate) fn credentials_hash(deployment: &Deployment) -> String {
    template(deployment)["metadata"]["annotations"]["steadfast.dev/credentials-hash"]
        .as_str()
        .unwrap()
        .to_owned()
}
