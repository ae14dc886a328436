//! A gateway in the test's process, and words to talk to it.

use std::{pin::Pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Request, StatusCode},
};
use futures::{Stream, StreamExt as _};
use serde_json::{Value, json};
use steadfast_eventlog::{Appended, Batch, EventLog, FirstBatch, LogReader, LogSettings, Numbered, RedisConnector};
use steadfast_events::EntryId;
use steadfast_events::{Author, Content, Event, EventKind, Message, MessageStatus, TextFormat};
use steadfast_gateway::{
    Gateway,
    access::{Access, SelfApproval},
    app,
    directory::{AgentDirectory, Naming},
    temporal::Temporal as TemporalConnection,
};
use steadfast_testkit::{Redis, Temporal, TemporalOptions};
use tokio::{sync::OnceCell, time::timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub const PATIENCE: Duration = Duration::from_secs(20);
/// Nothing listens here.
const NOWHERE: &str = "127.0.0.1:1";

const REVISION: &str = "
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

/// A gateway and what stands behind it.
pub struct Site {
    pub router: Router,
    pub log: EventLog,
    /// The same Temporal, for a test to speak to.
    pub temporal: TemporalConnection,
}

fn site(access: Access, self_approval: SelfApproval, temporal_address: &str, redis_url: &str) -> Site {
    let revision = serde_yaml_ng::from_str(REVISION).unwrap();
    let elsewhere = serde_yaml_ng::from_str(&REVISION.replace("default", "poets")).unwrap();
    let naming = Naming {
        install: "test".to_owned(),
        default_namespace: "default".to_owned(),
    };
    let log = EventLog::new(RedisConnector::from_url(redis_url).unwrap(), LogSettings::default());
    let gateway = Gateway {
        access,
        self_approval,
        directory: AgentDirectory::of_revisions(naming, vec![revision, elsewhere]),
        temporal: connection(temporal_address),
        reader: LogReader::start(log.clone()),
        log: log.clone(),
        stopping: CancellationToken::new(),
    };
    Site {
        router: app(Arc::new(gateway)),
        log,
        temporal: connection(temporal_address),
    }
}

fn connection(address: &str) -> TemporalConnection {
    TemporalConnection::new(steadfast_temporal::TemporalSettings::insecure(address, "default").unwrap())
}

/// A gateway that can reach nothing.
pub fn lonely() -> Site {
    site(
        Access::Anonymous,
        SelfApproval::Allowed,
        NOWHERE,
        &format!("redis://{NOWHERE}"),
    )
}

/// A gateway with a Redis of its own and the Temporal that all tests share.
pub async fn with_redis(redis: &Redis) -> Site {
    guarded(Access::Anonymous, redis).await
}

/// The same for callers with permissions.
pub async fn guarded(access: Access, redis: &Redis) -> Site {
    static TEMPORAL: OnceCell<Temporal> = OnceCell::const_new();
    let temporal = TEMPORAL
        .get_or_init(async || Temporal::start(TemporalOptions::default()).await.unwrap())
        .await;
    beside(temporal, redis, access, SelfApproval::Allowed)
}

/// The same with a Temporal of the test's own.
pub fn beside(temporal: &Temporal, redis: &Redis, access: Access, self_approval: SelfApproval) -> Site {
    site(access, self_approval, &temporal.address(), &redis.url())
}

/// The status and the body of an answer.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Site {
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(Request::post(path).body(body.into()).unwrap()).await
    }

    pub async fn rpc(&self, method: &str, params: Value) -> Answer {
        self.post(
            "/agents/name/haiku/rpc",
            json!({"method": method, "params": params}).to_string(),
        )
        .await
    }

    /// A request of somebody with this token.
    pub async fn get_as(&self, token: &str, path: &str) -> Answer {
        let request = Request::get(path).header("Authorization", format!("Bearer {token}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// A call of somebody with this token.
    pub async fn rpc_as(&self, token: &str, agent: &str, method: &str, params: Value) -> Answer {
        let body = json!({"method": method, "params": params}).to_string();
        let request =
            Request::post(format!("/agents/name/{agent}/rpc")).header("Authorization", format!("Bearer {token}"));
        self.send(request.body(body.into()).unwrap()).await
    }

    /// A request of somebody with this token, with a body.
    pub async fn post_as(&self, token: &str, path: &str, body: &Value) -> Answer {
        let request = Request::post(path).header("Authorization", format!("Bearer {token}"));
        self.send(request.body(body.to_string().into()).unwrap()).await
    }

    /// The same under an idempotency key.
    pub async fn keyed_rpc(&self, key: &str, method: &str, params: Value) -> Answer {
        let body = json!({"method": method, "params": params}).to_string();
        let request = Request::post("/agents/name/haiku/rpc").header("Idempotency-Key", key);
        self.send(request.body(body.into()).unwrap()).await
    }

    pub async fn create_task(&self) -> String {
        let answer = self.rpc("task/create", json!({})).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.body["result"]["id"].as_str().unwrap().to_owned()
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
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
    pub async fn stream(&self, path: &str, last_event_id: Option<&str>) -> Frames {
        let mut request = Request::get(path);
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = self
            .router
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Frames {
            body: Box::pin(response.into_body().into_data_stream()),
            text: String::new(),
        }
    }

    /// Appends as the task's worker would, counting from `first`.
    pub async fn append(&self, task_id: &str, first: u64, events: impl IntoIterator<Item = EventKind>) -> Appended {
        let events = events.into_iter().map(event).zip(first..);
        let events: Vec<Numbered> = events.map(|(event, counter)| Numbered { counter, event }).collect();
        let first_batch = if first == 1 { FirstBatch::Yes } else { FirstBatch::No };
        self.log
            .append(
                task_id,
                Batch {
                    producer: "worker",
                    events: &events,
                    cursor: None,
                    first_batch,
                },
            )
            .await
            .unwrap()
    }
}

pub fn event(kind: EventKind) -> Event {
    Event {
        kind,
        turn: 1,
        attempt: 1,
        agent: "haiku".to_owned(),
        path: String::new(),
        time: jiff::Timestamp::UNIX_EPOCH,
    }
}

pub fn text(text: &str) -> Content {
    Content::Text {
        text: text.to_owned(),
        format: TextFormat::Markdown,
    }
}

pub fn started(id: &str) -> EventKind {
    EventKind::MessageStarted {
        message_id: id.to_owned(),
        content: text(""),
    }
}

pub fn delta(id: &str, piece: &str) -> EventKind {
    EventKind::TextDelta {
        message_id: id.to_owned(),
        delta: piece.to_owned(),
    }
}

pub fn done(id: &str, whole: &str) -> EventKind {
    let message = Message {
        id: id.to_owned(),
        turn: 1,
        agent: "haiku".to_owned(),
        author: Author::Agent,
        content: text(whole),
        status: MessageStatus::Done,
        created_at: jiff::Timestamp::UNIX_EPOCH,
        updated_at: jiff::Timestamp::UNIX_EPOCH,
    };
    EventKind::MessageDone { message }
}

/// One frame of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub id: Option<String>,
    pub event: Option<String>,
    pub data: Value,
}

/// The frames of an open stream.
pub struct Frames {
    body: Pin<Box<dyn Stream<Item = Result<Bytes, axum::Error>> + Send>>,
    text: String,
}

impl Frames {
    /// The next frame; `None` at the end of the stream. Pings are passed over.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n") {
                let frame = parse(frame);
                self.text = rest.into();
                if frame.is_some() {
                    return frame;
                }
                continue;
            }
            let piece = timeout(PATIENCE, self.body.next()).await.expect("a frame in time")?;
            self.text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
    }

    /// The types and ids of the next frames.
    pub async fn outline(&mut self, count: usize) -> Vec<(String, Option<String>)> {
        let mut outline = Vec::new();
        for _ in 0..count {
            let frame = self.next().await.expect("a stream that goes on");
            outline.push((frame.data["type"].as_str().unwrap().to_owned(), frame.id));
        }
        outline
    }
}

fn parse(text: &str) -> Option<Frame> {
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .map(str::to_owned)
    };
    let data = serde_json::from_str(&field("data")?).unwrap();
    Some(Frame {
        id: field("id"),
        event: field("event"),
        data,
    })
}

/// The id of an entry of the same epoch, as a frame carries it.
#[expect(clippy::unnecessary_wraps, reason = "compared with what a frame may have")]
pub fn entry(epoch: EntryId, number: u64) -> Option<String> {
    Some(EntryId { number, ..epoch }.to_string())
}
