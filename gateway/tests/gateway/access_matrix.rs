//! Who may use which route. The routes are those of the router itself: a route without a rule fails the test.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Method, Request, Response, StatusCode, header},
};
use serde_json::{Value, json};
use steadfast_contract::{
    start::{StartTask, WORKFLOW_TYPE},
    visibility::{MEMO_AGENT, MEMO_APPROVALS, MEMO_CREATOR},
};
use steadfast_gateway::{
    Access, CacheAges, Edge, KubernetesAccess, Oidc, OidcSettings, ProxySettings, StartRequest, Started,
};
use steadfast_payload::pack;
use steadfast_process::outbound::Outbound;
use steadfast_testkit::{OidcIssuer, Redis};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use uuid::Uuid;

use super::{
    fake_api_server::{AUDIENCE, FakeApiServer},
    support::{TestGateway, guarded, without_services},
};

const HAIKU_ID: &str = "a1fd65d1-17be-5d7a-8d39-b132fedb3f3d";
const KEY_OF_ALICE: &str = "sfk_alice";
const EXPIRED_KEY: &str = "sfk_expired";
const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Everybody, without a token.
    Open,
    /// Everybody with a valid token: the route answers the same whoever asks, and does nothing.
    Refused,
    /// Everybody with a valid token, and the list has the agents of the namespaces where the caller may list agents.
    ListedAgents,
    /// Everybody with a valid token, and the list has the tasks that the caller may read.
    ListedTasks,
    /// Those with this permission on the agent.
    OnAgent(&'static str, &'static str),
    /// The creator of the task with this verb on `agents/tasks`, others with the same on `agents/alltasks`.
    OnTask(&'static str),
    /// The creator with this verb on `agents/tasks`: a name is known to its creator alone.
    OnNamedTask(&'static str),
    /// Those who may do anything with tasks of the agent. What an operation of A2A needs stands in its body.
    AnyTasks,
    /// Those with this permission in all namespaces.
    Everywhere(&'static str, &'static str),
}

use Rule::{AnyTasks, Everywhere, ListedAgents, ListedTasks, OnAgent, OnNamedTask, OnTask, Open, Refused};

const READ_AGENT: Rule = OnAgent("get", "agents");
const CREATE: Rule = OnAgent("create", "agents/tasks");

/// A rule for each route.
const RULES: [(&str, &str, Rule); 86] = [
    ("GET", "/healthz", Open),
    ("GET", "/readyz", Open),
    ("GET", "/openapi.json", Open),
    ("GET", "/docs", Open),
    ("GET", "/docs/", Open),
    ("GET", "/docs/{name}", Open),
    ("GET", "/sign-in", Open),
    ("GET", "/agents", ListedAgents),
    ("GET", "/agents/{agent_id}", READ_AGENT),
    ("GET", "/agents/name/{agent_name}", READ_AGENT),
    ("GET", "/fleet", ListedAgents),
    ("POST", "/agents/{agent_id}/rpc", CREATE),
    ("POST", "/agents/name/{agent_name}/rpc", CREATE),
    ("GET", "/tasks", ListedTasks),
    ("GET", "/tasks/{task_id}", OnTask("get")),
    ("PUT", "/tasks/{task_id}", OnTask("create")),
    ("DELETE", "/tasks/{task_id}", OnTask("delete")),
    ("GET", "/tasks/name/{task_name}", OnNamedTask("get")),
    ("PUT", "/tasks/name/{task_name}", OnNamedTask("create")),
    ("DELETE", "/tasks/name/{task_name}", OnNamedTask("delete")),
    ("POST", "/tasks/{task_id}/cancel", OnTask("create")),
    ("POST", "/tasks/{task_id}/complete", OnTask("create")),
    ("POST", "/tasks/{task_id}/interrupt", OnTask("create")),
    ("POST", "/tasks/{task_id}/terminate", OnTask("create")),
    ("GET", "/tasks/{task_id}/query/{query_name}", OnTask("get")),
    ("GET", "/tasks/{task_id}/export", OnTask("get")),
    ("POST", "/tasks/{task_id}/attachments", OnTask("create")),
    ("GET", "/tasks/{task_id}/attachments/{file_id}", OnTask("get")),
    ("GET", "/v1/files/{file_id}", OnTask("get")),
    ("GET", "/v1/files/{file_id}/content", OnTask("get")),
    ("GET", "/tasks/{task_id}/observability", OnTask("get")),
    ("GET", "/tasks/{task_id}/stream", OnTask("get")),
    ("GET", "/tasks/name/{task_name}/stream", OnNamedTask("get")),
    ("GET", "/approvals", OnAgent("get", "agents/approvals")),
    ("GET", "/approvals/{approval_id}", OnAgent("get", "agents/approvals")),
    (
        "POST",
        "/approvals/{approval_id}/approve",
        OnAgent("update", "agents/approvals"),
    ),
    (
        "POST",
        "/approvals/{approval_id}/reject",
        OnAgent("update", "agents/approvals"),
    ),
    ("GET", "/events", OnTask("get")),
    ("GET", "/events/{event_id}", OnTask("get")),
    ("GET", "/messages", OnTask("get")),
    ("GET", "/messages/paginated", OnTask("get")),
    ("GET", "/messages/{message_id}", OnTask("get")),
    ("GET", "/v1/models", ListedAgents),
    ("GET", "/v1/models/{model}", READ_AGENT),
    ("POST", "/v1/responses", CREATE),
    ("GET", "/v1/responses/{response_id}", OnTask("get")),
    ("DELETE", "/v1/responses/{response_id}", OnTask("get")),
    ("POST", "/v1/responses/{response_id}/cancel", OnTask("create")),
    ("GET", "/v1/responses/{response_id}/input_items", OnTask("get")),
    ("POST", "/v1/chat/completions", CREATE),
    ("POST", "/v1/conversations", CREATE),
    ("GET", "/v1/conversations/{conversation_id}", OnTask("get")),
    ("POST", "/v1/conversations/{conversation_id}", OnTask("create")),
    ("DELETE", "/v1/conversations/{conversation_id}", OnTask("delete")),
    ("GET", "/v1/conversations/{conversation_id}/items", OnTask("get")),
    (
        "GET",
        "/v1/conversations/{conversation_id}/items/{item_id}",
        OnTask("get"),
    ),
    ("GET", "/v1/agents", ListedAgents),
    ("POST", "/v1/agents", Refused),
    ("GET", "/v1/agents/{agent_id}", READ_AGENT),
    ("POST", "/v1/agents/{agent_id}", Refused),
    ("DELETE", "/v1/agents/{agent_id}", Refused),
    ("GET", "/v1/agents/sessions", ListedTasks),
    ("POST", "/v1/agents/sessions", CREATE),
    ("GET", "/v1/agents/sessions/{session_id}", OnTask("get")),
    ("POST", "/v1/agents/sessions/{session_id}", OnTask("create")),
    ("DELETE", "/v1/agents/sessions/{session_id}", OnTask("delete")),
    ("GET", "/v1/agents/sessions/{session_id}/events", OnTask("get")),
    ("POST", "/v1/agents/sessions/{session_id}/events", OnTask("create")),
    ("GET", "/v1/agents/sessions/{session_id}/items", OnTask("get")),
    ("GET", "/v1/agents/sessions/{session_id}/turns", OnTask("get")),
    ("GET", "/v1/agents/sessions/{session_id}/turns/{turn_id}", OnTask("get")),
    (
        "GET",
        "/v1/agents/sessions/{session_id}/turns/{turn_id}/items",
        OnTask("get"),
    ),
    ("GET", "/v1/agents/sessions/{session_id}/{part}", OnTask("get")),
    (
        "GET",
        "/a2a/{namespace}/{agent}/.well-known/agent-card.json",
        READ_AGENT,
    ),
    ("POST", "/a2a/{namespace}/{agent}", AnyTasks),
    ("POST", "/a2a/{namespace}/{agent}/", AnyTasks),
    ("POST", "/a2a/{namespace}/{agent}/{operation}", AnyTasks),
    ("GET", "/a2a/{namespace}/{agent}/extendedAgentCard", AnyTasks),
    ("GET", "/a2a/{namespace}/{agent}/tasks", AnyTasks),
    ("GET", "/a2a/{namespace}/{agent}/tasks/{task}", OnTask("get")),
    ("POST", "/a2a/{namespace}/{agent}/tasks/{task}", OnTask("get")),
    (
        "GET",
        "/a2a/{namespace}/{agent}/tasks/{task}/pushNotificationConfigs",
        AnyTasks,
    ),
    (
        "POST",
        "/a2a/{namespace}/{agent}/tasks/{task}/pushNotificationConfigs",
        AnyTasks,
    ),
    (
        "GET",
        "/a2a/{namespace}/{agent}/tasks/{task}/pushNotificationConfigs/{config}",
        AnyTasks,
    ),
    (
        "DELETE",
        "/a2a/{namespace}/{agent}/tasks/{task}/pushNotificationConfigs/{config}",
        AnyTasks,
    ),
    ("POST", "/codec/decode", Everywhere("get", "agents/alltasks")),
];

/// What the groups of the test may do: those of the chart's ClusterRoles, and one in another namespace.
const GRANTS: [(&str, &str, &str, &[&str]); 13] = [
    ("viewers", "default", "agents", &["get", "list"]),
    ("users", "default", "agents", &["get", "list"]),
    ("users", "default", "agents/tasks", &["create", "get"]),
    ("approvers", "default", "agents", &["get", "list"]),
    ("approvers", "default", "agents/approvals", &["get", "update"]),
    ("auditors", "default", "agents", &["get", "list"]),
    ("auditors", "default", "agents/alltasks", &["get"]),
    ("administrators", "", "agents", &["get", "list"]),
    ("administrators", "", "agents/alltasks", &["create", "get", "delete"]),
    ("erasers", "default", "agents/tasks", &["delete"]),
    ("elsewhere", "poets", "agents", &["get", "list"]),
    ("elsewhere", "poets", "agents/tasks", &["create", "get", "delete"]),
    ("elsewhere", "poets", "agents/approvals", &["get", "update"]),
];

/// The proxies that are trusted; everybody else sends from 10.0.0.0/8.
const PROXIES: &str = "192.0.2.0/24";
const USER_HEADER: &str = "x-forwarded-user";
const GROUPS_HEADER: &str = "x-forwarded-groups";

/// What a request shows of its sender.
#[derive(Clone, Debug)]
enum Shown {
    Nothing,
    Token(String),
    /// A user and groups in headers, from a trusted proxy.
    Proxy(&'static str, &'static str),
    /// The same from anybody else.
    ForgedProxy(&'static str, &'static str),
}

impl Shown {
    fn token(token: &str) -> Self {
        Self::Token(token.to_owned())
    }
}

/// A caller with a valid credential.
struct Caller {
    name: &'static str,
    shows: Shown,
    /// `alice` is the creator of the tasks.
    user: &'static str,
    groups: &'static [&'static str],
}

const CLUSTER_USERS: [(&str, &str, &[&str]); 9] = [
    ("stranger", "carol", &[]),
    ("viewer", "victor", &["viewers"]),
    ("user", "alice", &["users"]),
    ("another user", "bob", &["users"]),
    ("approver", "ann", &["approvers"]),
    ("auditor", "dora", &["auditors"]),
    ("administrator", "root", &["administrators"]),
    ("user who may erase", "alice", &["users", "erasers"]),
    ("user of another namespace", "eve", &["elsewhere"]),
];

impl Caller {
    fn may(&self, verb: &str, resource: &str, namespace: &str) -> bool {
        GRANTS
            .iter()
            .any(|(group, granted_namespace, granted_resource, verbs)| {
                self.groups.contains(group)
                    && (granted_namespace.is_empty() || *granted_namespace == namespace)
                    && *granted_resource == resource
                    && verbs.contains(&verb)
            })
    }

    /// What the rule asks of this caller, and whether the caller has it; `None` where nothing is asked.
    fn right(&self, rule: Rule) -> Option<(&'static str, &'static str, bool)> {
        let (verb, resource, namespace) = match rule {
            Open | Refused => return None,
            ListedAgents => ("list", "agents", "default"),
            OnAgent(verb, resource) => (verb, resource, "default"),
            ListedTasks => return self.right(OnTask("get")),
            OnTask(verb) if self.user == "alice" => (verb, "agents/tasks", "default"),
            OnTask(verb) => (verb, "agents/alltasks", "default"),
            OnNamedTask(verb) if self.user == "alice" => (verb, "agents/tasks", "default"),
            // Nobody else has a task of this name.
            OnNamedTask(verb) => return Some((verb, "agents/tasks", false)),
            AnyTasks if self.may("create", "agents/tasks", "default") => ("create", "agents/tasks", "default"),
            AnyTasks => ("get", "agents/alltasks", "default"),
            Everywhere(verb, resource) => (verb, resource, ""),
        };
        Some((verb, resource, self.may(verb, resource, namespace)))
    }
}

struct Matrix {
    gateway: TestGateway,
    /// The routes behind the edge, which knows the proxies.
    edged: Router,
    server: FakeApiServer,
    issuer: OidcIssuer,
    callers: Vec<Caller>,
    /// Waits for people, for requests that change nothing.
    task: Uuid,
    requests: AtomicU32,
    _redis: Redis,
    _stop: tokio_util::sync::DropGuard,
}

impl Matrix {
    async fn new() -> Self {
        steadfast_process::crypto::install();
        let server = FakeApiServer::default();
        for (group, namespace, resource, verbs) in GRANTS {
            server.grant(group, namespace, resource, verbs);
        }
        let mut callers = Vec::new();
        for (number, (name, user, groups)) in CLUSTER_USERS.into_iter().enumerate() {
            let token = format!("token-{number}");
            server.add_token(&token, user, groups, AUDIENCE);
            callers.push(Caller {
                name,
                shows: Shown::Token(token),
                user,
                groups,
            });
        }
        let issuer = OidcIssuer::start().await.unwrap();
        let settings = OidcSettings {
            username_prefix: String::new(),
            groups_claim: Some("groups".to_owned()),
            ..OidcSettings::new(&issuer.url, &[AUDIENCE])
        };
        callers.push(Caller {
            name: "user with a token of the issuer",
            shows: Shown::Token(issuer.token(AUDIENCE, "alice", &json!({"groups": ["users"]})).unwrap()),
            user: "alice",
            groups: &["users"],
        });
        callers.push(Caller {
            name: "user with an API key",
            shows: Shown::token(KEY_OF_ALICE),
            user: "alice",
            groups: &["users"],
        });
        callers.push(Caller {
            name: "user whom a proxy names",
            shows: Shown::Proxy("alice", "users"),
            user: "alice",
            groups: &["users"],
        });
        let stop = CancellationToken::new();
        server.add_key(KEY_OF_ALICE, "alice", &["users"], None);
        server.add_key(EXPIRED_KEY, "alice", &["users"], Some("2026-01-01T00:00:00Z"));
        let keys = server.watched_keys(&stop).await;
        // Nothing is remembered: each request shows what it asks.
        let ages = CacheAges {
            token: Duration::ZERO,
            refused_token: Duration::ZERO,
            decision: Duration::ZERO,
        };
        let access = KubernetesAccess::with_ages(server.client(), vec![AUDIENCE.to_owned()], ages)
            .with_api_keys(keys)
            .with_oidc(Oidc::new(settings, &Outbound::default()).unwrap())
            .with_proxy(ProxySettings {
                user_header: USER_HEADER.parse().unwrap(),
                groups_header: Some(GROUPS_HEADER.parse().unwrap()),
            });
        let redis = Redis::start().await.unwrap();
        let gateway = guarded(Access::Kubernetes(Box::new(access)), &redis).await;
        let task = start_asking(&gateway).await;
        let edge = Edge {
            trusted_proxies: vec![PROXIES.parse().unwrap()],
            ..Edge::default()
        };
        Self {
            edged: edge.around(gateway.router.clone()),
            gateway,
            server,
            issuer,
            callers,
            task,
            requests: AtomicU32::new(0),
            _redis: redis,
            _stop: stop.drop_guard(),
        }
    }

    async fn send(&self, shown: &Shown, method: &str, path: &str, task: Uuid, task_name: &str) -> Answer {
        let mut request = request(shown, method, path, task, task_name);
        // Each from an address of its own: who tries out many tokens from one has to wait.
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let peer = match shown {
            Shown::Proxy(..) => Ipv4Addr::new(192, 0, 2, 1),
            _ => Ipv4Addr::from_bits(0x0a00_0000 + number),
        };
        let peer = SocketAddr::new(peer.into(), 1);
        request.extensions_mut().insert(ConnectInfo(peer));
        let response = self.edged.clone().oneshot(request).await.unwrap();
        Answer::of(response).await
    }

    async fn send_as(&self, token: &str, method: &str, path: &str) -> Answer {
        self.send(&Shown::token(token), method, path, self.task, "monday").await
    }
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    /// Absent for a stream, which is not read.
    body: Option<Value>,
}

impl Answer {
    async fn of(response: Response<Body>) -> Self {
        let status = response.status();
        let is_stream = response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind == "text/event-stream");
        if is_stream {
            return Self { status, body: None };
        }
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        Self {
            status,
            body: serde_json::from_slice(&body).ok(),
        }
    }

    /// The answer is a list, and it has none of these words.
    fn lists_without(&self, words: &[&str], who: &str) {
        assert_eq!(self.status, StatusCode::OK, "{who}");
        let body = self.body.as_ref().unwrap().to_string();
        for word in words {
            assert!(!body.contains(word), "{who}: {word} in {body}");
        }
    }
}

fn request(shown: &Shown, method: &str, path: &str, task: Uuid, task_name: &str) -> Request<Body> {
    let hex = task.simple().to_string();
    let agent_id = if path.starts_with("/v1/") { "haiku" } else { HAIKU_ID };
    let digest = "0".repeat(64);
    let file_id = if path.starts_with("/v1/") {
        format!("file-{hex}{digest}")
    } else {
        digest
    };
    let uri = [
        ("{agent_id}", agent_id.to_owned()),
        ("{agent_name}", "haiku".to_owned()),
        ("{name}", "swagger-ui.css".to_owned()),
        ("{model}", "haiku".to_owned()),
        ("{task_id}", task.to_string()),
        ("{task_name}", task_name.to_owned()),
        ("{approval_id}", approval_of(task)),
        ("{message_id}", format!("{task}.m")),
        ("{event_id}", format!("{task}.m")),
        // The state itself is told by a worker, and there is none.
        ("{query_name}", "another".to_owned()),
        ("{response_id}", format!("resp_{hex}{}", Uuid::nil().simple())),
        ("{conversation_id}", format!("conv_{hex}")),
        ("{item_id}", "msg_1".to_owned()),
        ("{session_id}", format!("sess_{hex}")),
        ("{turn_id}", format!("turn_{hex}_1")),
        ("{part}", "artifacts".to_owned()),
        ("{namespace}", "default".to_owned()),
        ("{agent}", "haiku".to_owned()),
        ("{operation}", "message:send".to_owned()),
        ("{task}", format!("{hex}-{}", Uuid::nil().simple())),
        ("{config}", "1".to_owned()),
        ("{file_id}", file_id),
    ]
    .into_iter()
    .fold(path.to_owned(), |path, (name, value)| path.replace(name, &value));
    let uri = match path {
        "/events" | "/messages" | "/messages/paginated" => format!("{uri}?task_id={task}"),
        // A list of all would ask of those that are found.
        "/approvals" => format!("{uri}?agent_name=haiku"),
        "/a2a/{namespace}/{agent}/tasks/{task}" if method == "POST" => format!("{uri}:subscribe?A2A-Version=1.0"),
        path if path.starts_with("/a2a/") => format!("{uri}?A2A-Version=1.0"),
        _ => uri,
    };
    assert!(!uri.contains('{'), "a parameter of {path} has no value in this test");
    let body = match path {
        "/agents/{agent_id}/rpc" | "/agents/name/{agent_name}/rpc" => json!({"method": "task/create", "params": {}}),
        "/v1/responses" => json!({"model": "haiku", "input": "Hi", "background": true}),
        "/v1/chat/completions" => {
            json!({"model": "haiku", "stream": true, "messages": [{"role": "user", "content": "Hi"}]})
        }
        "/v1/conversations" => json!({"metadata": {"agent": "haiku"}}),
        "/v1/agents/sessions" => json!({"agent_id": "haiku", "environment": {"type": "none"}}),
        "/codec/decode" => json!({"payloads": []}),
        _ => json!({}),
    };
    let mut request = Request::builder().method(method).uri(uri);
    request = match shown {
        Shown::Nothing => request,
        Shown::Token(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
        Shown::Proxy(user, groups) | Shown::ForgedProxy(user, groups) => {
            request.header(USER_HEADER, *user).header(GROUPS_HEADER, *groups)
        }
    };
    let body = if method == "GET" {
        Body::empty()
    } else {
        Body::from(body.to_string())
    };
    request.body(body).unwrap()
}

fn approval_of(task: Uuid) -> String {
    format!("{task}.run.1.0.0")
}

/// A task of alice that waits for people; no worker has it.
async fn start_asking(gateway: &TestGateway) -> Uuid {
    let task = Uuid::new_v4();
    let approval = json!({
        "id": approval_of(task), "kind": "tool_call", "agent": "haiku", "turn": 1, "tool": "publish",
        "tool_call_id": "c", "arguments": {"lines": 3}, "requested_at": "2026-11-23T10:00:00Z",
    });
    let mut start = StartTask::new(task.to_string(), "default", "haiku");
    "alice".clone_into(&mut start.creator);
    let request = StartRequest {
        workflow_id: task.to_string(),
        workflow_type: WORKFLOW_TYPE,
        task_queue: "test/default/agent/haiku".to_owned(),
        input: pack(&start).unwrap(),
        memo: vec![
            (MEMO_AGENT, pack(&"default/haiku").unwrap()),
            (MEMO_CREATOR, pack(&"alice").unwrap()),
            (MEMO_APPROVALS, pack(&[approval]).unwrap()),
        ],
    };
    assert_eq!(gateway.temporal.start(request).await.unwrap(), Started::New);
    task
}

/// The paths of a router, as the router itself lists them.
fn paths_of(router: &Router) -> BTreeSet<String> {
    let listed = format!("{router:?}");
    let (_, node) = listed.split_once("paths: {").expect("axum lists the paths of a router");
    node[..end_of_map(node)]
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Where a map ends whose values may have braces within quotes.
fn end_of_map(text: &str) -> usize {
    let mut is_quoted = false;
    text.find(|character| {
        is_quoted ^= character == '"';
        character == '}' && !is_quoted
    })
    .unwrap()
}

/// The methods and paths of a gateway that serve something.
async fn routes() -> BTreeSet<(String, String)> {
    let gateway = without_services();
    let mut routes = BTreeSet::new();
    for path in paths_of(&gateway.router) {
        for method in METHODS {
            let request = Request::builder()
                .method(&method)
                .uri(path.replace(['{', '}', '*'], "_"));
            let response = gateway.router.clone().oneshot(request.body(Body::empty()).unwrap());
            if response.await.unwrap().status() != StatusCode::METHOD_NOT_ALLOWED {
                routes.insert((method.to_string(), path.clone()));
            }
        }
    }
    routes
}

#[tokio::test]
async fn every_route_has_a_rule() {
    let routes = routes().await;
    let ruled: BTreeSet<(String, String)> = RULES
        .iter()
        .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    assert_eq!(ruled.len(), RULES.len(), "a route has two rules");
    let without_rule: Vec<_> = routes.difference(&ruled).collect();
    assert!(
        without_rule.is_empty(),
        "routes without a rule in RULES: who may use them? {without_rule:#?}"
    );
    let gone: Vec<_> = ruled.difference(&routes).collect();
    assert!(gone.is_empty(), "rules without a route: {gone:#?}");
}

#[tokio::test]
async fn who_has_no_valid_credential_gets_nothing_but_what_is_open() {
    let matrix = Matrix::new().await;
    matrix
        .server
        .add_token("of another audience", "alice", &["users"], "other");
    matrix.server.add_token("revoked", "alice", &["users"], AUDIENCE);
    assert_eq!(
        matrix.send_as("revoked", "GET", "/tasks/{task_id}").await.status,
        StatusCode::OK
    );
    matrix.server.revoke_token("revoked");
    let expired = json!({"groups": ["users"], "exp": 1_700_000_000});
    let issuer = &matrix.issuer;
    let refused = [
        ("nobody", Shown::Nothing),
        ("a token that nobody has", Shown::token("forged")),
        ("a token of another audience", Shown::token("of another audience")),
        ("a revoked token", Shown::token("revoked")),
        (
            "an expired token of the issuer",
            Shown::Token(issuer.token(AUDIENCE, "alice", &expired).unwrap()),
        ),
        (
            "a token of the issuer for another audience",
            Shown::Token(issuer.token("other", "alice", &json!({})).unwrap()),
        ),
        (
            "a token with a forged signature",
            Shown::Token(issuer.token_of_unknown_key(AUDIENCE, "alice").unwrap()),
        ),
        ("an unknown API key", Shown::token("sfk_unknown")),
        ("an expired API key", Shown::token(EXPIRED_KEY)),
        (
            "who writes the headers of the proxy",
            Shown::ForgedProxy("alice", "users"),
        ),
        ("a proxy that names nobody", Shown::Proxy("", "users")),
        ("a proxy that names an administrator", Shown::Proxy("system:admin", "")),
        (
            "a proxy that names the group of administrators",
            Shown::Proxy("alice", "users,system:masters"),
        ),
    ];
    matrix.server.asked();
    for (method, path, rule) in RULES {
        if rule == Open {
            let answer = matrix.send(&Shown::Nothing, method, path, matrix.task, "monday").await;
            assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
            continue;
        }
        for (who, shown) in &refused {
            let answer = matrix.send(shown, method, path, matrix.task, "monday").await;
            assert_eq!(
                answer.status,
                StatusCode::UNAUTHORIZED,
                "{who}: {method} {path}: {answer:?}"
            );
        }
    }
    assert_eq!(matrix.server.asked(), [], "nobody asked what they may do");
}

#[tokio::test]
async fn callers_may_do_what_their_roles_say_on_every_route() {
    let matrix = Matrix::new().await;
    for (method, path, rule) in RULES {
        for caller in &matrix.callers {
            let Some((verb, resource, may)) = caller.right(rule) else {
                continue;
            };
            let who = format!("{}: {method} {path}", caller.name);
            // What changes a task has one of its own.
            let changes = method != "GET" && may;
            let task = if changes {
                start_asking(&matrix.gateway).await
            } else {
                matrix.task
            };
            let task_name = named_task(&matrix, rule, &who).await;
            matrix.server.asked();
            let answer = matrix.send(&caller.shows, method, path, task, &task_name).await;
            let asked = matrix.server.asked();
            assert!(
                asked.iter().all(|question| question.user == caller.user),
                "{who}: {asked:?}"
            );
            let was_allowed = asked
                .iter()
                .any(|question| question.verb == verb && question.resource == resource && question.allowed);
            if may {
                assert!(was_allowed, "{who}: {answer:?} {asked:?}");
                let is_let_in = !matches!(
                    answer.status,
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
                ) && !answer.status.is_server_error();
                assert!(is_let_in, "{who}: {answer:?}");
                continue;
            }
            match rule {
                ListedAgents => answer.lists_without(&["\"haiku\""], &who),
                ListedTasks => answer.lists_without(&[&task.to_string(), &task.simple().to_string()], &who),
                Everywhere(..) => assert_eq!(answer.status, StatusCode::FORBIDDEN, "{who}: {answer:?}"),
                _ => assert_eq!(answer.status, StatusCode::NOT_FOUND, "{who}: {answer:?}"),
            }
        }
    }
}

/// A task with a name that alice gave, for a rule of names.
async fn named_task(matrix: &Matrix, rule: Rule, who: &str) -> String {
    let name = Uuid::new_v4().to_string();
    if matches!(rule, OnNamedTask(_)) {
        let user = matrix.callers.iter().find(|caller| caller.name == "user").unwrap();
        let Shown::Token(token) = &user.shows else {
            panic!("a user of the cluster has a token")
        };
        let answer = matrix
            .gateway
            .rpc_as(token, "haiku", "task/create", json!({"name": name}))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{who}: {answer:?}");
    }
    name
}

#[tokio::test]
async fn without_the_api_server_nobody_new_gets_in_on_any_route() {
    let matrix = Matrix::new().await;
    let name = named_task(&matrix, OnNamedTask("get"), "a name").await;
    matrix.server.set_down(true);
    for (method, path, rule) in RULES {
        match rule {
            Open => continue,
            // An API key needs no review, and there is nothing to permit.
            Refused => {}
            _ => {
                let answer = matrix
                    .send(&Shown::token(KEY_OF_ALICE), method, path, matrix.task, &name)
                    .await;
                assert_eq!(
                    answer.status,
                    StatusCode::SERVICE_UNAVAILABLE,
                    "{method} {path}: {answer:?}"
                );
            }
        }
        let answer = matrix.send_as("token-2", method, path).await;
        assert_eq!(
            answer.status,
            StatusCode::SERVICE_UNAVAILABLE,
            "{method} {path}: {answer:?}"
        );
    }
    matrix.server.set_down(false);
    assert_eq!(
        matrix.send_as("token-2", "GET", "/tasks/{task_id}").await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing_with_the_sign_in_at_the_proxy() {
    let matrix = Matrix::new().await;
    let send = async |site: &str, method: &str, path: &str| {
        let mut request = request(&Shown::Proxy("alice", "users"), method, path, matrix.task, "monday");
        request.headers_mut().insert("sec-fetch-site", site.parse().unwrap());
        let peer = SocketAddr::new(Ipv4Addr::new(192, 0, 2, 1).into(), 1);
        request.extensions_mut().insert(ConnectInfo(peer));
        Answer::of(matrix.edged.clone().oneshot(request).await.unwrap()).await
    };
    for (method, path, rule) in RULES {
        if rule == Open || method == "GET" {
            continue;
        }
        for site in ["cross-site", "same-site"] {
            let answer = send(site, method, path).await;
            assert_eq!(
                answer.status,
                StatusCode::FORBIDDEN,
                "{site} {method} {path}: {answer:?}"
            );
        }
    }
    assert_eq!(matrix.server.asked(), [], "nobody asked what they may do");
    let answer = send("same-origin", "POST", "/agents/name/{agent_name}/rpc").await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

#[tokio::test]
async fn everybody_may_ask_how_to_sign_in() {
    let matrix = Matrix::new().await;
    let answer = matrix
        .send(&Shown::Nothing, "GET", "/sign-in", matrix.task, "monday")
        .await;
    let ways = json!({"anonymous": false, "api_keys": true, "proxy": true, "oidc": null});
    assert_eq!((answer.status, answer.body), (StatusCode::OK, Some(ways)));
    let anonymous = without_services().get("/sign-in").await;
    assert_eq!(anonymous.body["anonymous"], json!(true));
}
