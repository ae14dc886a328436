use std::convert::Infallible;

use futures::{StreamExt as _, channel::mpsc};
use http::{Method, Request, Response, StatusCode};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{
    Client,
    client::Body,
    core::{DeserializeGuard, PartialObjectMeta, error_boundary::InvalidObject},
    runtime::{reflector, watcher::Event},
};
use serde_json::{Value, json};
use steadfast_crds::names::{AGENT_LABEL, MANAGED_BY, MANAGED_BY_LABEL, TASKS_FINALIZER};
use steadfast_process::{BlockingWork, prometheus::Registry};

use super::*;
use crate::{
    agents::{
        context::Caches, cross_namespace::CrossNamespace, last_applied::LastApplied, reference_index::ReferenceIndex,
        revision_history::RevisionSummaries,
    },
    hashing::keyed_hash::KeyedHash,
    kube::{
        backoff::Backoff,
        content_cache::{ConfigMapCache, SecretHashCache},
        watch::guarded,
    },
    metrics::Metrics,
    settings::{ImagePullPolicy, Settings},
};

/// A context whose API server answers every request with 503 and the method in the message.
fn without_api_server() -> Context {
    context(tower::service_fn(|request: Request<Body>| async move {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 503, "reason": "ServiceUnavailable",
            "message": format!("no {} today", request.method()),
        });
        let response = Response::builder().status(StatusCode::SERVICE_UNAVAILABLE);
        Ok::<_, Infallible>(response.body(Body::from(status.to_string().into_bytes())).unwrap())
    }))
}

/// A context whose API server stores nothing: it returns each written object, and has none to read. With the writes.
fn with_api_server() -> (Context, mpsc::UnboundedReceiver<(Method, String, Value)>) {
    let (writes, written) = mpsc::unbounded();
    let context = context(tower::service_fn(move |request: Request<Body>| {
        let writes = writes.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap();
            if parts.method == Method::GET {
                let missing = json!({ "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404 });
                let response = Response::builder().status(StatusCode::NOT_FOUND);
                return Ok::<_, Infallible>(response.body(Body::from(missing.to_string().into_bytes())).unwrap());
            }
            let mut object: Value = serde_json::from_slice(&body).unwrap();
            let write = (parts.method, parts.uri.path().to_owned(), object.clone());
            writes.unbounded_send(write).unwrap();
            object["metadata"]["uid"] = json!("new");
            object["metadata"]["resourceVersion"] = json!("1");
            Ok(Response::new(Body::from(object.to_string().into_bytes())))
        }
    }));
    (context, written)
}

fn context<S>(service: S) -> Context
where
    S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
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
            allow_service_account_name: false,
        },
        secrets: SecretHashCache::new(client.clone(), hash),
        config_maps: ConfigMapCache::new(client),
        caches: Caches::new(reflector::store().0, reflector::store().0, reflector::store().0),
        index: ReferenceIndex::default(),
        cross_namespace: Arc::new(CrossNamespace::new(Vec::new())),
        pool_index: ReferenceIndex::default(),
        schedules: Arc::default(),
        deletions: Arc::default(),
        moves: Arc::default(),
        scaling: crate::agents::scaling_state::Scaling::new(Duration::from_secs(15)),
        versions: crate::versions::state::Versions::default(),
        unmanaged_replicas: crate::agents::scaling_state::UnmanagedReplicas::default(),
        last_applied: LastApplied::default(),
        revision_summaries: RevisionSummaries::default(),
        metrics: Metrics::register(&Registry::new()).unwrap(),
        apply_clock: crate::agents::apply_clock::ApplyClock::default(),
        agent_backoff: Backoff::default(),
        pool_backoff: Backoff::default(),
        blocking: BlockingWork::new(1),
    }
}

fn agent() -> Arc<GuardedAgent> {
    let agent = serde_json::from_value(json!({
        "apiVersion": "steadfast.dev/v1alpha1",
        "kind": "Agent",
        "metadata": { "name": "weather", "namespace": "team", "uid": "u", "generation": 1 },
        "spec": { "instructions": "Answer.", "model": { "name": "m", "apiKeyEnvVar": "" } },
    }))
    .unwrap();
    Arc::new(DeserializeGuard(Ok(agent)))
}

#[tokio::test]
async fn the_first_error_is_kept_when_the_status_cannot_be_written_either() {
    let error = reconcile(agent(), Arc::new(without_api_server())).await.unwrap_err();
    assert_eq!(error.category(), "apply");
    let chain = steadfast_process::ErrorChain(&error).to_string();
    assert!(chain.contains("create AgentRevision weather-1"), "{chain}");
    assert!(
        chain.contains("no POST today") && chain.contains("no PATCH today"),
        "{chain}"
    );
}

#[tokio::test]
async fn a_deleted_agent_that_cannot_be_decoded_is_let_go() {
    let (context, mut writes) = with_api_server();
    let metadata = json!({
        "name": "weather", "namespace": "team", "uid": "u", "resourceVersion": "7",
        "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/other", TASKS_FINALIZER],
    });
    let invalid = InvalidObject {
        error: "spec: of a later version".to_owned(),
        metadata: serde_json::from_value(metadata).unwrap(),
    };
    let agent = Arc::new(DeserializeGuard(Err(invalid)));
    reconcile(agent, Arc::new(context)).await.unwrap();
    let (method, path, written) = writes.next().await.unwrap();
    assert_eq!(method, Method::PATCH);
    assert_eq!(path, "/apis/steadfast.dev/v1alpha1/namespaces/team/agents/weather");
    assert_eq!(
        written,
        json!({"metadata": {"resourceVersion": "7", "finalizers": ["example.com/other"]}})
    );
}

#[tokio::test]
async fn an_object_with_our_labels_that_another_owns_is_never_written_and_is_named() {
    for owners in [
        json!([]),
        json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "other" }]),
    ] {
        let (context, mut writes) = with_api_server();
        let foreign: PartialObjectMeta<ServiceAccount> = serde_json::from_value(json!({
            "metadata": {
                "name": "agent-weather", "namespace": "team", "uid": "foreign", "ownerReferences": owners,
                "labels": { AGENT_LABEL: "weather", MANAGED_BY_LABEL: MANAGED_BY },
            },
        }))
        .unwrap();
        context.caches.service_accounts.insert(foreign);
        reconcile(agent(), Arc::new(context)).await.unwrap();

        // The context is gone, and with it the API server.
        let mut paths = Vec::new();
        let mut status = Value::Null;
        let mut event = Value::Null;
        while let Some((_, path, object)) = writes.next().await {
            match path.rsplit('/').next() {
                Some("status") => status = object["status"].clone(),
                Some("events") if object["reason"] == "NameTaken" => event = object,
                _ => paths.push(path),
            }
        }
        let expected = ["/apis/steadfast.dev/v1alpha1/namespaces/team/agentrevisions"];
        paths.retain(|path| !path.ends_with("/events"));
        assert_eq!(paths, expected);
        let message = "ServiceAccount \"agent-weather\" exists and does not belong to this Agent; rename or delete it";
        let conditions = status["conditions"].as_array().unwrap();
        let workers = conditions.iter().find(|one| one["type"] == "WorkersAvailable").unwrap();
        assert_eq!(
            (&workers["reason"], &workers["message"]),
            (&json!("NameTaken"), &json!(message))
        );
        assert_eq!(event["note"], message);
    }
}

#[tokio::test]
async fn an_agent_that_cannot_be_decoded_gets_a_condition_and_one_event() {
    let stored = json!({
        "apiVersion": "steadfast.dev/v1alpha1",
        "kind": "Agent",
        "metadata": { "name": "weather", "namespace": "team", "uid": "u", "generation": 3 },
        "spec": { "instructions": "Answer.", "model": { "name": "m" }, "worker": { "replicas": "many" } },
        "status": { "revision": 7, "ofALaterVersion": { "kept": true } },
    })
    .to_string();
    let (writes, mut written) = mpsc::unbounded();
    let answer = stored.clone();
    let context = context(tower::service_fn(move |request: Request<Body>| {
        let (writes, answer) = (writes.clone(), answer.clone());
        async move {
            let (parts, body) = request.into_parts();
            if parts.method != Method::GET {
                let body: Value = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap();
                writes.unbounded_send(body).unwrap();
            }
            Ok::<_, Infallible>(Response::new(Body::from(answer.into_bytes())))
        }
    }));
    let object = serde_json::from_str(&stored).unwrap();
    let Event::Apply(agent) = guarded::<Agent>(Event::Apply(object)) else {
        panic!("it is another event");
    };
    reconcile(Arc::new(agent), Arc::new(context)).await.unwrap();

    let status = written.next().await.unwrap()["status"].clone();
    assert_eq!(
        (&status["revision"], &status["observedGeneration"]),
        (&json!(7), &json!(3))
    );
    assert_eq!(status["ofALaterVersion"], json!({ "kept": true }));
    let message = "the Agent cannot be decoded: spec.worker.replicas: invalid type: string \"many\", expected i32";
    let accepted = &status["conditions"][0];
    assert_eq!(
        [
            &accepted["type"],
            &accepted["status"],
            &accepted["reason"],
            &accepted["message"]
        ],
        ["Accepted", "False", "Malformed", message]
    );
    let event = written.next().await.unwrap();
    assert_eq!(
        (&event["reason"], &event["note"]),
        (&json!("Malformed"), &json!(message))
    );
    assert_eq!(event["regarding"]["name"], "weather");
    assert!(written.next().await.is_none());
}
