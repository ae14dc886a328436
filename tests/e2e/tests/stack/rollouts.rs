//! Another worker image for an Agent with `rollout: Pinned`: the operator with an API server, real workers of each version
//! and a real Temporal. Nobody runs pods here: the test says which are available, and starts the workers.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use steadfast_crds::Agent as AgentResource;
use steadfast_e2e::{
    backend::stack::{guarded_nonce_tool, tools_worker},
    chart::chart,
};
use steadfast_testkit::{
    ControlPlane, TemporalOptions,
    scripted_model::{ModelRequest, Reply},
    stack::{Agent, AgentSetup, BinaryDir, Component, NAMESPACE, PendingApproval, PythonWorker, Stack, TIMEOUT, Task},
    temporal::count_events,
    wait,
};

const AGENT: &str = "rolled";
const MAIN: &str = "agent-rolled";
/// A message after which the model asks for a call that a person approves.
const GUARDED: &str = "guarded";
/// Tasks that are started at the same time.
const CONCURRENCY: usize = 10;
/// Tasks that are in the middle of turns all the time.
const BUSY: usize = 3;
/// For all tasks to leave a version.
const LIMIT: Duration = Duration::from_mins(6);

fn script(request: &ModelRequest) -> Reply {
    match request.last_tool_output() {
        Some(output) => Reply::text(output),
        None if request.last_user_text() == GUARDED => Reply::call("nonce", &json!({"of": "tea"})),
        None => Reply::text("Yes."),
    }
}

struct Scene {
    // Dropped in this order: programs before what they use.
    agent: Agent,
    _operator: Component,
    _tools: PythonWorker,
    cluster: ControlPlane,
    stack: Stack,
}

impl Scene {
    /// An Agent whose first version is current, with one worker.
    async fn set() -> Self {
        let drainage = [
            "VersionDrainageStatusVisibilityGracePeriod",
            "VersionDrainageStatusRefreshInterval",
        ];
        let options = TemporalOptions {
            // Minutes by default.
            dynamic_config: drainage.map(|name| format!("matching.wv.{name}=\"2s\"")).to_vec(),
            ..TemporalOptions::default()
        };
        let stack = Stack::start_with(options, BinaryDir::of_this_test().unwrap())
            .await
            .unwrap();
        let tools = tools_worker(&stack);
        let cluster = ControlPlane::start().await.unwrap();
        let definitions = chart("steadfast-crds").join("files").display().to_string();
        let apply = ["apply", "--server-side", "--filename", &definitions];
        cluster.kubectl(&apply).await.unwrap();
        let established = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"];
        cluster.kubectl(&established).await.unwrap();
        let operator = stack.operator(&cluster.kubeconfig()).unwrap();
        operator.launch().await.unwrap();
        let agents: Api<AgentResource> = Api::namespaced(cluster.client(), NAMESPACE);
        let resource = json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent", "metadata": {"name": AGENT},
            "spec": {
                "instructions": "Answer.", "model": {"name": "m", "apiKeyEnvVar": ""},
                "worker": {"image": "worker:1", "rollout": "Pinned"},
            },
        });
        agents
            .create(
                &kube::api::PostParams::default(),
                &serde_json::from_value(resource).unwrap(),
            )
            .await
            .unwrap();
        let [name, build_id] = version_of(&deployment(&cluster, MAIN, "worker:1").await);
        let setup = AgentSetup::new(AGENT, script)
            .tool("nonce", guarded_nonce_tool())
            .variable("TEMPORAL_DEPLOYMENT_NAME", &name)
            .variable("TEMPORAL_WORKER_BUILD_ID", &build_id);
        let agent = stack.agent(setup).await.unwrap();
        let scene = Self {
            agent,
            _operator: operator,
            _tools: tools,
            cluster,
            stack,
        };
        scene.rolled_out("worker:1").await;
        scene
    }

    /// Changes the image of the Agent.
    async fn edit(&self, image: &str) {
        let agents: Api<AgentResource> = Api::namespaced(self.cluster.client(), NAMESPACE);
        let change = json!({"spec": {"worker": {"image": image}}});
        agents
            .patch(AGENT, &PatchParams::default(), &Patch::Merge(&change))
            .await
            .unwrap();
    }

    /// Starts a worker with the environment of the Deployment of this image.
    async fn worker(&self, image: &str) -> Component {
        let [name, build_id] = version_of(&deployment(&self.cluster, MAIN, image).await);
        let variables = [
            ("TEMPORAL_DEPLOYMENT_NAME", name.as_str()),
            ("TEMPORAL_WORKER_BUILD_ID", build_id.as_str()),
        ];
        let worker = self.agent.worker_with(&self.stack, &variables).unwrap();
        worker.launch().await.unwrap();
        worker
    }

    /// Makes the pods of this image available, as a kubelet does, until the condition has this reason. Returns its message.
    async fn pods_run(&self, image: &str, reason: &str, limit: Duration) -> String {
        let pods: Api<Pod> = Api::namespaced(self.cluster.client(), NAMESPACE);
        wait::until(format!("VersionRolledOut with {reason}"), limit, async || {
            for pod in pods.list(&ListParams::default()).await? {
                let containers = pod
                    .spec
                    .as_ref()
                    .map(|spec| spec.containers.as_slice())
                    .unwrap_or_default();
                let runs = containers
                    .iter()
                    .any(|container| container.image.as_deref() == Some(image));
                if runs && !is_ready(&pod) {
                    let now = jiff::Timestamp::now().to_string();
                    let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": now});
                    let status = json!({"status": {"phase": "Running", "conditions": [ready]}});
                    pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&status))
                        .await?;
                }
            }
            self.check_reason(reason).await
        })
        .await
        .unwrap()
    }

    async fn rolled_out(&self, image: &str) -> String {
        self.pods_run(image, "RolledOut", TIMEOUT).await
    }

    async fn until_reason(&self, reason: &str) -> String {
        wait::until(format!("VersionRolledOut with {reason}"), TIMEOUT, async || {
            self.check_reason(reason).await
        })
        .await
        .unwrap()
    }

    async fn check_reason(&self, reason: &str) -> anyhow::Result<String> {
        let agents: Api<AgentResource> = Api::namespaced(self.cluster.client(), NAMESPACE);
        let status = agents.get(AGENT).await?.status.unwrap_or_default();
        let condition = status.conditions.iter().find(|one| one.type_ == "VersionRolledOut");
        let condition = condition.context("no condition yet")?;
        ensure!(
            condition.reason == reason,
            "{}: {}",
            condition.reason,
            condition.message
        );
        Ok(condition.message.clone())
    }

    /// The names of the Deployments.
    async fn deployments(&self) -> anyhow::Result<Vec<String>> {
        let api: Api<Deployment> = Api::namespaced(self.cluster.client(), NAMESPACE);
        let listed = api.list(&ListParams::default()).await?;
        Ok(listed.iter().map(kube::ResourceExt::name_any).collect())
    }

    async fn until_one_deployment(&self) {
        wait::until("the end of the old Deployment", TIMEOUT, async || {
            let names = self.deployments().await?;
            ensure!(names == [MAIN], "{names:?}");
            Ok(())
        })
        .await
        .unwrap();
    }

    /// Tasks that wait for a message, after one turn.
    async fn idle_tasks(&self, count: usize) -> Vec<Task> {
        stream::iter(0..count)
            .map(|_| async {
                let task = self.agent.task().await?;
                task.complete_turn(1, "Ready?").await?;
                anyhow::Ok(task)
            })
            .buffered(CONCURRENCY)
            .try_collect()
            .await
            .unwrap()
    }

    /// Sends the next message as soon as a turn has ended, until it is over. Returns the number of turns of each task.
    async fn converse(&self, tasks: &[Task], is_over: &AtomicBool) -> Vec<u32> {
        stream::iter(tasks)
            .map(|task| async move {
                let mut turns = 1;
                while !is_over.load(Ordering::SeqCst) {
                    turns += 1;
                    task.complete_turn(turns, "Go on.").await?;
                }
                anyhow::Ok(turns)
            })
            .buffered(BUSY)
            .try_collect()
            .await
            .unwrap()
    }

    /// Tasks that wait for a person.
    async fn waiting_tasks(&self, count: usize) -> Vec<(Task, PendingApproval)> {
        stream::iter(0..count)
            .map(|_| async {
                let task = self.agent.task().await?;
                task.send(GUARDED).await?;
                let approval = task.until_approval_pending().await?;
                anyhow::Ok((task, approval))
            })
            .buffered(CONCURRENCY)
            .try_collect()
            .await
            .unwrap()
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|one| one.type_ == "Ready" && one.status == "True")
}

/// Waits until a Deployment has this image.
async fn deployment(cluster: &ControlPlane, name: &str, image: &str) -> Value {
    let api: Api<Deployment> = Api::namespaced(cluster.client(), NAMESPACE);
    wait::until(format!("{name} with the image {image}"), TIMEOUT, async || {
        let deployment = json!(api.get(name).await?);
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        ensure!(container["image"] == image, "it is {}", container["image"]);
        Ok(deployment)
    })
    .await
    .unwrap()
}

/// The name of the Worker Deployment and the build id in the environment of a Deployment's pods.
fn version_of(deployment: &Value) -> [String; 2] {
    let variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        .as_array()
        .unwrap();
    ["TEMPORAL_DEPLOYMENT_NAME", "TEMPORAL_WORKER_BUILD_ID"].map(|name| {
        let variable = variables.iter().find(|variable| variable["name"] == name);
        let variable = variable.unwrap_or_else(|| panic!("{name} is not in {variables:#?}"));
        variable["value"].as_str().unwrap().to_owned()
    })
}

/// Rolls another image out while so many tasks are open and some are in the middle of turns, and ends the old workers.
/// Returns how long the tasks took to leave the old version.
async fn roll_out(idle: usize, waiting: usize) -> Duration {
    let scene = Scene::set().await;
    let idle = scene.idle_tasks(idle).await;
    let waiting = scene.waiting_tasks(waiting).await;
    let busy = scene.idle_tasks(BUSY).await;
    let is_over = AtomicBool::new(false);
    let rollout = async {
        scene.edit("worker:2").await;
        let newer = scene.worker("worker:2").await;
        let deployments = scene.deployments().await.unwrap();
        assert_eq!(
            deployments.len(),
            2,
            "the old image has a Deployment of its own: {deployments:?}"
        );
        // It polls, and its pods are not available.
        let message = scene.until_reason("RollingOut").await;
        assert!(message.contains("until then tasks run on version 1-"), "{message}");
        let began = Instant::now();
        scene.pods_run("worker:2", "RolledOut", LIMIT).await;
        let took = began.elapsed();
        is_over.store(true, Ordering::SeqCst);
        (took, newer)
    };
    let (turns, (took, _newer)) = tokio::join!(scene.converse(&busy, &is_over), rollout);
    scene.until_one_deployment().await;
    scene.agent.worker().stop().await.unwrap();
    for (task, approval) in &waiting {
        approval.approve("fine").await.unwrap();
        task.turn_completed(1).await.unwrap();
    }
    let idle = idle.iter().zip(std::iter::repeat(1));
    for (task, turns) in idle.chain(busy.iter().zip(turns)) {
        task.complete_turn(turns + 1, "And now?").await.unwrap();
        let history = scene.stack.temporal().history(task.id(), None).await.unwrap();
        assert_eq!(count_events(&history, "WORKFLOW_TASK_FAILED"), 0, "{}", task.id());
    }
    assert_eq!(scene.agent.model().violations(), Vec::<String>::new());
    took
}

#[tokio::test]
async fn a_new_image_takes_over_when_it_runs_and_tasks_and_approvals_leave_the_old_one() {
    Box::pin(roll_out(3, 2)).await;
}

#[tokio::test]
#[ignore = "starts 520 tasks; `cargo xtask test --long`"]
async fn five_hundred_tasks_and_twenty_approvals_leave_an_old_version_within_five_minutes() {
    let took = Box::pin(roll_out(500, 20)).await;
    println!("500 idle tasks and 20 waiting approvals left the old version in {took:?}");
    assert!(took < Duration::from_mins(5), "it took {took:?}");
}

#[tokio::test]
async fn an_image_that_never_starts_takes_nothing_over_and_the_way_back_is_the_former_image() {
    let scene = Scene::set().await;
    let task = scene.agent.task().await.unwrap();
    task.complete_turn(1, "Ready?").await.unwrap();
    scene.edit("worker:broken").await;
    deployment(&scene.cluster, MAIN, "worker:broken").await;
    scene.until_reason("RollingOut").await;
    task.complete_turn(2, "Still there?").await.unwrap();
    let another = scene.agent.task().await.unwrap();
    another.complete_turn(1, "And you?").await.unwrap();

    scene.edit("worker:1").await;
    deployment(&scene.cluster, MAIN, "worker:1").await;
    scene.rolled_out("worker:1").await;
    scene.until_one_deployment().await;
    task.complete_turn(3, "Back again?").await.unwrap();
    assert_eq!(scene.agent.model().violations(), Vec::<String>::new());
}
