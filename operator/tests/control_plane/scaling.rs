//! Autoscaling with a real API server and a real Temporal. Workers are played: a pod has an address at which the test
//! says what the worker does.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use steadfast_crds::{Agent, WorkerPool, conditions::ConditionType};
use steadfast_process::{AdminServer, Readiness, prometheus::Registry};
use steadfast_testkit::{temporal::count_events, wait};
use tokio::net::TcpListener;

use crate::{
    harness::{Cluster, TIMEOUT},
    scene::Scene,
    versions,
};

/// What a worker says that had nothing to do for the whole cooldown period.
const IDLE: u64 = 61;

/// A scene with the workers of all Agents.
pub(crate) struct Stage {
    pub(crate) scene: Scene,
    worker: Arc<Mutex<Value>>,
    requests: Arc<AtomicUsize>,
    address: &'static str,
}

impl Stage {
    /// `address` is one of this machine that no other test uses.
    pub(crate) async fn set(name: &str, address: &'static str) -> Self {
        let scene = Scene::with_flags(name, |operator| operator.flag("autoscaling-interval-seconds", 1)).await;
        let worker = Arc::new(Mutex::new(Value::Null));
        let requests = Arc::new(AtomicUsize::new(0));
        let (report, counter) = (Arc::clone(&worker), Arc::clone(&requests));
        let listener = TcpListener::bind((address, 8081)).await.unwrap();
        let server = AdminServer::new(Readiness::new(), Registry::new()).with_report("/work", move || {
            counter.fetch_add(1, Ordering::SeqCst);
            report.lock().unwrap().clone()
        });
        tokio::spawn(server.serve(listener, std::future::pending()));
        let stage = Self {
            scene,
            worker,
            requests,
            address,
        };
        stage.works(0, 0, IDLE);
        stage
    }

    /// What every worker says.
    fn works(&self, activities: u32, turns: u32, idle_seconds: u64) {
        *self.worker.lock().unwrap() =
            json!({ "activities": activities, "turns": turns, "idle_seconds": idle_seconds });
    }

    /// An Agent that scales to zero, with a worker that is ready.
    async fn agent(&self, name: &str) {
        let autoscaling = json!({ "minReplicas": 0, "maxReplicas": 3, "targetQueueSize": 2, "cooldownPeriod": "1m" });
        self.scene
            .cluster
            .agent(name, json!({ "worker": { "autoscaling": autoscaling } }))
            .await;
        self.run_pods(name).await;
    }

    pub(crate) async fn run_pods(&self, agent: &str) {
        let running = json!({ "podIP": self.address, "podIPs": [{ "ip": self.address }] });
        self.scene.cluster.set_pods_status(agent, &running).await;
        self.scene.cluster.make_ready(agent).await;
    }

    pub(crate) async fn run_pool(&self, pool: &str) {
        let pods = self.scene.cluster.api::<Pod>();
        let of_pool = ListParams::default().labels(&format!("steadfast.dev/worker-pool={pool}"));
        let running = json!({ "status": {
            "phase": "Running", "podIP": self.address, "podIPs": [{ "ip": self.address }],
            "conditions": [{ "type": "Ready", "status": "True" }],
        } });
        wait::until(format!("a pod of {pool}"), TIMEOUT, async || {
            let pod = pods.list(&of_pool).await?.items.pop().context("none yet")?;
            pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&running))
                .await?;
            Ok(())
        })
        .await
        .unwrap();
    }

    async fn replicas(&self, deployment: &str, expected: i32) {
        let api = self.scene.cluster.api::<Deployment>();
        wait::until(format!("{expected} replicas of {deployment}"), TIMEOUT, async || {
            let spec = api.get(deployment).await?.spec.context("no spec")?;
            ensure!(spec.replicas == Some(expected), "there are {:?}", spec.replicas);
            Ok(())
        })
        .await
        .unwrap();
    }

    /// Waits until an Agent sleeps and says so.
    async fn asleep(&self, agent: &str) {
        self.replicas(&format!("agent-{agent}"), 0).await;
        self.scene
            .cluster
            .condition(agent, ConditionType::Ready, "True", "ScaledToZero")
            .await;
    }

    /// Waits until workers were asked several times more.
    async fn asked_again(&self) {
        let before = self.requests.load(Ordering::SeqCst);
        wait::until("further requests of the operator", TIMEOUT, async || {
            ensure!(self.requests.load(Ordering::SeqCst) > before + 5, "not yet");
            Ok(())
        })
        .await
        .unwrap();
    }

    /// What the gateway does.
    async fn wake(&self, agent: &str) {
        let now = k8s_openapi::jiff::Timestamp::now().to_string();
        let annotation = json!({ "metadata": { "annotations": { "steadfast.dev/wake": now } } });
        self.scene.cluster.edit::<Agent>(agent, annotation).await;
    }

    /// Waits until the Events with this reason about an object have these notes: an Event follows what it tells.
    async fn noted(&self, object: &str, reason: &str, notes: &[&str]) {
        wait::until(format!("the Events {reason} of {object}"), TIMEOUT, async || {
            let found = self.scene.notes(object, reason).await?;
            ensure!(found == notes, "{found:?}");
            Ok(())
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn an_idle_agent_sleeps_and_a_message_wakes_it_at_once() {
    let stage = Stage::set("sleeps", "127.0.72.1").await;
    stage.works(0, 1, 0);
    stage.agent("weather").await;
    // A turn waits for somebody else's activity.
    stage.agent("other").await;
    stage.works(0, 0, IDLE);
    stage.asleep("weather").await;
    stage.asleep("other").await;
    stage
        .noted(
            "weather",
            "ScaledDown",
            &["from 1 to 0 workers: they had nothing to do for 1m"],
        )
        .await;

    let before = Instant::now();
    stage.wake("weather").await;
    stage.replicas("agent-weather", 1).await;
    let took = before.elapsed();
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    stage
        .noted("weather", "ScaledUp", &["from 0 to 1 workers: a message came"])
        .await;
    stage.works(1, 0, 0);
    stage.run_pods("weather").await;
    stage.replicas("agent-other", 0).await;
    stage.scene.end_operator().await;
}

#[tokio::test]
async fn what_waits_at_temporal_wakes_an_agent_whose_message_was_lost_and_scales_it_up() {
    let stage = Stage::set("backlog", "127.0.72.2").await;
    stage.agent("weather").await;
    stage.asleep("weather").await;
    stage.scene.start_task("agent/weather", "one").await;
    stage.replicas("agent-weather", 1).await;
    stage
        .noted("weather", "ScaledUp", &["from 0 to 1 workers: 1 task waits"])
        .await;
    for task in ["two", "three"] {
        stage.scene.start_task("agent/weather", task).await;
    }
    stage.replicas("agent-weather", 2).await;
    for number in 0..20 {
        stage.scene.start_task("agent/weather", &format!("more-{number}")).await;
    }
    stage.replicas("agent-weather", 3).await;
    stage.scene.end_operator().await;
}

#[tokio::test]
async fn a_worker_in_the_middle_of_a_turn_stays_and_so_does_one_that_does_not_answer() {
    let stage = Stage::set("mid-turn", "127.0.72.3").await;
    stage.works(0, 1, 0);
    stage.agent("turn").await;
    stage.agent("sleeper").await;
    // Not a worker: nobody listens there.
    let nobody = json!({ "podIP": "127.0.72.9", "podIPs": [{ "ip": "127.0.72.9" }] });
    let autoscaling = json!({ "minReplicas": 0, "maxReplicas": 1, "cooldownPeriod": "1m" });
    let silent = json!({ "worker": { "autoscaling": autoscaling } });
    stage.scene.cluster.agent("silent", silent).await;
    stage.scene.cluster.set_pods_status("silent", &nobody).await;
    stage.scene.cluster.make_ready("silent").await;
    stage.asked_again().await;
    for agent in ["turn", "silent", "sleeper"] {
        stage.replicas(&format!("agent-{agent}"), 1).await;
    }
    stage.works(0, 0, IDLE);
    stage.asleep("turn").await;
    stage.asleep("sleeper").await;
    stage.replicas("agent-silent", 1).await;
    stage.scene.end_operator().await;
}

#[tokio::test]
async fn the_number_of_pods_belongs_to_whoever_sets_it_where_the_spec_does_not() {
    let (cluster, operator) = Cluster::with_operator("hpa").await;
    cluster.agent("weather", json!({ "worker": { "replicas": 3 } })).await;
    let has =
        |replicas: i32| move |deployment: &Deployment| deployment.spec.as_ref().unwrap().replicas == Some(replicas);
    cluster.deployment("weather", has(3)).await;
    // Kept as it is, not reset to one.
    cluster
        .edit::<Agent>(
            "weather",
            json!({ "spec": { "worker": { "replicas": null, "image": "worker:2" } } }),
        )
        .await;
    let is_second = |deployment: &Deployment| crate::harness::template(deployment).to_string().contains("worker:2");
    let kept = cluster.deployment("weather", is_second).await;
    assert!(has(3)(&kept), "{:?}", kept.spec.unwrap().replicas);

    scale(&cluster, 5).await;
    cluster
        .edit::<Agent>("weather", json!({ "spec": { "worker": { "image": "worker:3" } } }))
        .await;
    let is_third = |deployment: &Deployment| crate::harness::template(deployment).to_string().contains("worker:3");
    let scaled = cluster.deployment("weather", is_third).await;
    assert!(has(5)(&scaled), "{:?}", scaled.spec.unwrap().replicas);
    // Zero is zero, as KEDA sets it.
    scale(&cluster, 0).await;
    cluster
        .condition("weather", ConditionType::Ready, "True", "ScaledToZero")
        .await;
    cluster
        .edit::<Agent>("weather", json!({ "spec": { "worker": { "image": "worker:4" } } }))
        .await;
    let is_fourth = |deployment: &Deployment| crate::harness::template(deployment).to_string().contains("worker:4");
    let asleep = cluster.deployment("weather", is_fourth).await;
    assert!(has(0)(&asleep), "{:?}", asleep.spec.unwrap().replicas);
    // A number in the spec counts again.
    cluster
        .edit::<Agent>("weather", json!({ "spec": { "worker": { "replicas": 2 } } }))
        .await;
    cluster.deployment("weather", has(2)).await;
    operator.stop().await;
}

/// Sets the number of pods as a HorizontalPodAutoscaler does.
async fn scale(cluster: &Cluster, replicas: i32) {
    let api: Api<Deployment> = cluster.api();
    let parameters = PatchParams {
        field_manager: Some("horizontal-pod-autoscaler".to_owned()),
        ..PatchParams::default()
    };
    let number = json!({ "spec": { "replicas": replicas } });
    api.patch_scale("agent-weather", &parameters, &Patch::Merge(&number))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_agent_that_sleeps_when_its_autoscaling_is_removed_gets_a_worker() {
    let stage = Stage::set("removed", "127.0.72.4").await;
    stage.agent("weather").await;
    stage.asleep("weather").await;
    stage
        .scene
        .cluster
        .edit::<Agent>("weather", json!({ "spec": { "worker": { "autoscaling": null } } }))
        .await;
    stage.replicas("agent-weather", 1).await;
    stage.scene.end_operator().await;
}

#[tokio::test]
async fn a_message_for_an_agent_wakes_the_pool_that_runs_it() {
    let stage = Stage::set("sleeping-pool", "127.0.72.5").await;
    let autoscaling = json!({ "minReplicas": 0, "maxReplicas": 2, "cooldownPeriod": "1m" });
    let pool = json!({
        "apiVersion": "steadfast.dev/v1alpha1", "kind": "WorkerPool", "metadata": { "name": "shared" },
        "spec": { "worker": { "autoscaling": autoscaling } },
    });
    stage.scene.cluster.create::<WorkerPool>(pool).await.unwrap();
    stage.replicas("pool-shared", 1).await;
    stage
        .scene
        .cluster
        .agent("haiku", json!({ "workerPool": { "name": "shared" } }))
        .await;
    stage.run_pool("shared").await;
    stage.replicas("pool-shared", 0).await;
    stage
        .scene
        .cluster
        .condition("haiku", ConditionType::Ready, "True", "ScaledToZero")
        .await;
    stage.wake("haiku").await;
    stage.replicas("pool-shared", 1).await;
    stage
        .noted("shared", "ScaledUp", &["from 0 to 1 workers: a message came"])
        .await;
    stage.scene.end_operator().await;
}

#[tokio::test]
async fn tasks_of_a_sleeping_agent_that_is_deleted_get_a_worker_to_end() {
    let stage = Stage::set("sleeping-drain", "127.0.72.6").await;
    let autoscaling = json!({ "minReplicas": 0, "maxReplicas": 1, "cooldownPeriod": "1m" });
    let spec = json!({
        "worker": { "autoscaling": autoscaling }, "deletion": { "policy": "Drain", "deadline": "10m" },
    });
    stage.scene.cluster.agent("weather", spec).await;
    stage.run_pods("weather").await;
    stage.asleep("weather").await;
    stage.scene.start_task("agent/weather", "waiting").await;
    stage.scene.cluster.delete::<Agent>("weather").await;
    stage.replicas("agent-weather", 1).await;
    let canceled = stage.scene.temporal.history("waiting", None).await.unwrap();
    let canceled = count_events(&canceled, "WORKFLOW_EXECUTION_CANCEL_REQUESTED");
    assert_eq!(canceled, 0, "there are workers that can end it");
    let end = ["workflow", "terminate", "--workflow-id", "waiting"];
    stage.scene.temporal.cli(&end).await.unwrap();
    stage.scene.cluster.gone::<Agent>("weather").await;
    stage.scene.end_operator().await;
}

#[tokio::test]
async fn an_agent_whose_tasks_are_pinned_wakes_for_them_and_for_another_image() {
    let stage = Stage::set("sleeping-version", "127.0.72.7").await;
    stage.works(0, 1, 0);
    let autoscaling = json!({ "minReplicas": 0, "maxReplicas": 1, "cooldownPeriod": "1m" });
    let worker = json!({ "image": "worker:1", "rollout": "Pinned", "autoscaling": autoscaling });
    let cluster = &stage.scene.cluster;
    let connection = versions::connection(&stage.scene).await;
    for agent in ["weather", "haiku"] {
        cluster.agent(agent, json!({ "worker": worker })).await;
        let poller = versions::poll(&connection, &cluster.deployment(agent, |_| true).await);
        stage.run_pods(agent).await;
        cluster
            .condition(agent, ConditionType::VersionRolledOut, "True", "RolledOut")
            .await;
        drop(poller);
    }
    stage.works(0, 0, IDLE);
    stage.asleep("weather").await;
    stage.asleep("haiku").await;

    stage.scene.start_task("agent/weather", "one").await;
    stage.replicas("agent-weather", 1).await;
    stage
        .noted("weather", "ScaledUp", &["from 0 to 1 workers: 1 task waits"])
        .await;
    // One pod has to show that it works.
    let another = json!({ "spec": { "worker": { "image": "worker:2" } } });
    cluster.edit::<Agent>("haiku", another).await;
    stage.replicas("agent-haiku", 1).await;
    stage.scene.end_operator().await;
}
