//! What happens to an Agent, and to its tasks in a real Temporal, when it is deleted. No worker runs: the tests say when
//! a task ends.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, ServiceAccount},
    rbac::v1::RoleBinding,
};
use kube::{Api, api::DeleteParams};
use serde_json::{Value, json};
use steadfast_crds::{Agent, conditions::ConditionType, names::TASKS_FINALIZER};
use steadfast_operator::args::LeaderElection;
use steadfast_testkit::{temporal::count_events, wait};

use crate::{
    harness::{Cluster, TIMEOUT},
    scene::Scene,
};

const SIGNALED: &str = "WORKFLOW_EXECUTION_SIGNALED";
const CANCELED: &str = "WORKFLOW_EXECUTION_CANCEL_REQUESTED";
/// The 30 s for what a drain cancels at its deadline, and slack.
const AFTER_A_DRAIN: Duration = Duration::from_mins(1);

impl Scene {
    /// An Agent with a Deployment, and with tasks.
    async fn agent(&self, name: &str, deletion: Value, tasks: &[&str]) {
        self.cluster.agent(name, json!({ "deletion": deletion })).await;
        self.cluster.deployment(name, |_| true).await;
        for task in tasks {
            self.task(name, task).await;
        }
    }

    async fn task(&self, agent: &str, id: &str) {
        self.start_task(&format!("agent/{agent}"), id).await;
    }

    async fn end(&self, task: &str) {
        let end = ["workflow", "terminate", "--workflow-id", task];
        self.temporal.cli(&end).await.unwrap();
    }

    /// How many events of a kind a task has.
    async fn count(&self, task: &str, kind: &str) -> usize {
        count_events(&self.temporal.history(task, None).await.unwrap(), kind)
    }

    /// Waits until a task has one event of this kind.
    async fn asked(&self, task: &str, kind: &str) {
        wait::until(format!("{kind} of {task}"), TIMEOUT, async || {
            ensure!(self.count(task, kind).await == 1, "not yet");
            Ok(())
        })
        .await
        .unwrap();
    }

    async fn delete(&self, agent: &str) {
        self.cluster.delete::<Agent>(agent).await;
    }

    async fn finalizers(&self, agent: &str) -> Vec<String> {
        let agent = self.cluster.api::<Agent>().get_metadata(agent).await.unwrap();
        agent.metadata.finalizers.unwrap_or_default()
    }

    /// The note of an Event about an Agent.
    async fn event(&self, agent: &str, reason: &str) -> String {
        wait::until(format!("the Event {reason}"), TIMEOUT, async || {
            let notes = self.notes(agent, reason).await?;
            notes.into_iter().next().context("no such Event")
        })
        .await
        .unwrap()
    }
}

#[tokio::test]
async fn a_drain_completes_each_task_once_and_the_agent_stays_until_the_last_has_ended() {
    let scene = Scene::set("drain").await;
    scene.agent("other", json!({}), &["of-another"]).await;
    let deletion = json!({"policy": "Drain", "deadline": "5m"});
    scene.agent("weather", deletion, &["one", "two", "three"]).await;
    assert_eq!(scene.finalizers("weather").await, [TASKS_FINALIZER]);

    scene.delete("weather").await;
    let ready = ConditionType::Ready;
    let message = scene.cluster.condition("weather", ready, "False", "Draining").await;
    assert!(message.contains("3 tasks are left"), "{message}");
    let note = scene.event("weather", "Draining").await;
    assert!(note.contains("3 tasks are left"), "{note}");
    for task in ["one", "two", "three"] {
        scene.asked(task, SIGNALED).await;
    }
    let taken = scene
        .cluster
        .create::<Agent>(crate::harness::agent("weather", json!({})))
        .await;
    assert!(
        matches!(&taken, Err(kube::Error::Api(status)) if status.code == 409),
        "{taken:?}"
    );

    // An operator that starts in the middle goes on, and repeats nothing.
    scene.end_operator().await;
    scene.end("one").await;
    scene.end("two").await;
    scene.operator.start().unwrap();
    // The second operator records a number only after it has asked every task again.
    wait::until("the number of the second operator", TIMEOUT, async || {
        let message = scene.cluster.condition("weather", ready, "False", "Draining").await;
        ensure!(!message.contains("3 tasks are left"), "{message}");
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(scene.finalizers("weather").await, [TASKS_FINALIZER]);

    scene.end("three").await;
    scene.cluster.gone::<Agent>("weather").await;
    scene.event("weather", "TasksEnded").await;
    for task in ["one", "two", "three"] {
        assert_eq!(scene.count(task, SIGNALED).await, 1, "{task}");
        assert_eq!(scene.count(task, CANCELED).await, 0, "{task}");
    }
    assert_eq!(scene.count("of-another", SIGNALED).await, 0);
    scene.end_operator().await;
}

#[tokio::test]
async fn a_drain_cancels_what_runs_at_the_deadline_and_names_what_is_left_when_it_gives_up() {
    let scene = Scene::set("drain-deadline").await;
    let deletion = json!({"policy": "Drain", "deadline": "24h"});
    scene.agent("weather", deletion, &["slow"]).await;
    scene.delete("weather").await;
    scene.asked("slow", SIGNALED).await;
    // The deadline counts from the deletion, whenever it was set.
    let passed = json!({"spec": {"deletion": {"deadline": "1s"}}});
    scene.cluster.edit::<Agent>("weather", passed).await;
    scene.asked("slow", CANCELED).await;
    scene
        .cluster
        .condition("weather", ConditionType::Ready, "False", "Canceling")
        .await;
    let agents = scene.cluster.api::<Agent>();
    wait::until("the end of the Agent", AFTER_A_DRAIN, async || {
        ensure!(agents.get_opt("weather").await?.is_none(), "still there");
        Ok(())
    })
    .await
    .unwrap();
    let note = scene.event("weather", "TasksLeft").await;
    assert!(note.contains("1 task is left"), "{note}");
    assert!(note.contains("test/drain-deadline/agent/weather"), "{note}");
    scene.end_operator().await;
}

#[tokio::test]
async fn a_cancel_asks_at_once_and_an_agent_made_again_gets_what_is_left() {
    let scene = Scene::set("cancel").await;
    let deletion = json!({"policy": "Cancel", "deadline": "15s"});
    scene.agent("weather", deletion.clone(), &["slow"]).await;
    scene.delete("weather").await;
    scene.asked("slow", CANCELED).await;
    scene.cluster.gone::<Agent>("weather").await;
    scene.event("weather", "TasksLeft").await;

    // Kubernetes deletes what the Agent owned a while later, and a name is not free before.
    scene.cluster.gone::<Deployment>("agent-weather").await;
    scene.cluster.gone::<ServiceAccount>("agent-weather").await;
    scene.cluster.gone::<RoleBinding>("agent-weather").await;
    // The same name again, while the old task runs on its queue.
    wait::until("the name to be free", TIMEOUT, async || {
        let again = crate::harness::agent("weather", json!({ "deletion": deletion }));
        Ok(scene.cluster.create::<Agent>(again).await?)
    })
    .await
    .unwrap();
    scene.task("weather", "new").await;
    scene.cluster.make_ready("weather").await;
    assert_eq!(scene.count("new", CANCELED).await, 0);
    assert_eq!(scene.count("slow", CANCELED).await, 1);
    scene.end_operator().await;
}

#[tokio::test]
async fn without_deletion_settings_or_with_orphan_nothing_holds_an_agent_and_its_tasks_stay() {
    let scene = Scene::set("orphan").await;
    scene.cluster.agent("plain", json!({})).await;
    scene.cluster.deployment("plain", |_| true).await;
    scene.task("plain", "of-plain").await;
    scene.agent("orphan", json!({"policy": "Orphan"}), &["of-orphan"]).await;
    scene
        .agent("changed", json!({"policy": "Drain"}), &["of-changed"])
        .await;
    for agent in ["plain", "orphan"] {
        assert_eq!(scene.finalizers(agent).await, [""; 0], "{agent}");
        scene.delete(agent).await;
        scene.cluster.gone::<Agent>(agent).await;
    }
    // Who changes the mind while the Agent is being deleted need not wait for the deadline.
    scene.delete("changed").await;
    scene.asked("of-changed", SIGNALED).await;
    let orphan = json!({"spec": {"deletion": {"policy": "Orphan"}}});
    scene.cluster.edit::<Agent>("changed", orphan).await;
    scene.cluster.gone::<Agent>("changed").await;
    scene.event("changed", "TasksKept").await;
    for task in ["of-plain", "of-orphan", "of-changed"] {
        assert_eq!(scene.count(task, CANCELED).await, 0, "{task}");
    }
    scene.end_operator().await;
}

#[tokio::test]
async fn the_finalizer_follows_the_spec_and_leaves_those_of_others() {
    let scene = Scene::set("finalizer").await;
    scene.agent("weather", json!({"policy": "Cancel"}), &[]).await;
    let others = json!({"metadata": {"finalizers": [TASKS_FINALIZER, "example.com/other"]}});
    scene.cluster.edit::<Agent>("weather", others).await;
    let becomes = async |expected: &[&str]| {
        wait::until("the finalizers", TIMEOUT, async || {
            let now = scene.finalizers("weather").await;
            ensure!(now == expected, "{now:?}");
            Ok(())
        })
        .await
        .unwrap();
    };
    let none = json!({"spec": {"deletion": null}});
    scene.cluster.edit::<Agent>("weather", none).await;
    becomes(&["example.com/other"]).await;
    let drain = json!({"spec": {"deletion": {}}});
    scene.cluster.edit::<Agent>("weather", drain).await;
    becomes(&["example.com/other", TASKS_FINALIZER]).await;
    let none = json!({"metadata": {"finalizers": null}, "spec": {"deletion": null}});
    scene.cluster.edit::<Agent>("weather", none).await;
    becomes(&[]).await;
    scene.end_operator().await;
}

#[tokio::test]
async fn the_deadline_passes_while_temporal_is_away() {
    let scene = Scene::set("temporal-away").await;
    let deletion = json!({"policy": "Cancel", "deadline": "6s"});
    scene.agent("weather", deletion, &["slow"]).await;
    scene.temporal.kill().await.unwrap();
    scene.delete("weather").await;
    scene.cluster.gone::<Agent>("weather").await;
    let note = scene.event("weather", "TasksUnknown").await;
    assert!(note.contains("Temporal could not be reached"), "{note}");
    scene.end_operator().await;
}

#[tokio::test]
async fn a_drain_does_not_wait_for_workers_that_are_deleted_too() {
    let scene = Scene::set("no-worker").await;
    let deletion = json!({"policy": "Drain", "deadline": "24h"});
    scene.agent("foreground", deletion.clone(), &["one"]).await;
    scene.agent("without", deletion, &["two"]).await;
    let foreground = DeleteParams::foreground();
    scene
        .cluster
        .api::<Agent>()
        .delete("foreground", &foreground)
        .await
        .unwrap();
    let scaled = json!({"spec": {"worker": {"replicas": 0}}});
    scene.cluster.edit::<Agent>("without", scaled).await;
    let is_scaled = |deployment: &Deployment| deployment.spec.as_ref().unwrap().replicas == Some(0);
    scene.cluster.deployment("without", is_scaled).await;
    scene.delete("without").await;
    for (agent, task) in [("foreground", "one"), ("without", "two")] {
        scene.cluster.gone::<Agent>(agent).await;
        assert_eq!(scene.count(task, CANCELED).await, 1, "{agent}");
        scene.event(agent, "TasksLeft").await;
    }
    scene.end_operator().await;
}

#[tokio::test]
async fn a_namespace_with_agents_that_drain_can_be_deleted() {
    let scene = Scene::set("ends-as-a-whole").await;
    let deletion = json!({"policy": "Drain", "deadline": "24h"});
    scene.agent("weather", deletion, &["one"]).await;
    let namespaces: Api<Namespace> = Api::all(scene.cluster.client.clone());
    namespaces
        .delete("ends-as-a-whole", &DeleteParams::default())
        .await
        .unwrap();
    scene.cluster.gone::<Agent>("weather").await;
    assert_eq!(scene.count("one", CANCELED).await, 1);
    scene.end_operator().await;
}

#[tokio::test]
async fn agents_that_were_released_before_the_uninstallation_wait_for_no_operator() {
    let cluster = Cluster::new("uninstalled").await;
    let operator = cluster.start_operator(LeaderElection::Enabled).await;
    let held = json!({"deletion": {"policy": "Drain", "deadline": "24h"}});
    for agent in ["one", "two"] {
        cluster.agent(agent, held.clone()).await;
        cluster.deployment(agent, |_| true).await;
    }
    // Without a Temporal its tasks are never counted: it stays.
    cluster.delete::<Agent>("one").await;
    let agents = cluster.api::<Agent>();
    let one = agents.get_metadata("one").await.unwrap();
    assert!(one.metadata.deletion_timestamp.is_some());

    let mut release = tokio::process::Command::new(env!("CARGO_BIN_EXE_steadfast-operator"));
    release
        .arg("release-agents")
        .args(["--install-id", "test", "--namespace", &cluster.namespace])
        .args(["--operator-namespace", &cluster.namespace])
        .env("KUBECONFIG", &cluster.kubeconfig);
    let released = tokio::time::timeout(TIMEOUT, release.output()).await.unwrap().unwrap();
    assert!(
        released.status.success(),
        "{}",
        String::from_utf8_lossy(&released.stdout)
    );
    let lost = operator.ended().await;
    assert!(lost.to_string().contains("lead"), "{lost:?}");
    cluster.gone::<Agent>("one").await;
    let two = agents.get_metadata("two").await.unwrap();
    assert_eq!(two.metadata.finalizers, None);
    cluster.delete::<Agent>("two").await;
    cluster.gone::<Agent>("two").await;
}
