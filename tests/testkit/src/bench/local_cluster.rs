//! An API server, the operator, and the worker pods as processes, beside a stack whose gateway serves this API server.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Resource,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::ApiResource,
};
use serde_json::{Value, json};
use steadfast_crds::Agent;

use super::{
    Build,
    arrivals::{Arrivals, has_condition, state},
};
use crate::{
    cluster::{AuditLog, NewUser},
    control_plane::{ControlPlane, ControlPlaneOptions},
    local_node::{LocalNode, RunningPod},
    stack::{API_KEY, BinaryDir, Component, GatewayOptions, NAMESPACE, Stack},
    temporal::TemporalOptions,
};

/// The Secret with the key of the model, and the key in it.
pub(super) const SECRET: &str = "model";
pub(super) const SECRET_KEY: &str = "api-key";
/// The user that the operator is. Its writes are recorded.
const OPERATOR: &str = "steadfast-operator";
/// For everything that a fleet of this size can wait for.
pub(super) const LIMIT: Duration = Duration::from_mins(20);
/// Requests of the bench that are in flight at once.
const REQUESTS_AT_ONCE: usize = 16;

/// One cluster. Dropped in this order: clients before servers.
pub(super) struct LocalCluster {
    _operator: Component,
    node: LocalNode,
    control_plane: ControlPlane,
}

/// The resource version of the worker pods' programs: one that is started again is another process.
pub(super) type Processes = BTreeSet<(String, String)>;

/// An API server with the custom resources of this build.
pub(super) async fn control_plane(build: &Build) -> anyhow::Result<ControlPlane> {
    let options = ControlPlaneOptions {
        users: vec![NewUser::new(OPERATOR, &["system:masters"])],
    };
    let control_plane = ControlPlane::start_audited(options).await?;
    control_plane.define(build.definitions.clone()).await?;
    Ok(control_plane)
}

/// Temporal, Redis, and a gateway that serves the agents of this API server and wakes them.
pub(super) async fn stack(programs: &BinaryDir, kubeconfig: &Path, temporal: TemporalOptions) -> anyhow::Result<Stack> {
    let gateway = GatewayOptions {
        cluster: Some(kubeconfig.to_path_buf()),
        ..GatewayOptions::default()
    };
    Stack::start_with_options(temporal, programs.clone(), gateway).await
}

impl LocalCluster {
    /// Starts the operator and the node of this build, and creates the Secret.
    pub(super) async fn start(control_plane: ControlPlane, stack: &Stack, build: &Build) -> anyhow::Result<Self> {
        let kubeconfig = control_plane.kubeconfig_of(&control_plane.user(OPERATOR).await?)?;
        let operator = stack.operator_of(&build.programs, &kubeconfig)?;
        operator.launch().await?;
        let node = LocalNode::start(&control_plane, &build.programs.worker()?)?;
        let cluster = Self {
            _operator: operator,
            node,
            control_plane,
        };
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": SECRET },
            "stringData": { SECRET_KEY: API_KEY },
        });
        cluster.create::<Secret>(secret).await?;
        Ok(cluster)
    }

    /// What the operator writes.
    pub(super) fn audit(&self) -> anyhow::Result<&AuditLog> {
        self.control_plane.audit()
    }

    /// The pods whose programs run.
    pub(super) fn pods(&self) -> Vec<Arc<RunningPod>> {
        self.node.pods()
    }

    /// The pods, each with the process that runs its program.
    pub(super) fn processes(&self) -> Processes {
        let of_pod = |pod: Arc<RunningPod>| {
            let process = pod.service().process().map(|process| process.to_string());
            (pod.name().to_owned(), process.unwrap_or_default())
        };
        self.pods().into_iter().map(of_pod).collect()
    }

    pub(super) fn api<K: Resource<DynamicType = ()>>(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.control_plane.client(), NAMESPACE, &ApiResource::erase::<K>(&()))
    }

    pub(super) async fn create<K: Resource<DynamicType = ()>>(&self, object: Value) -> anyhow::Result<()> {
        let object: DynamicObject = serde_json::from_value(object).context("read an object of the bench")?;
        let created = self.api::<K>().create(&PostParams::default(), &object).await;
        created.map(drop).with_context(|| format!("create a {}", K::kind(&())))
    }

    /// Merges a change into an object.
    pub(super) async fn edit<K: Resource<DynamicType = ()>>(&self, name: &str, change: &Value) -> anyhow::Result<()> {
        self.api::<K>()
            .patch(name, &PatchParams::default(), &Patch::Merge(change))
            .await
            .map(drop)
            .with_context(|| format!("edit {name}"))
    }

    /// Creates Agents, and waits until all Agents are Ready, `total` in number.
    pub(super) async fn create_agents(&self, agents: &[Value], total: usize) -> anyhow::Result<()> {
        stream::iter(agents)
            .map(|agent| self.create::<Agent>(agent.clone()))
            .buffer_unordered(REQUESTS_AT_ONCE)
            .try_collect::<()>()
            .await?;
        self.until_ready::<Agent>(total).await
    }

    /// Waits until so many objects of a kind have been seen Ready.
    pub(super) async fn until_ready<K: Resource<DynamicType = ()>>(&self, count: usize) -> anyhow::Result<()> {
        let mut arrivals = Arrivals::watch(self.api::<K>(), vec![state(|object| has_condition(object, "Ready"))]);
        let ready: anyhow::Result<BTreeMap<_, _>> = arrivals.until(0, count, LIMIT).await;
        ready.map(drop).with_context(|| format!("wait for {}", K::plural(&())))
    }
}

/// An Agent that a model at this address answers for, with `spec` over it.
pub(super) fn agent(name: &str, base_url: &str, spec: &Value) -> Value {
    let mut base = json!({
        "description": "Answers briefly.",
        "instructions": "You are a test. Answer in one sentence.",
        "model": {
            "name": "paced", "baseUrl": base_url, "apiKeyEnvVar": "OPENAI_API_KEY",
            "retry": { "initialInterval": "200ms", "maximumInterval": "2s" },
        },
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        base[field] = value.clone();
    }
    json!({
        "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent", "metadata": { "name": name }, "spec": base,
    })
}

/// `credentials` of an Agent or of a WorkerPool: the key of the model.
pub(super) fn credentials() -> Value {
    json!([{ "envVarName": "OPENAI_API_KEY", "secretName": SECRET, "secretKey": SECRET_KEY }])
}
