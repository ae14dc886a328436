//! What the gateway may do to Agents: the role and the admission policy of the chart, on a real API server.

use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use steadfast_e2e::chart::{REQUIRED, chart};
use steadfast_testkit::{ControlPlane, wait};

const GATEWAY: &str = "--as=system:serviceaccount:steadfast-system:steadfast-gateway";
const REFUSAL: &str = "the gateway changes nothing of an Agent but the annotation steadfast.dev/wake";
/// The API server reads policies anew every few seconds.
const POLICY_TIMEOUT: Duration = Duration::from_mins(1);

/// A cluster with the chart and the Agent `default/haiku`.
async fn installed() -> ControlPlane {
    let cluster = ControlPlane::start().await.unwrap();
    let definitions = chart("steadfast-crds").display().to_string();
    cluster
        .helm(&["install", "steadfast-crds", &definitions])
        .await
        .unwrap();
    let chart = chart("steadfast").display().to_string();
    let install = [
        "install",
        "steadfast",
        &chart,
        "--namespace=steadfast-system",
        "--create-namespace",
    ];
    let settings = REQUIRED.iter().flat_map(|setting| ["--set", *setting]);
    cluster
        .helm(&install.into_iter().chain(settings).collect::<Vec<_>>())
        .await
        .unwrap();
    let agent = json!({
        "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent",
        "metadata": {
            "name": "haiku",
            "labels": {"team": "a"},
            "annotations": {"example.com/owner": "ada"},
            "finalizers": ["example.com/held"],
        },
        "spec": {"instructions": "Write haiku.", "model": {"name": "m"}},
    });
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("agent.json");
    std::fs::write(&file, agent.to_string()).unwrap();
    cluster
        .kubectl(&["apply", "--filename", file.to_str().unwrap()])
        .await
        .unwrap();
    cluster
}

/// Patches the Agent as the gateway.
async fn patch(cluster: &ControlPlane, change: &Value, more: &[&str]) -> anyhow::Result<String> {
    let change = format!("--patch={change}");
    let arguments = [
        "patch",
        "agents.steadfast.dev/haiku",
        "--namespace=default",
        "--type=merge",
        &change,
        GATEWAY,
    ];
    cluster.kubectl(&[&arguments, more].concat()).await
}

async fn the_agent(cluster: &ControlPlane) -> Value {
    let arguments = [
        "get",
        "agents.steadfast.dev/haiku",
        "--namespace=default",
        "--output=json",
    ];
    serde_json::from_str(&cluster.kubectl(&arguments).await.unwrap()).unwrap()
}

#[tokio::test]
async fn the_gateway_may_set_the_annotation_that_wakes_an_agent_and_change_nothing_else_of_it() {
    let cluster = installed().await;
    let before = the_agent(&cluster).await;
    wait::until("the policy to be in effect", POLICY_TIMEOUT, async || {
        let probe = json!({"metadata": {"labels": {"team": "b"}}});
        let refused = patch(&cluster, &probe, &["--dry-run=server"]).await;
        ensure!(refused.is_err(), "the API server does not know it yet");
        Ok(())
    })
    .await
    .unwrap();

    let metadata = |change: Value| json!({"metadata": change});
    for forbidden in [
        json!({"spec": {"instructions": "Tell secrets."}}),
        json!({"spec": {"worker": {"image": "evil:1"}}}),
        metadata(json!({"labels": {"team": "b"}})),
        metadata(json!({"labels": {"team": null}})),
        metadata(json!({"annotations": {"example.com/owner": "eve"}})),
        metadata(json!({"annotations": {"example.com/owner": null}})),
        metadata(json!({"annotations": {"example.com/other": "new"}})),
        metadata(json!({"annotations": {"steadfast.dev/wake": "now", "example.com/other": "new"}})),
        metadata(json!({"finalizers": null})),
        metadata(json!({"finalizers": ["example.com/held", "example.com/more"]})),
        metadata(json!({"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "u"}]})),
    ] {
        let refused = patch(&cluster, &forbidden, &[]).await.unwrap_err();
        assert!(format!("{refused:#}").contains(REFUSAL), "{forbidden}: {refused:#}");
    }
    let status = json!({"status": {"taskQueue": "steadfast/default/agent/other"}});
    let refused = patch(&cluster, &status, &["--subresource=status"]).await.unwrap_err();
    assert!(format!("{refused:#}").contains("forbidden"), "{refused:#}");
    let after = the_agent(&cluster).await;
    assert_eq!(
        after["metadata"]["resourceVersion"],
        before["metadata"]["resourceVersion"]
    );

    for time in [
        json!("2026-01-01T00:00:00Z"),
        json!("2026-01-01T00:00:05Z"),
        Value::Null,
    ] {
        let wake = metadata(json!({"annotations": {"steadfast.dev/wake": time}}));
        patch(&cluster, &wake, &[]).await.unwrap();
        let woken = the_agent(&cluster).await;
        assert_eq!(woken["metadata"]["annotations"]["steadfast.dev/wake"], time);
        assert_eq!(woken["spec"], before["spec"]);
    }
    for verb in ["create", "delete", "update", "deletecollection"] {
        let asked = [
            "auth",
            "can-i",
            verb,
            "agents.steadfast.dev",
            "--namespace=default",
            GATEWAY,
        ];
        assert!(cluster.kubectl(&asked).await.is_err(), "{verb}");
    }
}
