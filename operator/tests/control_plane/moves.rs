//! An Agent moves between a WorkerPool and workers of its own, with a real API server and a real Temporal. Workers are
//! played: they take what waits at Temporal, and a task that has moved is one that ends here.

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ServiceAccount, rbac::v1::RoleBinding};
use kube::{ResourceExt as _, api::ListParams};
use serde_json::{Value, json};
use steadfast_crds::{Agent, AgentRevision, AgentStatus, WorkerPool, conditions::ConditionType};
use steadfast_temporal::{TemporalSettings, connect, send};
use steadfast_testkit::{temporal::plain_json, wait};
use temporalio_client::grpc::WorkflowService;
use temporalio_common::protos::temporal::api::{
    taskqueue::v1::TaskQueue, workflowservice::v1::PollWorkflowTaskQueueRequest,
};

use crate::{harness::TIMEOUT, scaling::Stage, scene::Scene};

impl Scene {
    /// Starts a task of an Agent on a queue such as `pool/shared`, as the gateway does.
    async fn start_task_of(&self, agent: &str, queue: &str, id: &str) {
        let namespace = &self.cluster.namespace;
        let memo = format!("steadfast_agent=\"{namespace}/{agent}\"");
        let queue = format!("test/{namespace}/{queue}");
        let start = [
            "workflow",
            "start",
            "--type",
            "AgentTask",
            "--workflow-id",
            id,
            "--memo",
            &memo,
        ];
        self.temporal
            .cli(&[&start[..], &["--task-queue", &queue]].concat())
            .await
            .unwrap();
    }

    /// What a task was told of Agents that moved: the inputs of the signals.
    async fn told(&self, task: &str) -> anyhow::Result<Vec<Value>> {
        let history = self.temporal.history(task, None).await?;
        let signals = history
            .iter()
            .map(|event| &event["workflowExecutionSignaledEventAttributes"])
            .filter(|signal| signal["signalName"] == "agent_moved");
        let inputs = signals.map(|signal| plain_json(&signal["input"]["payloads"][0]).context("no plain JSON"));
        inputs.collect()
    }

    /// Waits until a task knows where an Agent has moved, and was told once.
    async fn until_told(&self, task: &str, task_queue: &str) {
        wait::until(format!("task {task} to be told"), TIMEOUT, async || {
            let told = self.told(task).await?;
            let [input] = told.as_slice() else {
                anyhow::bail!("{told:?}")
            };
            ensure!(input["task_queue"] == task_queue, "{input}");
            Ok(())
        })
        .await
        .unwrap();
    }

    /// What a worker does with a task that has moved: no run of it is left on this queue.
    async fn leave(&self, task: &str) {
        let end = ["workflow", "terminate", "--workflow-id", task];
        self.temporal.cli(&end).await.unwrap();
    }

    /// Takes what waits on a queue, as workers do.
    async fn poll(&self, queue: &str) -> tokio::task::JoinHandle<()> {
        let settings = TemporalSettings::insecure(&self.temporal.address(), "default").unwrap();
        let connection = connect(&settings, "a worker", TIMEOUT).await.unwrap();
        let request = PollWorkflowTaskQueueRequest {
            namespace: "default".to_owned(),
            task_queue: Some(TaskQueue {
                name: format!("test/{}/{queue}", self.cluster.namespace),
                ..TaskQueue::default()
            }),
            identity: "a worker".to_owned(),
            ..PollWorkflowTaskQueueRequest::default()
        };
        tokio::spawn(async move {
            loop {
                let polled = send(
                    &connection,
                    request.clone(),
                    <dyn WorkflowService>::poll_workflow_task_queue,
                );
                // A poll that ends without a task is repeated.
                let _ = polled.await;
                tokio::task::yield_now().await;
            }
        })
    }

    async fn status(&self, agent: &str) -> AgentStatus {
        self.cluster.api::<Agent>().get(agent).await.unwrap().status.unwrap()
    }

    async fn revisions(&self, agent: &str) -> anyhow::Result<Vec<String>> {
        let of_agent = ListParams::default().labels(&format!("steadfast.dev/agent={agent}"));
        let revisions = self.cluster.api::<AgentRevision>().list(&of_agent).await?;
        Ok(revisions.iter().map(kube::ResourceExt::name_any).collect())
    }

    async fn until_revisions_are(&self, agent: &str, expected: &[&str]) {
        wait::until(format!("the revisions {expected:?}"), TIMEOUT, async || {
            let found = self.revisions(agent).await?;
            ensure!(found == expected, "{found:?}");
            Ok(())
        })
        .await
        .unwrap();
    }

    async fn generation(&self, deployment: &str) -> Option<i64> {
        let deployment = self.cluster.api::<Deployment>().get(deployment).await.unwrap();
        deployment.metadata.generation
    }

    async fn set_pool(&self, agent: &str, pool: Value) {
        let change = json!({ "spec": { "workerPool": pool, "worker": null } });
        self.cluster.edit::<Agent>(agent, change).await;
    }
}

async fn with_pool(name: &str, address: &'static str) -> Stage {
    let stage = Stage::set(name, address).await;
    let pool = json!({
        "apiVersion": "steadfast.dev/v1alpha1", "kind": "WorkerPool", "metadata": { "name": "shared" }, "spec": {},
    });
    stage.scene.cluster.create::<WorkerPool>(pool).await.unwrap();
    stage.run_pool("shared").await;
    stage.scene.cluster.make_pool_ready("shared").await;
    stage
}

#[tokio::test]
async fn an_agent_moves_to_a_pool_and_back_and_the_workers_before_stay_until_its_tasks_have_moved() {
    let stage = with_pool("moves", "127.0.72.7").await;
    let scene = &stage.scene;
    let (own, pool) = ("test/moves/agent/haiku", "test/moves/pool/shared");
    let workers = [scene.poll("agent/haiku").await, scene.poll("pool/shared").await];
    scene.cluster.agent("haiku", json!({})).await;
    stage.run_pods("haiku").await;
    scene.start_task_of("haiku", "agent/haiku", "one").await;
    scene.start_task_of("other", "pool/shared", "neighbour").await;
    let pool_before = scene.generation("pool-shared").await;
    let own_before = scene.generation("agent-haiku").await;

    scene.set_pool("haiku", json!({ "name": "shared" })).await;
    let revision = scene.cluster.revision("haiku-2").await;
    assert_eq!(revision.spec.task_queue, pool);
    scene.until_told("one", pool).await;
    scene
        .cluster
        .condition("haiku", ConditionType::Ready, "True", "AllConditionsMet")
        .await;
    let status = scene.status("haiku").await;
    assert_eq!(status.task_queue.as_deref(), Some(pool));
    assert_eq!(status.former_task_queues, [own]);
    assert_eq!(status.workers, None);
    // As long as a task is there, so are its workers and the revision that they run.
    assert_eq!(scene.generation("agent-haiku").await, own_before);
    assert_eq!(scene.revisions("haiku").await.unwrap(), ["haiku-1", "haiku-2"]);

    scene.leave("one").await;
    scene.cluster.gone::<Deployment>("agent-haiku").await;
    scene.cluster.gone::<ServiceAccount>("agent-haiku").await;
    scene.cluster.gone::<RoleBinding>("agent-haiku").await;
    scene.until_revisions_are("haiku", &["haiku-2"]).await;

    // And back, with a task that began on the pool.
    scene.start_task_of("haiku", "pool/shared", "two").await;
    scene.set_pool("haiku", Value::Null).await;
    assert_eq!(scene.cluster.revision("haiku-3").await.spec.task_queue, own);
    scene.cluster.deployment("haiku", |_| true).await;
    assert_eq!(
        scene.told("two").await.unwrap(),
        [] as [Value; 0],
        "nobody would run it"
    );
    stage.run_pods("haiku").await;
    scene.until_told("two", own).await;
    assert_eq!(scene.revisions("haiku").await.unwrap(), ["haiku-2", "haiku-3"]);
    scene.leave("two").await;
    scene.until_revisions_are("haiku", &["haiku-3"]).await;
    let status = scene.status("haiku").await;
    assert_eq!(status.former_task_queues, [pool]);

    assert_eq!(scene.generation("pool-shared").await, pool_before);
    assert_eq!(scene.told("neighbour").await.unwrap(), [] as [Value; 0]);
    let moving = scene.notes("haiku", "Moving").await.unwrap();
    assert!(
        moving.iter().any(|note| note.contains("WorkerPool \"shared\"")),
        "{moving:?}"
    );
    workers.iter().for_each(tokio::task::JoinHandle::abort);
    stage.scene.end_operator().await;
}

#[tokio::test]
async fn tasks_of_agents_that_may_have_handed_off_to_it_are_told_and_stay_where_they_are() {
    let stage = with_pool("moves-referred", "127.0.72.8").await;
    let scene = &stage.scene;
    let handoff = |agent: &str| json!({ "handoffs": [{ "agent": agent }] });
    scene.cluster.agent("billing", json!({})).await;
    scene.cluster.agent("desk", handoff("billing")).await;
    scene.cluster.agent("triage", handoff("desk")).await;
    scene.cluster.agent("stranger", json!({})).await;
    for agent in ["billing", "desk", "triage", "stranger"] {
        stage.run_pods(agent).await;
    }
    for agent in ["desk", "triage", "stranger"] {
        let task = format!("of-{agent}");
        scene.start_task_of(agent, &format!("agent/{agent}"), &task).await;
    }
    scene.set_pool("billing", json!({ "name": "shared" })).await;
    for task in ["of-desk", "of-triage"] {
        scene.until_told(task, "test/moves-referred/pool/shared").await;
    }
    // No task of its own is left, and none of theirs is waited for.
    scene.cluster.gone::<Deployment>("agent-billing").await;
    assert_eq!(scene.told("of-stranger").await.unwrap(), [] as [Value; 0]);
    let desk = scene.cluster.revision("desk-2").await;
    assert_eq!(desk.spec.handoffs[0].task_queue, "test/moves-referred/pool/shared");
    stage.scene.end_operator().await;
}

#[tokio::test]
async fn an_agent_that_cannot_move_stays_where_it_is_with_its_workers() {
    let stage = with_pool("moves-refused", "127.0.72.10").await;
    let scene = &stage.scene;
    scene.cluster.agent("haiku", json!({})).await;
    stage.run_pods("haiku").await;
    scene.start_task_of("haiku", "agent/haiku", "one").await;
    let before = scene.generation("agent-haiku").await;
    scene.set_pool("haiku", json!({ "name": "no-such-pool" })).await;
    scene
        .cluster
        .condition(
            "haiku",
            ConditionType::ReferencesResolved,
            "False",
            "WorkerPoolNotFound",
        )
        .await;
    let status = scene.status("haiku").await;
    assert_eq!(status.task_queue.as_deref(), Some("test/moves-refused/agent/haiku"));
    assert_eq!(scene.revisions("haiku").await.unwrap(), ["haiku-1"]);
    assert_eq!(scene.generation("agent-haiku").await, before);
    assert_eq!(scene.told("one").await.unwrap(), [] as [Value; 0]);

    // The pool that it wants comes.
    scene.set_pool("haiku", json!({ "name": "shared" })).await;
    scene.until_told("one", "test/moves-refused/pool/shared").await;
    // It is deleted in the middle of the move: it stays for the task, which is not where it was deleted.
    let held = json!({ "spec": { "deletion": { "policy": "Drain", "deadline": "10m" } } });
    scene.cluster.edit::<Agent>("haiku", held).await;
    wait::until("the finalizer", TIMEOUT, async || {
        let agent = scene.cluster.api::<Agent>().get("haiku").await?;
        ensure!(!agent.finalizers().is_empty(), "not yet");
        Ok(())
    })
    .await
    .unwrap();
    scene.cluster.delete::<Agent>("haiku").await;
    let message = wait::until("the deletion to wait", TIMEOUT, async || {
        let status = scene
            .cluster
            .api::<Agent>()
            .get("haiku")
            .await?
            .status
            .unwrap_or_default();
        let ready = steadfast_operator::conditions::find(&status.conditions, ConditionType::Ready).cloned();
        ready
            .filter(|ready| ready.reason == "Draining")
            .map(|ready| ready.message)
            .context("not yet")
    })
    .await
    .unwrap();
    assert!(message.contains("1 task is left"), "{message}");
    scene.leave("one").await;
    scene.cluster.gone::<Agent>("haiku").await;
    stage.scene.end_operator().await;
}
