//! The objects of an Agent are deleted with it; other objects are left alone.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::ServiceAccount,
    rbac::v1::{Role, RoleBinding},
};
use serde_json::{Value, json};
use steadfast_crds::{
    Agent, AgentRevision,
    conditions::ConditionType,
    names::{AGENT_LABEL, MANAGED_BY, MANAGED_BY_LABEL},
};

use crate::harness::Cluster;

#[tokio::test]
async fn the_objects_of_a_namespace_are_deleted_with_its_last_agent() {
    let (cluster, operator) = Cluster::with_operator("last-agent").await;
    for name in ["first", "second"] {
        cluster.agent(name, json!({})).await;
        cluster.make_ready(name).await;
    }
    cluster.delete::<Agent>("first").await;
    cluster.gone::<Deployment>("agent-first").await;
    cluster.gone::<ServiceAccount>("agent-first").await;
    cluster.gone::<RoleBinding>("agent-first").await;
    cluster.gone::<AgentRevision>("first-1").await;
    assert_eq!(cluster.versions::<Role>().await.len(), 1);

    cluster.delete::<Agent>("second").await;
    cluster.gone::<Role>("steadfast-worker").await;
    operator.stop().await;
}

#[tokio::test]
async fn a_foreign_deployment_is_left_alone_until_its_owner_deletes_it() {
    // A label is no proof of ownership.
    let ours = json!({ MANAGED_BY_LABEL: MANAGED_BY, AGENT_LABEL: "weather" });
    for (namespace, foreign_labels) in [("name-taken", json!({})), ("labels-taken", ours)] {
        a_foreign_deployment_is_left_alone(namespace, foreign_labels).await;
    }
}

async fn a_foreign_deployment_is_left_alone(namespace: &str, foreign_labels: Value) {
    let (cluster, operator) = Cluster::with_operator(namespace).await;
    let labels = json!({ "app": "mine" });
    cluster
        .create::<Deployment>(json!({
            "metadata": { "name": "agent-weather", "labels": foreign_labels },
            "spec": {
                "replicas": 0,
                "selector": { "matchLabels": labels },
                "template": {
                    "metadata": { "labels": labels },
                    "spec": { "containers": [{ "name": "mine", "image": "mine:1" }] },
                },
            },
        }))
        .await
        .unwrap();
    cluster.agent("weather", json!({})).await;
    let message = cluster
        .condition("weather", ConditionType::Ready, "False", "NameTaken")
        .await;
    assert_eq!(
        message,
        "Deployment \"agent-weather\" exists and does not belong to this Agent; rename or delete it"
    );
    let theirs = cluster.deployment("weather", |_| true).await;
    assert_eq!(theirs.metadata.generation, Some(1));

    cluster.delete::<Deployment>("agent-weather").await;
    cluster.make_ready("weather").await;
    operator.stop().await;
}

#[tokio::test]
async fn an_agent_created_again_under_its_name_gets_new_objects() {
    let (cluster, operator) = Cluster::with_operator("made-again").await;
    cluster.agent("weather", json!({})).await;
    cluster.make_ready("weather").await;
    cluster.delete::<Agent>("weather").await;
    let second = cluster.agent("weather", json!({ "instructions": "Else." })).await;
    cluster
        .deployment("weather", |deployment| {
            let owners = deployment.metadata.owner_references.iter().flatten();
            owners
                .into_iter()
                .all(|owner| Some(&owner.uid) == second.metadata.uid.as_ref())
        })
        .await;
    cluster.make_ready("weather").await;
    operator.stop().await;
}
