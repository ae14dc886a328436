//! A stream lasts longer than a right: it ends when the right does, and says so in the words of its surface.

use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode, header},
    response::Response,
};
use serde_json::{Value, json};
use steadfast_gateway::{Access, CacheAges, KubernetesAccess, Load, Times};
use steadfast_testkit::Redis;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{
    fake_api_server::{AUDIENCE, FakeApiServer},
    support::{TIMEOUT, TestGateway, guarded_within},
};

const KEY: &str = "sfk_alice";
/// Above what a stream of these tests has.
const LARGEST: usize = 1024 * 1024;
const NOW: CacheAges = CacheAges {
    token: Duration::ZERO,
    refused_token: Duration::ZERO,
    decision: Duration::ZERO,
};

/// A surface with streams, and what its last frame says of the reason.
struct Surface {
    name: &'static str,
    method: Method,
    path: &'static str,
    body: Value,
    reason_in: fn(&Value) -> &Value,
}

fn surfaces() -> [Surface; 8] {
    let said = json!({"message": {"messageId": "m1", "role": "ROLE_USER", "parts": [{"text": "Hi"}]}});
    let content = json!({"type": "text", "author": "user", "content": "Hi"});
    let message = json!([{"role": "user", "content": "Hi"}]);
    [
        Surface {
            name: "Agentex",
            method: Method::GET,
            path: "/tasks/{task}/stream",
            body: Value::Null,
            reason_in: |frame| &frame["message"],
        },
        Surface {
            name: "events",
            method: Method::GET,
            path: "/tasks/{task}/stream?format=events",
            body: Value::Null,
            reason_in: |frame| &frame["message"],
        },
        Surface {
            name: "Responses",
            method: Method::POST,
            path: "/v1/responses",
            body: json!({"model": "haiku", "input": "Hi", "stream": true}),
            reason_in: |frame| &frame["message"],
        },
        Surface {
            name: "Chat Completions",
            method: Method::POST,
            path: "/v1/chat/completions",
            body: json!({"model": "haiku", "messages": message, "stream": true}),
            reason_in: |frame| &frame["error"]["message"],
        },
        Surface {
            name: "Agents API",
            method: Method::GET,
            path: "/v1/agents/sessions/{session}/events",
            body: Value::Null,
            reason_in: |frame| &frame["error"]["message"],
        },
        Surface {
            name: "message/send",
            method: Method::POST,
            path: "/agents/name/haiku/rpc",
            body: json!({"method": "message/send", "params": {"content": content, "stream": true}}),
            reason_in: |frame| &frame["error"]["message"],
        },
        Surface {
            name: "A2A over HTTP",
            method: Method::POST,
            path: "/a2a/default/haiku/message:stream",
            body: said.clone(),
            reason_in: |frame| &frame["error"]["message"],
        },
        Surface {
            name: "A2A over JSON-RPC",
            method: Method::POST,
            path: "/a2a/default/haiku",
            body: json!({"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage", "params": said}),
            reason_in: |frame| &frame["error"]["message"],
        },
    ]
}

async fn open(gateway: &TestGateway, token: &str, surface: &Surface, task: &str) -> Response {
    let path = surface
        .path
        .replace("{task}", task)
        .replace("{session}", &format!("sess_{}", task.replace('-', "")));
    let request = Request::builder()
        .method(&surface.method)
        .uri(path)
        .header("A2A-Version", "1.0")
        .header(header::AUTHORIZATION, format!("Bearer {token}"));
    let body = match &surface.body {
        Value::Null => Body::empty(),
        body => Body::from(body.to_string()),
    };
    let request = request.body(body).unwrap();
    let response = gateway.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{}", surface.name);
    response
}

/// The last frame of a stream that ends, of server-sent events or of lines of JSON.
async fn last(response: Response) -> Value {
    let body = timeout(TIMEOUT, to_bytes(response.into_body(), LARGEST));
    let body = body.await.expect("the stream ends in time").unwrap();
    let text = str::from_utf8(&body).unwrap();
    let frames = text
        .lines()
        .rev()
        .map(|line| line.strip_prefix("data: ").unwrap_or(line));
    let mut frames = frames.filter_map(|frame| serde_json::from_str(frame).ok());
    frames.next().unwrap_or_default()
}

/// Opens a stream on every surface, takes a right away, and compares what each is told.
async fn told_everywhere(token: &str, take_away: impl FnOnce(&FakeApiServer, &TestGateway), reason: &str) {
    let server = FakeApiServer::default();
    server.add_token("token", "alice", &["users"], AUDIENCE);
    server.add_key(KEY, "alice", &["users"], None);
    server.grant("users", "default", "agents", &["get", "list"]);
    server.grant("users", "default", "agents/tasks", &["create", "get"]);
    let stop = CancellationToken::new();
    let access = KubernetesAccess::with_ages(server.client(), vec![AUDIENCE.to_owned()], NOW)
        .with_api_keys(server.watched_keys(&stop).await);
    let redis = Redis::start().await.unwrap();
    let load = Load::with_times(Times {
        recheck: Duration::from_millis(20),
        ..Times::default()
    });
    let gateway = guarded_within(Access::Kubernetes(Box::new(access)), &redis, load).await;
    let created = gateway.rpc_as(token, "haiku", "task/create", json!({})).await;
    let task = created.body["result"]["id"].as_str().unwrap().to_owned();

    let mut streams = Vec::new();
    for surface in surfaces() {
        let stream = open(&gateway, token, &surface, &task).await;
        streams.push((surface, stream));
    }
    take_away(&server, &gateway);
    for (surface, stream) in streams {
        let told = last(stream).await;
        assert_eq!(
            (surface.reason_in)(&told),
            &json!(format!("the stream ends: {reason}")),
            "{}: {told}",
            surface.name
        );
    }
    stop.cancel();
}

#[tokio::test]
async fn a_revoked_token_ends_the_streams_of_every_surface() {
    let revoke = |server: &FakeApiServer, _: &TestGateway| server.revoke_token("token");
    told_everywhere("token", revoke, "the bearer token is no longer valid").await;
}

#[tokio::test]
async fn a_removed_binding_ends_the_streams_of_every_surface() {
    let unbind = |server: &FakeApiServer, _: &TestGateway| server.revoke_grants("users");
    told_everywhere("token", unbind, "you may no longer see this task").await;
}

#[tokio::test]
async fn a_revoked_api_key_ends_the_streams_of_every_surface() {
    let revoke = |server: &FakeApiServer, _: &TestGateway| server.remove_keys();
    told_everywhere(KEY, revoke, "the API key was revoked, or it has expired").await;
}

#[tokio::test]
async fn a_deleted_agent_ends_the_streams_of_every_surface() {
    let delete = |_: &FakeApiServer, gateway: &TestGateway| gateway.delete_agent();
    told_everywhere("token", delete, "the agent of this task was deleted").await;
}
