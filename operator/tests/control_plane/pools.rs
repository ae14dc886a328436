//! WorkerPools: one Deployment for many Agents, which no change of an Agent touches.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, ServiceAccount},
    rbac::v1::Role,
};
use kube::{
    ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use steadfast_crds::{Agent, AgentRevision, WorkerPool, conditions::ConditionType};
use steadfast_operator::conditions::find;
use steadfast_testkit::wait;

use crate::harness::{Cluster, TIMEOUT, credentials_hash, template};

impl Cluster {
    async fn pool(&self, name: &str, spec: Value) -> WorkerPool {
        let pool = json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "WorkerPool", "metadata": { "name": name }, "spec": spec,
        });
        self.create(pool).await.unwrap()
    }

    async fn agent_on(&self, pool: &str, name: &str) -> Agent {
        self.agent(name, json!({ "workerPool": { "name": pool } })).await
    }

    async fn pool_deployment(&self, pool: &str, condition: impl Fn(&Deployment) -> bool) -> Deployment {
        let api = self.api::<Deployment>();
        let name = format!("pool-{pool}");
        wait::until(format!("Deployment {name}"), TIMEOUT, || async {
            let deployment = api.get(&name).await?;
            anyhow::ensure!(condition(&deployment), "not yet: {:?}", deployment.spec);
            Ok(deployment)
        })
        .await
        .unwrap()
    }

    /// Waits until the status of a pool satisfies `condition`.
    async fn pool_status(&self, name: &str, what: &str, condition: impl Fn(&WorkerPool) -> bool) -> WorkerPool {
        let api = self.api::<WorkerPool>();
        wait::until(format!("{what} of WorkerPool {name}"), TIMEOUT, || async {
            let pool = api.get(name).await?;
            anyhow::ensure!(condition(&pool), "not yet: {:?}", pool.status);
            Ok(pool)
        })
        .await
        .unwrap()
    }

    /// Acts as the kubelet until the pool is Ready.
    pub(crate) async fn make_pool_ready(&self, pool: &str) {
        let pods = self.api::<Pod>();
        let pools = self.api::<WorkerPool>();
        let of_pool = ListParams::default().labels(&format!("steadfast.dev/worker-pool={pool}"));
        let now = k8s_openapi::jiff::Timestamp::now();
        let running = json!({ "status": {
            "phase": "Running",
            "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": now.to_string() }],
        } });
        wait::until(format!("WorkerPool {pool} to be Ready"), TIMEOUT, || async {
            for pod in pods.list(&of_pool).await? {
                pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&running))
                    .await?;
            }
            let pool = pools.get(pool).await?;
            let status = pool.status.unwrap_or_default();
            anyhow::ensure!(status.observed_generation == pool.metadata.generation, "not observed");
            let ready = find(&status.conditions, ConditionType::Ready);
            anyhow::ensure!(ready.is_some_and(|ready| ready.status == "True"), "it is {ready:?}");
            Ok(())
        })
        .await
        .unwrap();
    }
}

fn agents(count: i32) -> impl Fn(&WorkerPool) -> bool {
    move |pool| pool.status.as_ref().and_then(|status| status.agents) == Some(count)
}

#[tokio::test]
async fn agents_come_change_and_go_and_the_pods_of_their_pool_stay() {
    let (cluster, operator) = Cluster::with_operator("pool-agents").await;
    cluster.pool("shared", json!({ "worker": { "replicas": 2 } })).await;
    cluster.make_pool_ready("shared").await;
    let before = cluster.pool_deployment("shared", |_| true).await;
    assert_eq!(before.spec.as_ref().unwrap().replicas, Some(2));

    for agent in ["haiku", "prose"] {
        cluster.agent_on("shared", agent).await;
        cluster
            .condition(agent, ConditionType::Ready, "True", "AllConditionsMet")
            .await;
        let revision = cluster.revision(&format!("{agent}-1")).await;
        assert_eq!(revision.spec.task_queue, "test/pool-agents/pool/shared");
        assert_eq!(revision.labels()["steadfast.dev/worker-pool"], "shared");
    }
    let pool = cluster.pool_status("shared", "two agents", agents(2)).await;
    let status = pool.status.unwrap();
    assert_eq!(status.task_queue.as_deref(), Some("test/pool-agents/pool/shared"));
    let agent = cluster.api::<Agent>().get("haiku").await.unwrap().status.unwrap();
    assert_eq!(agent.task_queue, status.task_queue);
    assert_eq!(agent.workers, None);

    cluster
        .edit::<Agent>("haiku", json!({ "spec": { "instructions": "Else." } }))
        .await;
    cluster.revision("haiku-2").await;
    cluster.delete::<Agent>("prose").await;
    cluster.pool_status("shared", "one agent", agents(1)).await;
    cluster.agent_on("shared", "verse").await;
    cluster
        .condition("verse", ConditionType::Ready, "True", "AllConditionsMet")
        .await;

    let after = cluster.pool_deployment("shared", |_| true).await;
    assert_eq!(after.metadata.generation, before.metadata.generation);
    assert_eq!(template(&after), template(&before));
    let deployments = cluster.versions::<Deployment>().await;
    assert_eq!(deployments.len(), 1, "no Agent has pods of its own: {deployments:?}");
    operator.stop().await;
}

#[tokio::test]
async fn an_edit_of_the_pool_or_of_its_secret_rolls_its_pods() {
    let (cluster, operator) = Cluster::with_operator("pool-edit").await;
    cluster.secret("openai", json!({ "api-key": "sk-1" })).await;
    let credentials = json!([{ "envVarName": "KEY", "secretName": "openai", "secretKey": "api-key" }]);
    cluster.pool("shared", json!({ "credentials": credentials })).await;
    cluster.agent_on("shared", "haiku").await;
    cluster.make_pool_ready("shared").await;
    let before = cluster.pool_deployment("shared", |_| true).await;
    let environment = &template(&before)["spec"]["containers"][0]["env"];
    for variable in [
        json!({ "name": "STEADFAST_WORKER_POOL", "value": "shared" }),
        json!({ "name": "STEADFAST_TASK_QUEUE", "value": "test/pool-edit/pool/shared" }),
        json!({ "name": "KEY", "valueFrom": { "secretKeyRef": { "name": "openai", "key": "api-key" } } }),
    ] {
        assert!(environment.as_array().unwrap().contains(&variable), "{environment:#}");
    }

    let hash = credentials_hash(&before);
    cluster
        .edit::<k8s_openapi::api::core::v1::Secret>("openai", json!({ "stringData": { "api-key": "sk-2" } }))
        .await;
    let rotated = cluster
        .pool_deployment("shared", |deployment| credentials_hash(deployment) != hash)
        .await;
    cluster
        .edit::<WorkerPool>("shared", json!({ "spec": { "worker": { "image": "worker:2" } } }))
        .await;
    let edited = cluster
        .pool_deployment("shared", |deployment| {
            template(deployment)["spec"]["containers"][0]["image"] == "worker:2"
        })
        .await;
    let generation = |deployment: &Deployment| deployment.metadata.generation.unwrap();
    assert_eq!(generation(&rotated), generation(&before) + 1);
    assert_eq!(generation(&edited), generation(&before) + 2);
    operator.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_an_agent_on_a_pool_is_said_and_mends_itself() {
    let (cluster, operator) = Cluster::with_operator("pool-errors").await;
    cluster.agent_on("later", "early").await;
    cluster
        .condition(
            "early",
            ConditionType::ReferencesResolved,
            "False",
            "WorkerPoolNotFound",
        )
        .await;
    let own = json!([{ "envVarName": "KEY", "secretName": "own", "secretKey": "k" }]);
    cluster
        .agent("own", json!({ "workerPool": { "name": "later" }, "credentials": own }))
        .await;
    cluster
        .condition("own", ConditionType::Accepted, "False", "CredentialsBelongToPool")
        .await;
    let needs = json!({ "workerPool": { "name": "later" }, "model": { "name": "m", "apiKeyEnvVar": "MODEL_KEY" } });
    cluster.agent("needs", needs).await;

    cluster.pool("later", json!({})).await;
    cluster
        .condition("early", ConditionType::WorkersAvailable, "False", "WorkersUnavailable")
        .await;
    let message = cluster
        .condition(
            "needs",
            ConditionType::CredentialsResolved,
            "False",
            "EnvVarNotProvided",
        )
        .await;
    assert!(message.contains("the credentials of WorkerPool \"later\""), "{message}");
    cluster.make_pool_ready("later").await;
    cluster
        .condition("early", ConditionType::Ready, "True", "AllConditionsMet")
        .await;

    // A bad Agent harms neither the pool nor the others on it.
    cluster
        .condition("own", ConditionType::Accepted, "False", "CredentialsBelongToPool")
        .await;
    cluster.secret("model", json!({ "key": "sk" })).await;
    let credentials = json!([{ "envVarName": "MODEL_KEY", "secretName": "model", "secretKey": "key" }]);
    cluster
        .edit::<WorkerPool>("later", json!({ "spec": { "credentials": credentials } }))
        .await;
    cluster.make_pool_ready("later").await;
    cluster
        .condition("needs", ConditionType::Ready, "True", "AllConditionsMet")
        .await;
    let revision = cluster.revision("needs-1").await;
    let names: Vec<_> = revision
        .spec
        .credentials
        .iter()
        .map(|c| c.env_var_name.as_str())
        .collect();
    assert_eq!(names, ["MODEL_KEY"]);
    operator.stop().await;
}

#[tokio::test]
async fn an_agent_on_a_pool_describes_no_workers_of_its_own() {
    let cluster = Cluster::new("pool-home").await;
    let both = json!({ "workerPool": { "name": "shared" }, "worker": { "replicas": 2 } });
    let both = crate::harness::agent("both", both);
    let refused = cluster.create::<Agent>(both).await.unwrap_err();
    assert!(refused.to_string().contains("exclude each other"), "{refused}");
}

#[tokio::test]
async fn a_deleted_pool_takes_its_objects_with_it_and_at_rest_nothing_is_written() {
    let (cluster, operator) = Cluster::with_operator("pool-end").await;
    cluster.pool("shared", json!({})).await;
    cluster.agent_on("shared", "haiku").await;
    cluster.make_pool_ready("shared").await;
    cluster
        .condition("haiku", ConditionType::Ready, "True", "AllConditionsMet")
        .await;
    let versions = async || {
        (
            cluster.versions::<WorkerPool>().await,
            cluster.versions::<Agent>().await,
            cluster.versions::<AgentRevision>().await,
            cluster.versions::<Deployment>().await,
        )
    };
    let before = versions().await;
    // Each restart reconciles everything once. Of the second operator nothing is to be seen.
    operator.stop().await;
    let operator = cluster
        .start_operator(steadfast_operator::args::LeaderElection::Disabled)
        .await;
    cluster.pool("probe", json!({})).await;
    cluster.pool_status("probe", "a count", agents(0)).await;
    cluster.delete::<WorkerPool>("probe").await;
    cluster.gone::<Deployment>("pool-probe").await;
    assert_eq!(versions().await, before);

    cluster.delete::<WorkerPool>("shared").await;
    cluster
        .condition(
            "haiku",
            ConditionType::ReferencesResolved,
            "False",
            "WorkerPoolNotFound",
        )
        .await;
    cluster.gone::<Deployment>("pool-shared").await;
    cluster.gone::<ServiceAccount>("pool-shared").await;
    assert!(
        cluster
            .api::<Role>()
            .get_opt("steadfast-worker")
            .await
            .unwrap()
            .is_some()
    );
    cluster.delete::<Agent>("haiku").await;
    cluster.gone::<Role>("steadfast-worker").await;
    operator.stop().await;
}
