//! What one caller may send in a time, and what is written down of it.

use std::{cell::RefCell, io, sync::Once};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use serde_json::{Value, json};
use steadfast_gateway::{Access, CacheAges, KubernetesAccess, Load, RateLimits};
use tower::ServiceExt as _;
use tracing_subscriber::fmt::MakeWriter;

use super::{
    fake_api_server::{AUDIENCE, FakeApiServer},
    support::{TestGateway, limited},
};

fn gateway(limits: RateLimits) -> (FakeApiServer, TestGateway) {
    let server = FakeApiServer::default();
    server.add_token("alice", "alice", &["users"], AUDIENCE);
    server.add_token("bob", "bob", &["users"], AUDIENCE);
    server.add_token("carol", "carol", &[], AUDIENCE);
    server.grant("users", "", "agents", &["get", "list"]);
    server.grant("users", "", "agents/tasks", &["create", "get"]);
    let access = KubernetesAccess::with_ages(server.client(), vec![AUDIENCE.to_owned()], CacheAges::default());
    let load = Load::default().with_rates(limits);
    let gateway = limited(Access::Kubernetes(Box::new(access)), load);
    (server, gateway)
}

#[tokio::test]
async fn a_caller_with_too_many_requests_waits_and_nobody_is_asked() {
    let (server, gateway) = gateway(RateLimits {
        requests_per_second: 1,
        request_burst: 3,
        ..RateLimits::default()
    });
    for _ in 0..3 {
        assert_eq!(
            gateway.get_as("alice", "/agents/name/haiku").await.status,
            StatusCode::OK
        );
    }
    server.asked();
    let refused = gateway.get_as("alice", "/tasks").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers[header::RETRY_AFTER], "1");
    assert_eq!(refused.body["code"], 429);
    // In the words of OpenAI's APIs.
    let refused = gateway.get_as("alice", "/v1/models").await;
    assert_eq!(refused.headers[header::RETRY_AFTER], "1");
    assert_eq!(refused.body["error"]["type"], "rate_limit_error");
    assert_eq!(server.asked(), [], "no permission was looked up");
    assert_eq!(gateway.get_as("bob", "/agents/name/haiku").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_body_beyond_the_rate_is_refused_before_it_is_read() {
    let (_, gateway) = gateway(RateLimits {
        body_kib_per_second: 1,
        body_kib_burst: 2048,
        ..RateLimits::default()
    });
    let send = async |length: usize| {
        let request = Request::post("/agents/name/haiku/rpc").header(header::AUTHORIZATION, "Bearer alice");
        let request = request.body(Body::from(vec![b' '; length])).unwrap();
        gateway.router.clone().oneshot(request).await.unwrap()
    };
    let whole = send(2 * 1024 * 1024).await;
    assert_eq!(whole.status(), StatusCode::BAD_REQUEST, "it is read, and it is no JSON");
    let refused = send(1024 * 1024).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key(header::RETRY_AFTER));
}

thread_local! {
    /// The log lines of a test, which has a thread of its own.
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes to the lines of the thread. One subscriber serves all tests: what wants a line is known to tracing for all
/// threads at once, so that tests with subscribers of their own take lines from each other when they end.
#[derive(Clone, Copy)]
struct OfThisThread;

impl io::Write for OfThisThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for OfThisThread {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

/// Keeps the log lines of this thread from now on.
fn record() {
    static SUBSCRIBER: Once = Once::new();
    SUBSCRIBER.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(OfThisThread)
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
    LINES.take();
}

/// All lines of this thread.
fn lines() -> String {
    String::from_utf8(LINES.with_borrow(Clone::clone)).unwrap()
}

/// The lines of the audit log.
fn audit() -> Vec<Value> {
    let lines = lines();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_audit = lines.filter(|line| {
        let target = line["target"].as_str();
        target.is_some_and(|target| target.starts_with("audit::"))
    });
    of_audit.collect()
}

#[tokio::test]
async fn each_action_has_one_line_without_anything_that_was_said() {
    record();
    let (_, gateway) = gateway(RateLimits::default());
    gateway.get_as("alice", "/agents/name/haiku").await;
    gateway.get_as("carol", "/agents/name/haiku").await;
    let content = json!({"type": "text", "author": "user", "content": "a secret of alice"});
    let params = json!({"task_id": "t1", "content": content});
    let sent = gateway.rpc_as("alice", "haiku", "event/send", params).await;
    // Who has no valid token has done nothing.
    gateway.get_as("forged", "/agents").await;

    let audit = audit();
    let outline: Vec<Value> = audit
        .iter()
        .map(|line| {
            let fields = [
                "target",
                "user",
                "verb",
                "resource",
                "namespace",
                "agent",
                "task",
                "decision",
                "status",
            ];
            fields.iter().map(|field| line[field].clone()).collect()
        })
        .collect();
    assert_eq!(
        outline,
        [
            json!([
                "audit::read",
                "alice",
                "get",
                "agents",
                "default",
                "haiku",
                "",
                "allowed",
                200
            ]),
            json!([
                "audit::read",
                "carol",
                "get",
                "agents",
                "default",
                "haiku",
                "",
                "denied",
                404
            ]),
            json!([
                "audit::write",
                "alice",
                "create",
                "agents/tasks",
                "default",
                "haiku",
                "t1",
                "allowed",
                503
            ]),
        ]
    );
    assert_eq!(
        (&audit[2]["route"], &audit[2]["rpc_method"], &audit[2]["credential"]),
        (
            &json!("/agents/name/{agent_name}/rpc"),
            &json!("event/send"),
            &json!("cluster_token")
        )
    );
    assert_eq!(audit[2]["request_id"], sent.headers["x-request-id"].to_str().unwrap());
    assert!(!lines().contains("a secret of alice"));
}

#[tokio::test]
async fn however_often_somebody_is_refused_in_a_row_it_is_one_line() {
    record();
    let (_, gateway) = gateway(RateLimits {
        requests_per_second: 1,
        request_burst: 1,
        ..RateLimits::default()
    });
    // A request is let on each second.
    let mut refused = 0;
    for _ in 0..100 {
        let answer = gateway.get_as("alice", "/agents/name/haiku").await;
        refused += usize::from(answer.status == StatusCode::TOO_MANY_REQUESTS);
    }
    let limited = audit().iter().filter(|line| line["decision"] == "limited").count();
    assert!(
        refused > 10 && (1..refused / 2).contains(&limited),
        "{limited} of {refused}"
    );
}
