//! An edit of the prompt, the tools or the model creates a revision and restarts
//! no pod.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::ServiceAccount,
    rbac::v1::{Role, RoleBinding},
};
use kube::ResourceExt as _;
use serde_json::json;
use steadfast_crds::{Agent, AgentRevision, AgentTool, conditions::ConditionType};
use steadfast_operator::args::LeaderElection;
use steadfast_testkit::wait;

use crate::harness::Cluster;

#[tokio::test]
async fn going_back_to_an_earlier_prompt_creates_a_third_revision_and_restarts_nothing() {
    let (cluster, operator) = Cluster::with_operator("a-b-a").await;
    cluster.tool("get-weather", json!({})).await;
    cluster
        .agent(
            "weather",
            json!({ "instructions": "A", "tools": [{ "tool": "get-weather" }] }),
        )
        .await;
    cluster.make_ready("weather").await;
    let before = cluster.deployment("weather", |_| true).await;

    cluster
        .edit::<Agent>("weather", json!({ "spec": { "instructions": "B" } }))
        .await;
    cluster.revision("weather-2").await;
    cluster
        .edit::<Agent>("weather", json!({ "spec": { "instructions": "A" } }))
        .await;
    let third = cluster.revision("weather-3").await;
    assert_eq!((third.spec.sequence, third.spec.instructions.as_str()), (3, "A"));
    cluster
        .edit::<AgentTool>("get-weather", json!({ "spec": { "timeout": "5s" } }))
        .await;
    cluster.revision("weather-4").await;
    cluster
        .edit::<Agent>(
            "weather",
            json!({ "spec": { "model": { "settings": { "temperature": 1.0 } } } }),
        )
        .await;
    cluster.revision("weather-5").await;

    cluster
        .condition("weather", ConditionType::Ready, "True", "AllConditionsMet")
        .await;
    let after = cluster.deployment("weather", |_| true).await;
    assert_eq!(after.metadata.generation, before.metadata.generation);
    assert_eq!(after.resource_version(), before.resource_version());
    operator.stop().await;
}

#[tokio::test]
async fn sequence_numbers_increase_over_restarts_and_deleted_revisions() {
    let (cluster, operator) = Cluster::with_operator("numbers").await;
    cluster.agent("weather", json!({ "instructions": "A" })).await;
    cluster.revision("weather-1").await;
    status_revision(&cluster, 1).await;
    operator.stop().await;

    // Nothing changed while no operator ran: there is no new revision.
    let operator = cluster.start_operator(LeaderElection::Disabled).await;
    cluster
        .edit::<Agent>("weather", json!({ "spec": { "instructions": "B" } }))
        .await;
    cluster.revision("weather-2").await;
    status_revision(&cluster, 2).await;

    cluster.delete::<AgentRevision>("weather-2").await;
    assert_eq!(cluster.revision("weather-3").await.spec.instructions, "B");
    operator.stop().await;
}

async fn status_revision(cluster: &Cluster, revision: i64) {
    let api = cluster.api::<Agent>();
    wait::until(
        format!("status.revision {revision}"),
        std::time::Duration::from_secs(30),
        || async {
            let found = api.get("weather").await?.status.and_then(|status| status.revision);
            anyhow::ensure!(found == Some(revision), "it is {found:?}");
            Ok(())
        },
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn the_newest_ten_revisions_are_kept() {
    let (cluster, operator) = Cluster::with_operator("newest").await;
    cluster.agent("weather", json!({ "instructions": "0" })).await;
    for number in 1..=12 {
        cluster.revision(&format!("weather-{number}")).await;
        cluster
            .edit::<Agent>("weather", json!({ "spec": { "instructions": number.to_string() } }))
            .await;
    }
    cluster.revision("weather-13").await;
    cluster.gone::<AgentRevision>("weather-3").await;
    let mut sequences: Vec<i64> = Vec::new();
    for (name, _) in cluster.versions::<AgentRevision>().await {
        sequences.push(name.trim_start_matches("weather-").parse().unwrap());
    }
    sequences.sort_unstable();
    assert_eq!(sequences, (4..=13).collect::<Vec<_>>());
    operator.stop().await;
}

#[tokio::test]
async fn nothing_is_written_when_nothing_changed() {
    let (cluster, operator) = Cluster::with_operator("at-rest").await;
    let secret = json!({ "api-key": "sk-1" });
    cluster.secret("openai", secret).await;
    cluster.tool("get-weather", json!({})).await;
    let credentials = json!([{ "envVarName": "KEY", "secretName": "openai", "secretKey": "api-key" }]);
    cluster
        .agent(
            "weather",
            json!({ "credentials": credentials, "tools": [{ "tool": "get-weather" }] }),
        )
        .await;
    cluster.make_ready("weather").await;
    let before = everything(&cluster).await;

    // Each of these edits reconciles the Agent and changes nothing for it.
    let unused = json!({ "stringData": { "unused": "x" } });
    cluster
        .edit::<k8s_openapi::api::core::v1::Secret>("openai", unused)
        .await;
    cluster
        .edit::<Agent>("weather", json!({ "metadata": { "annotations": { "probe": "1" } } }))
        .await;
    cluster
        .edit::<AgentTool>(
            "get-weather",
            json!({ "metadata": { "annotations": { "probe": "1" } } }),
        )
        .await;
    // When a later Agent is Ready, the events before it have been handled.
    cluster.agent("later", json!({})).await;
    cluster.make_ready("later").await;
    assert_eq!(everything(&cluster).await, before);

    // A restarted operator reconciles every Agent.
    operator.stop().await;
    let operator = cluster.start_operator(LeaderElection::Disabled).await;
    cluster.agent("later-still", json!({})).await;
    cluster.make_ready("later-still").await;
    assert_eq!(everything(&cluster).await, before);
    operator.stop().await;
}

/// Everything that the operator wrote for the Agent "weather": its status, and the versions of its objects.
async fn everything(cluster: &Cluster) -> Vec<(String, Option<String>)> {
    let agents = cluster
        .api::<Agent>()
        .list(&kube::api::ListParams::default())
        .await
        .unwrap();
    let statuses = agents
        .iter()
        .map(|a| (a.name_any(), serde_json::to_string(&a.status).ok()));
    let mut all: Vec<_> = statuses.collect();
    all.extend(cluster.versions::<AgentRevision>().await);
    all.extend(cluster.versions::<Deployment>().await);
    all.extend(cluster.versions::<Role>().await);
    all.extend(cluster.versions::<RoleBinding>().await);
    let accounts = cluster.versions::<ServiceAccount>().await;
    all.extend(accounts.into_iter().filter(|(name, _)| name != "default"));
    all.retain(|(name, _)| !name.contains("later"));
    all
}
