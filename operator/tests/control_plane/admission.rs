//! The definitions on a real API server: it accepts them and enforces their rules.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use steadfast_crds::{Agent, AgentRevision, AgentTool};
use steadfast_testkit::workspace;

use crate::harness::{Cluster, agent, tool};

fn refusal<K: std::fmt::Debug>(result: Result<K, kube::Error>) -> String {
    match result {
        Err(kube::Error::Api(status)) if status.code == 422 => status.message,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn the_api_server_enforces_the_rules() {
    let cluster = Cluster::new("admission").await;
    let long = refusal(cluster.create::<Agent>(agent(&"a".repeat(41), json!({}))).await);
    assert!(long.contains("at most 40 characters"), "{long}");
    let reserved = json!({ "credentials": [{ "envVarName": "HTTPS_PROXY", "secretName": "s", "secretKey": "k" }] });
    let reserved = refusal(cluster.create::<Agent>(agent("a", reserved)).await);
    assert!(reserved.contains("is reserved"), "{reserved}");
    let twice = refusal(
        cluster
            .create::<Agent>(agent("a", json!({ "tools": [{ "tool": "t" }, { "tool": "t" }] })))
            .await,
    );
    assert!(twice.contains("at most once"), "{twice}");
    let both = refusal(
        cluster
            .create::<AgentTool>(tool("t", json!({ "http": { "url": "https://e.org" } })))
            .await,
    );
    assert!(both.contains("exactly one kind"), "{both}");
    let unnamed = json!({ "guardrails": { "input": [{ "name": "g", "agent": "judge", "cel": "true" }] } });
    let unnamed = refusal(cluster.create::<Agent>(agent("a", unnamed)).await);
    assert!(unnamed.contains("exactly one of agent, activity and cel"), "{unnamed}");
    let quantity = json!({ "worker": { "resources": { "limits": { "memory": "much" } } } });
    let quantity = refusal(cluster.create::<Agent>(agent("a", quantity)).await);
    assert!(quantity.contains("spec.worker.resources.limits"), "{quantity}");

    cluster.agent("valid", json!({})).await;
    let credential =
        json!({ "envVarName": "KEY", "secretName": "s", "secretKey": "k", "hosts": ["https://example.com"] });
    let edit = Patch::Merge(json!({ "spec": { "credentials": [credential] } }));
    let edited = cluster
        .api::<Agent>()
        .patch("valid", &PatchParams::default(), &edit)
        .await;
    let host = refusal(edited);
    assert!(host.contains("spec.credentials[0].hosts[0]"), "{host}");
}

#[tokio::test]
async fn the_api_server_refuses_a_duration_of_zero() {
    let cluster = Cluster::new("durations").await;
    cluster.agent("valid", json!({})).await;
    cluster.create::<AgentTool>(tool("valid", json!({}))).await.unwrap();
    let message = "must be longer than 0s and at most 87600h";
    for timeout in ["0s", "0h0ms", "87600h1ms", "999999999h"] {
        let edit = Patch::Merge(json!({ "spec": { "timeout": timeout } }));
        let edited = cluster
            .api::<AgentTool>()
            .patch("valid", &PatchParams::default(), &edit)
            .await;
        let zero = refusal(edited);
        assert!(zero.contains(message), "{zero}");
    }
    let edit = Patch::Merge(json!({ "spec": { "model": { "timeouts": { "call": "0s" } } } }));
    let edited = cluster
        .api::<Agent>()
        .patch("valid", &PatchParams::default(), &edit)
        .await;
    let zero = refusal(edited);
    assert!(zero.contains(message), "{zero}");
}

#[tokio::test]
async fn a_revision_cannot_be_changed_anywhere_in_its_spec() {
    let cluster = Cluster::new("immutable").await;
    let spec = json!({
        "agent": "weather", "sequence": 1, "taskQueue": "q", "model": { "name": "m" },
        "tools": [{ "name": "t", "spec": {
            "description": "d", "parameters": { "properties": { "a": { "type": "string" } } },
            "activity": { "name": "a", "taskQueue": "q" },
        } }],
    });
    let revision = json!({
        "apiVersion": "steadfast.dev/v1alpha1", "kind": "AgentRevision",
        "metadata": { "name": "weather-1" }, "spec": spec,
    });
    cluster.create::<AgentRevision>(revision).await.unwrap();
    let patch = async |change: Value| {
        let parameters = PatchParams::default();
        cluster
            .api::<AgentRevision>()
            .patch(
                "weather-1",
                &parameters,
                &Patch::Json::<()>(serde_json::from_value(change).unwrap()),
            )
            .await
    };
    for (path, value) in [
        ("/spec/instructions", json!("Else.")),
        ("/spec/model/name", json!("other")),
        ("/spec/model/settings/extraBody", json!({ "a": 1 })),
        ("/spec/tools/0/spec/parameters/properties/a/type", json!("number")),
    ] {
        let changed = patch(json!([{ "op": "add", "path": path, "value": value }])).await;
        let message = refusal(changed);
        assert!(message.contains("never changes"), "{path}: {message}");
    }
    patch(json!([{ "op": "add", "path": "/metadata/labels", "value": { "a": "b" } }]))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_api_server_takes_every_object_of_the_last_release() {
    let cluster = Cluster::new("released").await;
    let stored = workspace::root()
        .join("tests/released/objects.yaml")
        .display()
        .to_string();
    let apply = [
        "apply",
        "--server-side",
        "--validate=strict",
        "--dry-run=server",
        "--filename",
        &stored,
    ];
    let taken = cluster.kubectl(&apply).await;
    assert!(taken.is_ok(), "{:#}", taken.unwrap_err());
}
