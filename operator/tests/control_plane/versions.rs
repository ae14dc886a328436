//! Versions of workers with a real API server and a real Temporal. There are no workers: what Temporal knows of a version is
//! that somebody polls for it, and that the test does. How tasks move is shown by the suite `stack`.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser as _;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Secret};
use kube::{ResourceExt as _, api::ListParams};
use serde_json::{Value, json};
use steadfast_crds::{Agent, conditions::ConditionType};
use steadfast_temporal::{TemporalArgs, TemporalSettings, connect};
use steadfast_testkit::{TemporalOptions, wait};
use temporalio_client::{Connection, tonic::Request};
use temporalio_common::protos::temporal::api::{
    deployment::v1::WorkerDeploymentOptions,
    enums::v1::WorkerVersioningMode,
    taskqueue::v1::TaskQueue,
    workflowservice::v1::{DescribeWorkerDeploymentRequest, PollWorkflowTaskQueueRequest},
};
use tokio::task::JoinHandle;

use crate::{
    harness::{TIMEOUT, credentials_hash, template},
    scene::Scene,
};

#[derive(clap::Parser)]
struct Arguments {
    #[command(flatten)]
    temporal: TemporalArgs,
}

/// Somebody who polls for a version.
pub(crate) struct Poller(JoinHandle<()>);

impl Drop for Poller {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A scene with a connection to its Temporal.
struct Stage {
    scene: Scene,
    connection: Connection,
}

impl Stage {
    async fn set(name: &str, options: TemporalOptions) -> Self {
        let scene = Scene::with_temporal(name, options, |operator| operator).await;
        let connection = connection(&scene).await;
        Self { scene, connection }
    }

    /// An Agent of the image `worker:1` whose tasks are pinned.
    async fn pinned(&self, name: &str) {
        let worker = json!({ "image": "worker:1", "rollout": "Pinned" });
        self.scene.cluster.agent(name, json!({ "worker": worker })).await;
    }

    async fn set_worker(&self, agent: &str, worker: Value) {
        let change = json!({ "spec": { "worker": worker } });
        self.scene.cluster.edit::<Agent>(agent, change).await;
    }

    /// Waits until the Deployment of an Agent has this image.
    async fn has_image(&self, agent: &str, image: &str) -> Deployment {
        let of_image = |deployment: &Deployment| template(deployment)["spec"]["containers"][0]["image"] == image;
        self.scene.cluster.deployment(agent, of_image).await
    }

    fn poll(&self, deployment: &Deployment) -> Poller {
        poll(&self.connection, deployment)
    }

    /// Waits until the version of a Deployment is the current one; `None`: until workers without a version are.
    async fn current(&self, agent: &str, deployment: Option<&Deployment>) {
        let deployment_name = format!("test/{}/agent/{agent}", self.scene.cluster.namespace);
        let expected = deployment.map(|deployment| version_of(deployment)[1].clone());
        wait::until(format!("{expected:?} to be current"), TIMEOUT, async || {
            let request = DescribeWorkerDeploymentRequest {
                namespace: "default".to_owned(),
                deployment_name: deployment_name.clone(),
            };
            let mut service = self.connection.workflow_service();
            let described = service.describe_worker_deployment(Request::new(request)).await?;
            let info = described
                .into_inner()
                .worker_deployment_info
                .context("no such deployment")?;
            let current = info
                .routing_config
                .and_then(|routing| routing.current_deployment_version);
            let current = current.map(|version| version.build_id).filter(|id| !id.is_empty());
            ensure!(current == expected, "it is {current:?}");
            Ok(())
        })
        .await
        .unwrap();
    }

    /// Waits until an Agent has so many Deployments, and returns those of old versions.
    async fn old_versions(&self, agent: &str, count: usize) -> Vec<Deployment> {
        let api = self.scene.cluster.api::<Deployment>();
        let of_agent = ListParams::default().labels(&format!("steadfast.dev/agent={agent}"));
        wait::until(format!("{count} old versions of {agent}"), TIMEOUT, async || {
            let mut listed = api.list(&of_agent).await?.items;
            listed.retain(|one| one.labels().contains_key("steadfast.dev/old-version-of"));
            ensure!(listed.len() == count, "there are {}", listed.len());
            Ok(listed)
        })
        .await
        .unwrap()
    }

    async fn condition(&self, agent: &str, status: &str, reason: &str) -> String {
        let rolled_out = ConditionType::VersionRolledOut;
        self.scene.cluster.condition(agent, rolled_out, status, reason).await
    }
}

/// A connection to the Temporal of a scene.
pub(crate) async fn connection(scene: &Scene) -> Connection {
    let url = scene.temporal.url();
    let arguments = Arguments::parse_from(["test", "--temporal-address", &url]);
    let settings = TemporalSettings::new(&arguments.temporal).unwrap();
    connect(&settings, "test", TIMEOUT).await.unwrap()
}

/// Polls for the version of a Deployment.
pub(crate) fn poll(connection: &Connection, deployment: &Deployment) -> Poller {
    let [name, build_id] = version_of(deployment);
    let mut service = connection.workflow_service();
    Poller(tokio::spawn(async move {
        // A refused poll comes back at once.
        let mut pace = tokio::time::interval(Duration::from_millis(200));
        loop {
            pace.tick().await;
            let request = PollWorkflowTaskQueueRequest {
                namespace: "default".to_owned(),
                task_queue: Some(TaskQueue {
                    name: name.clone(),
                    ..TaskQueue::default()
                }),
                identity: "test".to_owned(),
                deployment_options: Some(WorkerDeploymentOptions {
                    deployment_name: name.clone(),
                    build_id: build_id.clone(),
                    worker_versioning_mode: WorkerVersioningMode::Versioned.into(),
                }),
                ..PollWorkflowTaskQueueRequest::default()
            };
            drop(service.poll_workflow_task_queue(Request::new(request)).await);
        }
    }))
}

/// The name of the Worker Deployment and the build id in the environment of a Deployment's pods.
fn version_of(deployment: &Deployment) -> [String; 2] {
    let template = template(deployment);
    let variables = template["spec"]["containers"][0]["env"].as_array().unwrap().clone();
    ["TEMPORAL_DEPLOYMENT_NAME", "TEMPORAL_WORKER_BUILD_ID"].map(|name| {
        let variable = variables.iter().find(|variable| variable["name"] == name);
        variable.unwrap()["value"].as_str().unwrap().to_owned()
    })
}

#[tokio::test]
async fn an_image_takes_over_when_its_pods_are_available_and_the_old_pods_follow_a_rotated_secret() {
    let stage = Stage::set("version-next", TemporalOptions::default()).await;
    let cluster = &stage.scene.cluster;
    cluster.secret("openai", json!({ "api-key": "sk-1" })).await;
    let credentials = json!([{ "envVarName": "KEY", "secretName": "openai", "secretKey": "api-key" }]);
    let worker = json!({ "image": "worker:1", "rollout": "Pinned" });
    cluster
        .agent("weather", json!({ "worker": worker, "credentials": credentials }))
        .await;
    let first = stage.has_image("weather", "worker:1").await;
    let _first = stage.poll(&first);
    stage.condition("weather", "False", "RollingOut").await;
    cluster.make_ready("weather").await;
    stage.current("weather", Some(&first)).await;
    stage.condition("weather", "True", "RolledOut").await;

    stage.set_worker("weather", json!({ "image": "worker:2" })).await;
    let second = stage.has_image("weather", "worker:2").await;
    let _second = stage.poll(&second);
    let old = stage.old_versions("weather", 1).await.remove(0);
    assert_eq!(version_of(&old), version_of(&first));
    assert_ne!(version_of(&second), version_of(&first));
    // It polls, and its pods are not available.
    stage.condition("weather", "False", "RollingOut").await;
    stage.current("weather", Some(&first)).await;

    let rotated = json!({ "stringData": { "api-key": "sk-2" } });
    cluster.edit::<Secret>("openai", rotated).await;
    let before = credentials_hash(&second);
    let after = cluster
        .deployment("weather", |deployment| credentials_hash(deployment) != before)
        .await;
    wait::until("the old pods to have the new secret", TIMEOUT, async || {
        let old = stage.old_versions("weather", 1).await.remove(0);
        ensure!(credentials_hash(&old) == credentials_hash(&after), "not yet");
        Ok(())
    })
    .await
    .unwrap();

    cluster.make_ready("weather").await;
    stage.current("weather", Some(&second)).await;
    // Temporal says after minutes that nothing is pinned to it.
    let message = stage.condition("weather", "False", "TasksOnOldVersion").await;
    assert!(
        message.ends_with("keeps its pods until Temporal says that it is drained"),
        "{message}"
    );
    // The API server counts the second one with the first.
    let notes = stage.scene.notes("weather", "VersionCurrent").await.unwrap();
    assert!(notes[0].ends_with("; before: none"), "{notes:?}");
    stage.scene.end_operator().await;
}

#[tokio::test]
async fn a_pinned_agent_that_is_not_pinned_any_more_gives_its_tasks_to_workers_without_a_version() {
    let stage = Stage::set("version-none", TemporalOptions::default()).await;
    stage.pinned("weather").await;
    let first = stage.has_image("weather", "worker:1").await;
    let _poller = stage.poll(&first);
    stage.scene.cluster.make_ready("weather").await;
    stage.current("weather", Some(&first)).await;

    stage.set_worker("weather", json!({ "rollout": null })).await;
    let old = stage.old_versions("weather", 1).await.remove(0);
    assert_eq!(version_of(&old), version_of(&first));
    let has_none = |deployment: &Deployment| !template(deployment).to_string().contains("TEMPORAL_WORKER_BUILD_ID");
    stage.scene.cluster.deployment("weather", has_none).await;
    stage.scene.cluster.make_ready("weather").await;
    stage.current("weather", None).await;
    stage.scene.end_operator().await;
}

#[tokio::test]
async fn a_version_that_temporal_does_not_take_in_is_reported() {
    let options = TemporalOptions {
        dynamic_config: vec!["matching.maxDeployments=1".to_owned()],
        ..TemporalOptions::default()
    };
    let stage = Stage::set("version-limit", options).await;
    let mut pollers = Vec::new();
    for agent in ["weather", "haiku"] {
        stage.pinned(agent).await;
        pollers.push(stage.poll(&stage.has_image(agent, "worker:1").await));
        stage.scene.cluster.make_ready(agent).await;
        if agent == "weather" {
            stage.condition(agent, "True", "RolledOut").await;
        }
    }
    stage.condition("haiku", "False", "VersionLimitReached").await;
    stage.scene.end_operator().await;
}
