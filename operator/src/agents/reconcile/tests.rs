use std::convert::Infallible;

use http::{Request, Response, StatusCode};
use kube::{
    Client,
    client::Body,
    core::DeserializeGuard,
    runtime::{
        events::{Recorder, Reporter},
        reflector,
    },
};
use serde_json::json;
use steadfast_process::prometheus::Registry;

use super::*;
use crate::{
    agents::{
        context::Caches, last_applied::LastApplied, reference_index::ReferenceIndex, revision_history::RevisionDigests,
    },
    hashing::keyed_hash::KeyedHash,
    kube::{
        backoff::Backoff,
        content_cache::{ConfigMapCache, SecretHashCache},
    },
    metrics::Metrics,
    settings::{ImagePullPolicy, Settings},
};

/// A context whose API server answers every request with 503 and the method in the message.
fn without_api_server() -> Context {
    let service = tower::service_fn(|request: Request<Body>| async move {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 503, "reason": "ServiceUnavailable",
            "message": format!("no {} today", request.method()),
        });
        let response = Response::builder().status(StatusCode::SERVICE_UNAVAILABLE);
        Ok::<_, Infallible>(response.body(Body::from(status.to_string().into_bytes())).unwrap())
    });
    let client = Client::new(service, "team");
    let hash = KeyedHash::new(b"key").unwrap();
    Context {
        client: client.clone(),
        settings: Settings {
            install_id: "demo".to_owned(),
            worker_image: "worker:1".to_owned(),
            image_pull_policy: ImagePullPolicy::IfNotPresent,
            worker_env: vec![],
            worker_secret_env: vec![],
            worker_encryption: None,
        },
        secrets: SecretHashCache::new(client.clone(), hash),
        config_maps: ConfigMapCache::new(client.clone()),
        caches: Caches::new(reflector::store().0, reflector::store().0),
        index: ReferenceIndex::default(),
        schedules: Arc::default(),
        last_applied: LastApplied::default(),
        revision_digests: RevisionDigests::default(),
        recorder: Recorder::new(client, Reporter::from("test")),
        metrics: Metrics::register(&Registry::new()).unwrap(),
        backoff: Backoff::default(),
    }
}

#[tokio::test]
async fn the_first_error_is_kept_when_the_status_cannot_be_written_either() {
    let agent: Agent = serde_json::from_value(json!({
        "apiVersion": "steadfast.dev/v1alpha1",
        "kind": "Agent",
        "metadata": { "name": "weather", "namespace": "team", "uid": "u", "generation": 1 },
        "spec": { "instructions": "Answer.", "model": { "name": "m", "apiKeyEnvVar": "" } },
    }))
    .unwrap();
    let context = Arc::new(without_api_server());
    let error = reconcile(Arc::new(DeserializeGuard(Ok(agent))), context)
        .await
        .unwrap_err();
    assert_eq!(error.category(), "apply");
    let chain = steadfast_process::ErrorChain(&error).to_string();
    assert!(chain.contains("create AgentRevision weather-1"), "{chain}");
    assert!(
        chain.contains("no POST today") && chain.contains("no PATCH today"),
        "{chain}"
    );
}
