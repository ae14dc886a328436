//! A gateway in the process of the test, and verbs to talk to it.

use std::{fs, pin::Pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
    response::Response,
};
use futures::{Stream, StreamExt as _};
use serde_json::{Value, json};
use sse_stream::{Sse, SseByteStream};
use steadfast_attachment_store::AttachmentStore;
use steadfast_eventlog::{
    Appended, Batch, EventLog, FirstBatch, LogReader, LogRun, LogSettings, Numbered, Part, RedisConnector,
};
use steadfast_events::{EntryId, EventKind, LogId, testing};
use steadfast_gateway::{
    Access, AgentDirectory, Fleet, Gateway, HistoryLimits, Links, Load, Metrics, Naming, Prices, SelfApproval,
    Temporal as TemporalConnection, Waker, codec_routes, router,
};
use steadfast_process::{
    BlockingWork,
    outbound::Outbound,
    prometheus::{Registry, TextEncoder},
};
use steadfast_temporal::{Codec, TemporalSettings};
use steadfast_testkit::{Redis, Temporal, TemporalOptions};
use tempfile::TempDir;
use tokio::{sync::OnceCell, time::timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);
/// Nothing listens here.
const NOWHERE: &str = "127.0.0.1:1";

pub(crate) const REVISION: &str = "
apiVersion: steadfast.dev/v1alpha1
kind: AgentRevision
metadata: {name: haiku-1, namespace: default}
spec:
  agent: haiku
  sequence: 1
  description: Writes haiku.
  model: {name: fake}
  taskQueue: test/default/agent/haiku
";

/// A gateway and the services that it uses.
pub(crate) struct TestGateway {
    pub router: Router,
    pub log: EventLog,
    /// A client of the same Temporal, for the test itself.
    pub temporal: TemporalConnection,
    pub stopping: CancellationToken,
    registry: Registry,
    revisions: TempDir,
}

/// The origin whose pages may use the codec endpoint.
pub(crate) const CODEC_ORIGIN: &str = "https://temporal.example.com";

fn test_gateway(access: Access, self_approval: SelfApproval, temporal_address: &str, redis_url: &str) -> TestGateway {
    with_temporal(
        access,
        self_approval,
        TemporalSettings::insecure(temporal_address, "default").unwrap(),
        redis_url,
        Load::default(),
    )
}

fn with_temporal(
    access: Access,
    self_approval: SelfApproval,
    temporal: TemporalSettings,
    redis_url: &str,
    load: Load,
) -> TestGateway {
    let revisions = tempfile::tempdir().unwrap();
    fs::write(revisions.path().join("haiku.yaml"), REVISION).unwrap();
    let elsewhere = REVISION.replace("default", "poets");
    fs::write(revisions.path().join("poets.yaml"), elsewhere).unwrap();
    let agents = AgentDirectory::of_revision_files(naming(), revisions.path().to_owned()).unwrap();
    with_all(access, self_approval, temporal, redis_url, load, agents, revisions)
}

/// The names of the agents of the tests.
pub(crate) fn naming() -> Naming {
    Naming {
        install_id: "test".to_owned(),
        default_namespace: "default".to_owned(),
    }
}

fn with_all(
    access: Access,
    self_approval: SelfApproval,
    temporal: TemporalSettings,
    redis_url: &str,
    load: Load,
    agents: AgentDirectory,
    revisions: TempDir,
) -> TestGateway {
    let registry = Registry::new();
    let metrics = Metrics::register(&registry).unwrap();
    let log = EventLog::new(RedisConnector::from_url(redis_url).unwrap(), LogSettings::default());
    let stopping = CancellationToken::new();
    let reader = LogReader::start(log.clone());
    let gateway = Gateway {
        access,
        self_approval,
        agents,
        waker: Waker::none(),
        temporal: TemporalConnection::new(temporal.clone(), metrics.clone()),
        history_limits: HistoryLimits::default(),
        fleet: Fleet::new(reader.clone()),
        prices: Prices::default(),
        links: Links {
            temporal: Some("https://temporal.example.com/{namespace}/{workflowId}".parse().unwrap()),
            trace: Some("https://traces.example.com/{traceId}".parse().unwrap()),
        },
        reader,
        log: log.clone(),
        metrics: metrics.clone(),
        load,
        blocking: BlockingWork::new(4),
        conversation_headers: vec!["x-conversation-id".parse().unwrap()],
        attachments: Some(attachments(revisions.path())),
        stopping: stopping.clone(),
    };
    let gateway = Arc::new(gateway);
    let codec = codec_routes(gateway.clone(), vec![CODEC_ORIGIN.parse().unwrap()]);
    TestGateway {
        router: router(gateway).merge(codec),
        log,
        temporal: TemporalConnection::new(temporal, metrics),
        stopping,
        registry,
        revisions,
    }
}

/// A store in a directory of the test.
fn attachments(directory: &std::path::Path) -> AttachmentStore {
    let url = format!("file://{}/attachments", directory.display());
    AttachmentStore::open(&url, "test", [], &Outbound::default()).unwrap()
}

/// A gateway that reaches no service.
pub(crate) fn without_services() -> TestGateway {
    test_gateway(
        Access::Anonymous,
        SelfApproval::Allowed,
        NOWHERE,
        &format!("redis://{NOWHERE}"),
    )
}

/// The same with encryption.
pub(crate) fn encrypted(codec: Codec) -> TestGateway {
    let temporal = TemporalSettings::insecure(NOWHERE, "default").unwrap();
    with_temporal(
        Access::Anonymous,
        SelfApproval::Allowed,
        temporal.with_codec(codec),
        &format!("redis://{NOWHERE}"),
        Load::default(),
    )
}

/// A gateway that reaches no service, for callers with permissions, within other limits.
pub(crate) fn limited(access: Access, load: Load) -> TestGateway {
    let temporal = TemporalSettings::insecure(NOWHERE, "default").unwrap();
    let redis = format!("redis://{NOWHERE}");
    with_temporal(access, SelfApproval::Allowed, temporal, &redis, load)
}

/// A gateway with a Redis of its own and the Temporal that all tests share.
pub(crate) async fn with_redis(redis: &Redis) -> TestGateway {
    guarded(Access::Anonymous, redis).await
}

/// The same for callers with permissions.
pub(crate) async fn guarded(access: Access, redis: &Redis) -> TestGateway {
    guarded_within(access, redis, Load::default()).await
}

/// The same within other limits and times.
pub(crate) async fn guarded_within(access: Access, redis: &Redis, load: Load) -> TestGateway {
    let temporal = shared_temporal().await;
    with_temporal(access, SelfApproval::Allowed, temporal, &redis.url(), load)
}

/// A gateway with a Redis of its own, the Temporal that all tests share, and these agents.
pub(crate) async fn with_agents(agents: AgentDirectory, redis: &Redis) -> TestGateway {
    let (temporal, directory) = (shared_temporal().await, tempfile::tempdir().unwrap());
    let (access, self_approval) = (Access::Anonymous, SelfApproval::Allowed);
    with_all(
        access,
        self_approval,
        temporal,
        &redis.url(),
        Load::default(),
        agents,
        directory,
    )
}

async fn shared_temporal() -> TemporalSettings {
    static TEMPORAL: OnceCell<Temporal> = OnceCell::const_new();
    let temporal = TEMPORAL
        .get_or_init(async || Temporal::start(TemporalOptions::default()).await.unwrap())
        .await;
    TemporalSettings::insecure(&temporal.address(), "default").unwrap()
}

/// The same with a Temporal of the test's own.
pub(crate) fn beside(temporal: &Temporal, redis: &Redis, access: Access, self_approval: SelfApproval) -> TestGateway {
    test_gateway(access, self_approval, &temporal.address(), &redis.url())
}

/// A whole response.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl TestGateway {
    /// The agent `haiku` is no more.
    pub(crate) fn delete_agent(&self) {
        fs::remove_file(self.revisions.path().join("haiku.yaml")).unwrap();
    }

    /// The agent `haiku` stays until its tasks have ended.
    pub(crate) fn begin_deletion_of_agent(&self) {
        let deleted = "metadata: {deletionTimestamp: \"2026-01-01T00:00:00Z\", ";
        let revision = REVISION.replacen("metadata: {", deleted, 1);
        assert_ne!(revision, REVISION);
        fs::write(self.revisions.path().join("haiku.yaml"), revision).unwrap();
    }

    /// The metrics in Prometheus' text format.
    pub(crate) fn metrics(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(Request::post(path).body(body.into()).unwrap()).await
    }

    pub(crate) async fn rpc(&self, method: &str, params: Value) -> Answer {
        self.post(
            "/agents/name/haiku/rpc",
            json!({"method": method, "params": params}).to_string(),
        )
        .await
    }

    /// A request of somebody with this token.
    pub(crate) async fn get_as(&self, token: &str, path: &str) -> Answer {
        let request = Request::get(path).header("Authorization", format!("Bearer {token}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// A call of somebody with this token.
    pub(crate) async fn rpc_as(&self, token: &str, agent: &str, method: &str, params: Value) -> Answer {
        let body = json!({"method": method, "params": params}).to_string();
        let request =
            Request::post(format!("/agents/name/{agent}/rpc")).header("Authorization", format!("Bearer {token}"));
        self.send(request.body(body.into()).unwrap()).await
    }

    /// A request of somebody with this token, with a body.
    pub(crate) async fn post_as(&self, token: &str, path: &str, body: &Value) -> Answer {
        let request = Request::post(path).header("Authorization", format!("Bearer {token}"));
        self.send(request.body(body.to_string().into()).unwrap()).await
    }

    /// A deletion by somebody with this token.
    pub(crate) async fn delete_as(&self, token: &str, path: &str) -> Answer {
        let request = Request::delete(path).header("Authorization", format!("Bearer {token}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// The same as [`rpc_as`](Self::rpc_as) under an idempotency key.
    pub(crate) async fn keyed_rpc_as(&self, token: &str, key: &str, method: &str, params: Value) -> Answer {
        let body = json!({"method": method, "params": params}).to_string();
        let request = Request::post("/agents/name/haiku/rpc")
            .header("Authorization", format!("Bearer {token}"))
            .header("Idempotency-Key", key);
        self.send(request.body(body.into()).unwrap()).await
    }

    /// The same under an idempotency key.
    pub(crate) async fn keyed_rpc(&self, key: &str, method: &str, params: Value) -> Answer {
        let body = json!({"method": method, "params": params}).to_string();
        let request = Request::post("/agents/name/haiku/rpc").header("Idempotency-Key", key);
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(crate) async fn create_task(&self) -> String {
        let answer = self.rpc("task/create", json!({})).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.body["result"]["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {body:?}"));
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    /// Opens a stream; `last_event_id` as a client would send it.
    pub(crate) async fn open_stream(&self, path: &str, last_event_id: Option<&str>) -> Response {
        let mut request = Request::get(path);
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        let request = request.body(Body::empty()).unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// The frames of a stream.
    pub(crate) async fn stream(&self, path: &str, last_event_id: Option<&str>) -> Frames {
        Frames::of(self.open_stream(path, last_event_id).await)
    }

    /// The frames of a stream that a request with a body opens.
    pub(crate) async fn post_stream(&self, path: &str, body: &Value) -> Frames {
        let request = Request::post(path).body(Body::from(body.to_string())).unwrap();
        Frames::of(self.router.clone().oneshot(request).await.unwrap())
    }

    /// Appends as the task's worker would, counting from `first`.
    pub(crate) async fn append(
        &self,
        task_id: &str,
        first: u64,
        events: impl IntoIterator<Item = EventKind>,
    ) -> Appended {
        let events = events.into_iter().map(testing::event).zip(first..);
        let events: Vec<Numbered> = events.map(|(event, counter)| Numbered { counter, event }).collect();
        let first_batch = if first == 1 { FirstBatch::Yes } else { FirstBatch::No };
        let log = self.log_id(task_id).await;
        let batch = Batch {
            parts: &[Part {
                producer: "worker",
                events: &events,
            }],
            cursor: None,
            first_batch,
            run: LogRun {
                id: &log.first_run_id,
                follows: "",
            },
            expiry: None,
        };
        self.log.append(&log, batch).await.unwrap()
    }

    /// The log of the task that has this id now.
    pub(crate) async fn log_id(&self, task_id: &str) -> LogId {
        let described = self.temporal.describe(task_id).await.unwrap();
        LogId::new(task_id, described.workflow_execution_info.unwrap().first_run_id)
    }
}

/// The id of a task or of a message, as it stands in the ids of A2A and of OpenAI's APIs.
pub(crate) fn uuid(hex: &str) -> String {
    uuid::Uuid::parse_str(hex).unwrap().to_string()
}

/// One frame of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    pub id: Option<String>,
    pub event: Option<String>,
    pub data: Value,
}

/// The frames of an open stream.
pub(crate) struct Frames(Pin<Box<dyn Stream<Item = Result<Sse, sse_stream::Error>> + Send>>);

impl Frames {
    pub(crate) fn of(response: Response) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self(Box::pin(SseByteStream::new(response.into_body().into_data_stream())))
    }

    /// The next frame; `None` at the end of the stream. Skips pings.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            let event = timeout(TIMEOUT, self.0.next())
                .await
                .expect("a frame in time")?
                .unwrap();
            if let Some(data) = event.data {
                return Some(Frame {
                    id: event.id,
                    event: event.event,
                    // What is no JSON is a text: `[DONE]`.
                    data: serde_json::from_str(&data).unwrap_or(Value::String(data)),
                });
            }
        }
    }

    /// The types and ids of the next frames.
    pub(crate) async fn outline(&mut self, count: usize) -> Vec<(String, Option<String>)> {
        let mut outline = Vec::new();
        for _ in 0..count {
            let frame = self.next().await.expect("a stream that goes on");
            outline.push((frame.data["type"].as_str().unwrap().to_owned(), frame.id));
        }
        outline
    }
}

/// The id of an entry of the same epoch, as a frame carries it.
#[expect(clippy::unnecessary_wraps, reason = "compared with what a frame may have")]
pub(crate) fn entry(epoch: EntryId, number: u64) -> Option<String> {
    Some(EntryId { number, ..epoch }.to_string())
}
