//! When pods are replaced, and the conditions during a rollout.

use k8s_openapi::api::core::v1::Secret;
use serde_json::json;
use steadfast_crds::{Agent, conditions::ConditionType};

use crate::harness::{Cluster, credentials_hash, template};

#[tokio::test]
async fn a_changed_secret_value_replaces_the_pods_and_an_unused_key_does_not() {
    let (cluster, operator) = Cluster::with_operator("rotation").await;
    cluster.secret("openai", json!({ "api-key": "sk-1" })).await;
    let credentials = json!([{ "envVarName": "KEY", "secretName": "openai", "secretKey": "api-key" }]);
    cluster.agent("weather", json!({ "credentials": credentials })).await;
    cluster.make_ready("weather").await;
    let before = cluster.deployment("weather", |_| true).await;

    cluster
        .edit::<Secret>("openai", json!({ "stringData": { "unused": "x" } }))
        .await;
    cluster
        .edit::<Secret>("openai", json!({ "stringData": { "api-key": "sk-2" } }))
        .await;
    let hash = credentials_hash(&before);
    let after = cluster
        .deployment("weather", |deployment| credentials_hash(deployment) != hash)
        .await;
    // A rollout for the unused key would have been another generation.
    assert_eq!(
        after.metadata.generation,
        before.metadata.generation.map(|generation| generation + 1)
    );
    let text = serde_json::to_string(&after).unwrap();
    assert!(!text.contains("sk-2"), "the value itself is nowhere");
    cluster
        .condition("weather", ConditionType::Ready, "False", "RollingOut")
        .await;
    cluster.make_ready("weather").await;
    operator.stop().await;
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_the_reason_of_ready() {
    let (cluster, operator) = Cluster::with_operator("wrong-image").await;
    cluster
        .agent("weather", json!({ "worker": { "image": "nowhere/worker:9" } }))
        .await;
    cluster.deployment("weather", |_| true).await;
    cluster
        .set_pods_status(
            "weather",
            &json!({
                "phase": "Pending",
                "containerStatuses": [{
                    "name": "worker", "image": "nowhere/worker:9", "imageID": "", "ready": false, "restartCount": 0,
                    "state": { "waiting": { "reason": "ImagePullBackOff", "message": "Back-off pulling image" } },
                }],
            }),
        )
        .await;
    let message = cluster
        .condition("weather", ConditionType::Ready, "False", "ImagePullFailed")
        .await;
    assert_eq!(
        message,
        "image \"nowhere/worker:9\" cannot be pulled (ImagePullBackOff)"
    );

    cluster
        .edit::<Agent>("weather", json!({ "spec": { "worker": { "image": "worker:1" } } }))
        .await;
    cluster
        .deployment("weather", |d| {
            template(d)["spec"]["containers"][0]["image"] == "worker:1"
        })
        .await;
    cluster.make_ready("weather").await;
    operator.stop().await;
}

#[tokio::test]
async fn a_pod_template_that_the_api_server_refuses_is_reported_with_its_message() {
    let (cluster, operator) = Cluster::with_operator("pod-template").await;
    let overlay = json!({ "spec": { "containers": [{ "name": "worker", "imagePullPolicy": "Sometimes" }] } });
    cluster
        .agent("weather", json!({ "worker": { "podTemplate": overlay } }))
        .await;
    let message = cluster
        .condition("weather", ConditionType::Accepted, "False", "InvalidPodTemplate")
        .await;
    assert!(message.contains("Sometimes"), "{message}");

    let mended = json!({ "spec": { "worker": { "podTemplate": { "spec": { "containers": null } } } } });
    cluster.edit::<Agent>("weather", mended).await;
    cluster
        .condition("weather", ConditionType::Accepted, "True", "Valid")
        .await;
    cluster.make_ready("weather").await;
    operator.stop().await;
}

#[tokio::test]
async fn an_edited_deployment_is_corrected() {
    let (cluster, operator) = Cluster::with_operator("drift").await;
    cluster.agent("weather", json!({})).await;
    cluster.make_ready("weather").await;
    let edited = json!({ "spec": { "template": { "spec": { "terminationGracePeriodSeconds": 1 } } } });
    cluster
        .edit::<k8s_openapi::api::apps::v1::Deployment>("agent-weather", edited)
        .await;
    let grace = |d: &_| template(d)["spec"]["terminationGracePeriodSeconds"] == 130;
    cluster.deployment("weather", grace).await;
    operator.stop().await;
}
