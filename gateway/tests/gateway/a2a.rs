//! A2A's two bindings against a real Temporal and a real Redis; the test appends to the log what a worker would.

use axum::{
    body::{Body, Bytes},
    http::{Request, StatusCode},
};
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use steadfast_contract::{
    signals::{Decide, Interrupt, ReceiveEvent, SIGNAL_DECIDE, SIGNAL_INTERRUPT, SIGNAL_RECEIVE_EVENT},
    start::{StartTask, WORKFLOW_TYPE},
    visibility::{MEMO_AGENT, MEMO_APPROVALS, MEMO_CREATOR},
};
use steadfast_events::{
    Approval, Author, Content, Decision, EventKind, Message, TurnStatus, Verdict,
    testing::{message, message_accepted, text, text_delta, text_done, text_started, turn_ended},
};
use steadfast_gateway::{Access, KubernetesAccess, SelfApproval, StartRequest};
use steadfast_payload::{pack, unpack};
use steadfast_testkit::{ControlPlane, ControlPlaneOptions, NewUser, Redis, Temporal, TemporalOptions};
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::{
    access::grant,
    support::{Answer, Frames, TIMEOUT, TestGateway, beside, uuid, with_redis, without_services},
};

const BASE: &str = "/a2a/default/haiku";
const CARD: &str = "/a2a/default/haiku/.well-known/agent-card.json";

// The tests share one Temporal, and the same message of the same user is the same task: each has ids of its own.

/// A request of A2A 1.0.
fn request(method: &str, path: &str, body: &Value) -> Request<Body> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("A2A-Version", "1.0")
        // One that this agent does not know.
        .header("A2A-Extensions", "https://example.com/extensions/unknown/v1");
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    request.body(Body::from(body)).unwrap()
}

async fn rpc(gateway: &TestGateway, method: &str, params: Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": "r1", "method": method, "params": params});
    let answer = gateway.send(request("POST", BASE, &body)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(
        (&answer.body["jsonrpc"], &answer.body["id"]),
        (&json!("2.0"), &json!("r1"))
    );
    answer.body
}

async fn http(gateway: &TestGateway, method: &str, path: &str, body: Value) -> Answer {
    let answer = gateway.send(request(method, &format!("{BASE}{path}"), &body)).await;
    assert_eq!(answer.headers["content-type"], "application/a2a+json", "{answer:?}");
    answer
}

async fn stream(gateway: &TestGateway, request: Request<Body>) -> Frames {
    Frames::of(gateway.router.clone().oneshot(request).await.unwrap())
}

async fn rest(frames: &mut Frames) -> Vec<Value> {
    let mut rest = Vec::new();
    while let Some(frame) = frames.next().await {
        rest.push(frame.data);
    }
    rest
}

fn said(id: &str, text: &str) -> Value {
    json!({"message": {"messageId": id, "role": "ROLE_USER", "parts": [{"text": text}]}})
}

fn at_once(mut request: Value) -> Value {
    request["configuration"] = json!({"returnImmediately": true});
    request
}

/// The task and the message in the id of a task.
fn ids(task: &Value) -> (String, String) {
    let (task, message) = task["id"].as_str().unwrap().split_once('-').unwrap();
    (uuid(task), uuid(message))
}

fn by_user(message_id: &str) -> EventKind {
    EventKind::MessageDone {
        message: Message {
            author: Author::User,
            ..message(message_id, text("Write one."))
        },
    }
}

fn begun(message_id: &str) -> Vec<EventKind> {
    vec![
        message_accepted(message_id),
        by_user(message_id),
        EventKind::TurnStarted {},
    ]
}

fn answered() -> Vec<EventKind> {
    vec![
        text_started("a"),
        text_delta("a", "Autumn "),
        text_done("a", "Autumn moon"),
        turn_ended(TurnStatus::Completed),
    ]
}

fn reason(error: &Value, details: &str) -> String {
    let info = &error["error"][details][0];
    assert_eq!(info["@type"], "type.googleapis.com/google.rpc.ErrorInfo", "{error}");
    info["reason"].as_str().unwrap().to_owned()
}

/// The signals of one kind that a task was sent.
async fn signals<T: serde::de::DeserializeOwned>(gateway: &TestGateway, task_id: &str, name: &str) -> Vec<T> {
    let history = gateway.temporal.history(task_id, "").await.unwrap();
    let signals = history.into_iter().filter_map(|event| match event.attributes? {
        Attributes::WorkflowExecutionSignaledEventAttributes(signaled) if signaled.signal_name == name => {
            signaled.input
        }
        _ => None,
    });
    signals.map(|input| unpack(&input.payloads[0]).unwrap()).collect()
}

async fn texts_sent_to(gateway: &TestGateway, task_id: &str) -> Vec<String> {
    let sent: Vec<ReceiveEvent> = signals(gateway, task_id, SIGNAL_RECEIVE_EVENT).await;
    let texts = sent.into_iter().map(|message| match message.content {
        Content::Text { text, .. } => text,
        other => panic!("{other:?}"),
    });
    texts.collect()
}

#[tokio::test]
async fn an_agent_has_a_card_that_says_where_and_how_it_is_reached() {
    let gateway = without_services();
    let asked = |tag: Option<&str>| {
        let mut asked = Request::get(CARD)
            .header("Host", "agents.example.com")
            .header("X-Forwarded-Proto", "https");
        if let Some(tag) = tag {
            asked = asked.header("If-None-Match", tag);
        }
        asked.body(Body::empty()).unwrap()
    };
    let answer = gateway.send(asked(None)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let url = "https://agents.example.com/a2a/default/haiku";
    assert_eq!(
        answer.body,
        json!({
            "name": "haiku", "description": "Writes haiku.", "version": "1",
            "supportedInterfaces": [
                {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
                {"url": url, "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"},
            ],
            "capabilities": {"streaming": true, "pushNotifications": false, "extendedAgentCard": false},
            "defaultInputModes": [
                "text/plain", "application/json", "image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf",
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
                "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
                "application/vnd.openxmlformats-officedocument.presentationml.presentation",
            ],
            "defaultOutputModes": ["text/plain"],
            "skills": [{"id": "haiku", "name": "haiku", "description": "Writes haiku.", "tags": ["agent"]}],
        })
    );
    assert_eq!(answer.headers["cache-control"], "private, max-age=60");
    let tag = answer.headers["etag"].to_str().unwrap().to_owned();
    let again = gateway.router.clone().oneshot(asked(Some(&tag))).await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    let elsewhere = gateway
        .send(
            Request::get("/a2a/default/nobody/.well-known/agent-card.json")
                .body(Body::empty())
                .unwrap(),
        )
        .await;
    assert_eq!(elsewhere.status, StatusCode::NOT_FOUND);
    assert_eq!(elsewhere.body["error"]["status"], "NOT_FOUND");
}

#[tokio::test]
async fn a_message_streams_its_task_in_both_bindings_and_every_stream_tells_the_same() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let sent = request("POST", &format!("{BASE}/message:stream"), &said("s1", "Write one."));
    let mut live = stream(&gateway, sent).await;
    let first = live.next().await.unwrap();
    assert_eq!((first.id, first.event), (None, None));
    let task = first.data["task"].clone();
    assert_eq!(task["status"]["state"], "TASK_STATE_SUBMITTED");
    let (task_id, message_id) = ids(&task);
    assert_eq!(task["contextId"], json!(task_id));
    assert_eq!(texts_sent_to(&gateway, &task_id).await, ["Write one."]);

    gateway.append(&task_id, 1, begun(&message_id)).await;
    let subscribe = json!({"jsonrpc": "2.0", "id": 5, "method": "SubscribeToTask", "params": {"id": task["id"]}});
    let mut by_rpc = stream(&gateway, request("POST", BASE, &subscribe)).await;
    let mut by_http = {
        let path = format!("{BASE}/tasks/{}:subscribe", task["id"].as_str().unwrap());
        stream(&gateway, request("GET", &path, &Value::Null)).await
    };
    for subscribed in [
        by_rpc.next().await.unwrap().data["result"].take(),
        by_http.next().await.unwrap().data,
    ] {
        let subscribed = &subscribed["task"];
        assert_eq!(
            (&subscribed["id"], &subscribed["status"]["state"]),
            (&task["id"], &json!("TASK_STATE_WORKING"))
        );
        assert_eq!(subscribed["history"][0]["parts"], json!([{"text": "Write one."}]));
    }
    // A viewer who leaves takes nothing from the others.
    drop(stream(&gateway, request("POST", BASE, &subscribe)).await);
    gateway.append(&task_id, 4, answered()).await;
    let told = rest(&mut live).await;
    assert_eq!(told[0]["statusUpdate"]["status"]["state"], "TASK_STATE_WORKING");
    let texts: Vec<&str> = told
        .iter()
        .filter_map(|event| event["artifactUpdate"]["artifact"]["parts"][0]["text"].as_str())
        .collect();
    assert_eq!(texts, ["Autumn ", "moon", ""]);
    let last = &told[told.len() - 1]["statusUpdate"];
    assert_eq!(
        (&last["taskId"], &last["contextId"], &last["status"]["state"]),
        (&task["id"], &task["contextId"], &json!("TASK_STATE_COMPLETED"))
    );
    let by_rpc = rest(&mut by_rpc).await;
    assert!(
        by_rpc.iter().all(|event| event["id"] == 5 && event["jsonrpc"] == "2.0"),
        "{by_rpc:?}"
    );
    let by_rpc: Vec<&Value> = by_rpc.iter().map(|event| &event["result"]).collect();
    assert_eq!(by_rpc, told[1..].iter().collect::<Vec<_>>());
    assert_eq!(rest(&mut by_http).await, told[1..]);

    // The task is the same later, in both bindings.
    let by_rpc = rpc(&gateway, "GetTask", json!({"id": task["id"], "historyLength": 0})).await["result"].take();
    let path = format!("/tasks/{}?historyLength=0", task["id"].as_str().unwrap());
    assert_eq!(http(&gateway, "GET", &path, Value::Null).await.body, by_rpc);
    assert_eq!(by_rpc["artifacts"][0]["parts"], json!([{"text": "Autumn moon"}]));
    assert_eq!(by_rpc.get("history"), None);
}

#[tokio::test]
async fn a_message_waits_for_its_task_unless_it_is_told_not_to_and_sent_again_it_is_the_same() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let body = at_once(said("w1", "Write one."));
    let task = rpc(&gateway, "SendMessage", body.clone()).await["result"]["task"].take();
    assert_eq!(task["status"]["state"], "TASK_STATE_SUBMITTED");
    let (task_id, message_id) = ids(&task);
    gateway.append(&task_id, 1, begun(&message_id)).await;

    let sent = request("POST", &format!("{BASE}/message:send"), &said("w1", "Write one."));
    let response = gateway.router.clone().oneshot(sent).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/a2a+json");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let mut chunks = response.into_body().into_data_stream();
    // The client gets bytes while the task works: that of python waits 5 s for one.
    for _ in 0..2 {
        let chunk = timeout(TIMEOUT, chunks.next()).await.expect("a byte in time");
        assert_eq!(chunk.unwrap().unwrap(), " ");
    }
    gateway.append(&task_id, 4, answered()).await;
    let body: Vec<Bytes> = timeout(TIMEOUT, chunks.try_collect()).await.expect("an end").unwrap();
    let whole = serde_json::from_slice::<Value>(&body.concat()).unwrap()["task"].take();
    assert_eq!(
        (&whole["id"], &whole["status"]["state"]),
        (&task["id"], &json!("TASK_STATE_COMPLETED"))
    );
    assert_eq!(whole["artifacts"][0]["parts"][0]["text"], "Autumn moon");
    let other = rpc(&gateway, "SendMessage", at_once(said("w1", "Another one."))).await;
    assert_ne!(other["result"]["task"]["contextId"], task["contextId"]);
}

#[tokio::test]
async fn a_context_is_a_conversation_by_its_id_or_by_the_name_that_a_client_gave_it() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let in_context = |context: &Value, id: &str| {
        let mut body = at_once(said(id, "Next."));
        body["message"]["contextId"] = context.clone();
        body
    };
    let first = rpc(&gateway, "SendMessage", at_once(said("c1", "First."))).await["result"]["task"].take();
    let next = rpc(&gateway, "SendMessage", in_context(&first["contextId"], "c2")).await["result"]["task"].take();
    assert_eq!(ids(&next).0, ids(&first).0);
    assert_ne!(next["id"], first["id"]);
    let own = json!("7d3c3b6e-6b0e-4b3c-9a53-111111111111");
    let named = rpc(&gateway, "SendMessage", in_context(&own, "c3")).await["result"]["task"].take();
    let again = rpc(&gateway, "SendMessage", in_context(&own, "c4")).await["result"]["task"].take();
    assert_eq!((&named["contextId"], &again["contextId"]), (&own, &own));
    assert_eq!(ids(&named).0, ids(&again).0);
    assert_eq!(texts_sent_to(&gateway, &ids(&named).0).await.len(), 2);

    // Both are given: they must belong together. The other agent has other conversations.
    let mut mixed = in_context(&own, "c5");
    mixed["message"]["taskId"] = first["id"].clone();
    let refused = rpc(&gateway, "SendMessage", mixed).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    let violation = &refused["error"]["data"][1]["fieldViolations"][0];
    assert_eq!(violation["field"], "message.contextId");
    let body =
        json!({"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": in_context(&first["contextId"], "c6")});
    let elsewhere = gateway.send(request("POST", "/a2a/poets/haiku", &body)).await.body;
    assert_eq!(elsewhere["error"]["code"], -32602, "{elsewhere}");
}

#[tokio::test]
async fn a_task_that_has_ended_takes_no_message_no_subscription_and_no_cancellation() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let task = rpc(&gateway, "SendMessage", at_once(said("e1", "Write one."))).await["result"]["task"].take();
    let (task_id, message_id) = ids(&task);
    let id = task["id"].as_str().unwrap();
    let to_task = |text: &str| {
        let mut body = said("e2", text);
        body["message"]["taskId"] = task["id"].clone();
        body
    };
    // One that works waits for nothing.
    gateway.append(&task_id, 1, begun(&message_id)).await;
    let working = http(&gateway, "POST", "/message:send", to_task("More.")).await;
    assert_eq!(working.status, StatusCode::BAD_REQUEST);
    assert_eq!(reason(&working.body, "details"), "UNSUPPORTED_OPERATION");
    gateway.append(&task_id, 4, answered()).await;
    for method in ["SendMessage", "SendStreamingMessage"] {
        let refused = rpc(&gateway, method, to_task("More.")).await;
        assert_eq!(refused["error"]["code"], -32004, "{refused}");
        assert_eq!(reason(&refused, "data"), "UNSUPPORTED_OPERATION");
    }
    let refused = rpc(&gateway, "SubscribeToTask", json!({"id": id})).await;
    assert_eq!(refused["error"]["code"], -32004, "{refused}");
    let refused = http(&gateway, "POST", &format!("/tasks/{id}:subscribe"), Value::Null).await;
    assert_eq!(reason(&refused.body, "details"), "UNSUPPORTED_OPERATION");
    let refused = rpc(&gateway, "CancelTask", json!({"id": id})).await;
    assert_eq!(refused["error"]["code"], -32002, "{refused}");
    let refused = http(&gateway, "POST", &format!("/tasks/{id}:cancel"), json!({"id": id})).await;
    assert_eq!(
        (refused.status, reason(&refused.body, "details").as_str()),
        (StatusCode::BAD_REQUEST, "TASK_NOT_CANCELABLE")
    );
    assert_eq!(texts_sent_to(&gateway, &task_id).await, ["Write one."]);
}

#[tokio::test]
async fn a_task_that_works_is_canceled_by_an_interrupt() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let task = rpc(&gateway, "SendMessage", at_once(said("k1", "Write one."))).await["result"]["task"].take();
    let (task_id, message_id) = ids(&task);
    let waits = rpc(&gateway, "CancelTask", json!({"id": task["id"]})).await;
    assert_eq!(waits["error"]["code"], -32002, "{waits}");
    gateway.append(&task_id, 1, begun(&message_id)).await;
    let canceled = rpc(&gateway, "CancelTask", json!({"id": task["id"]}));
    let worker = async {
        loop {
            let interrupts: Vec<Interrupt> = signals(&gateway, &task_id, SIGNAL_INTERRUPT).await;
            if !interrupts.is_empty() {
                break;
            }
        }
        gateway.append(&task_id, 4, [turn_ended(TurnStatus::Interrupted)]).await;
    };
    let (canceled, ()) = tokio::join!(canceled, worker);
    assert_eq!(
        canceled["result"]["status"]["state"], "TASK_STATE_CANCELED",
        "{canceled}"
    );
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one list and its pages")]
async fn tasks_are_listed_by_their_latest_status_in_pages() {
    let redis = Redis::start().await.unwrap();
    let temporal = Temporal::start(TemporalOptions::default()).await.unwrap();
    let gateway = beside(&temporal, &redis, Access::Anonymous, SelfApproval::Allowed);
    let first = rpc(&gateway, "SendMessage", at_once(said("l1", "First."))).await["result"]["task"].take();
    let (task_id, message_id) = ids(&first);
    gateway.append(&task_id, 1, begun(&message_id)).await;
    gateway.append(&task_id, 4, answered()).await;
    let mut next = at_once(said("l2", "Second."));
    next["message"]["contextId"] = first["contextId"].clone();
    let second = rpc(&gateway, "SendMessage", next).await["result"]["task"].take();
    gateway.append(&task_id, 8, [message_accepted(&ids(&second).1)]).await;
    let third = rpc(&gateway, "SendMessage", at_once(said("l3", "Third."))).await["result"]["task"].take();
    gateway.append(&ids(&third).0, 1, begun(&ids(&third).1)).await;

    // Visibility lags behind.
    let all = steadfast_testkit::wait::until("all are listed", TIMEOUT, async || {
        let listed = rpc(&gateway, "ListTasks", json!({})).await["result"].take();
        anyhow::ensure!(listed["totalSize"] == 3, "{listed}");
        Ok(listed)
    })
    .await
    .unwrap();
    assert_eq!((&all["pageSize"], &all["nextPageToken"]), (&json!(50), &json!("")));
    let listed = all["tasks"].as_array().unwrap();
    assert!(listed.iter().all(|task| task.get("artifacts").is_none()), "{all}");
    let times: Vec<&str> = listed
        .iter()
        .map(|task| task["status"]["timestamp"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");

    let mut paged = Vec::new();
    let mut token = String::new();
    loop {
        let page = http(
            &gateway,
            "GET",
            &format!("/tasks?pageSize=2&pageToken={token}"),
            Value::Null,
        )
        .await
        .body;
        paged.extend(page["tasks"].as_array().unwrap().clone());
        token = page["nextPageToken"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(&paged, listed);
    let query = format!(
        "/tasks?contextId={}&status=TASK_STATE_COMPLETED&includeArtifacts=true&historyLength=1",
        first["contextId"].as_str().unwrap()
    );
    let one = http(&gateway, "GET", &query, Value::Null).await.body;
    assert_eq!(one["totalSize"], 1, "{one}");
    assert_eq!(
        (
            &one["tasks"][0]["id"],
            &one["tasks"][0]["artifacts"][0]["parts"][0]["text"]
        ),
        (&first["id"], &json!("Autumn moon"))
    );
    let later = http(
        &gateway,
        "GET",
        "/tasks?statusTimestampAfter=2100-01-01T00:00:00Z",
        Value::Null,
    )
    .await
    .body;
    assert_eq!(later["tasks"], json!([]));
    for (query, field) in [
        ("pageSize=0", "pageSize"),
        ("pageSize=101", "pageSize"),
        ("pageToken=x", "pageToken"),
        ("historyLength=-1", "historyLength"),
    ] {
        let refused = http(&gateway, "GET", &format!("/tasks?{query}"), Value::Null).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(
            refused.body["error"]["details"][1]["fieldViolations"][0]["field"],
            field
        );
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table of requests")]
async fn what_a_request_may_not_be_is_refused_in_the_words_of_its_binding() {
    let gateway = without_services();
    let no_version = json!({"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": "x"}});
    for version in [None, Some("0.3"), Some("2.0")] {
        let mut request = Request::post(BASE);
        if let Some(version) = version {
            request = request.header("A2A-Version", version);
        }
        let refused = gateway.send(request.body(no_version.to_string().into()).unwrap()).await;
        assert_eq!(
            (refused.status, &refused.body["error"]["code"]),
            (StatusCode::OK, &json!(-32009)),
            "{refused:?}"
        );
    }
    let by_query = Request::get(format!("{BASE}/tasks/x?A2A-Version=1.0"))
        .body(Body::empty())
        .unwrap();
    assert_eq!(gateway.send(by_query).await.status, StatusCode::NOT_FOUND);
    let refused = gateway.get(&format!("{BASE}/tasks/x")).await;
    assert_eq!(
        (refused.status, reason(&refused.body, "details").as_str()),
        (StatusCode::BAD_REQUEST, "VERSION_NOT_SUPPORTED")
    );

    for (method, params, code) in [
        ("Nothing", json!({}), -32601),
        ("GetTask", json!({}), -32602),
        ("GetTask", json!({"id": "x"}), -32001),
        ("CancelTask", json!({"id": "x"}), -32001),
        ("SubscribeToTask", json!({"id": "x"}), -32001),
        ("ListTasks", json!({"status": "running"}), -32602),
        ("SendMessage", json!({}), -32602),
        (
            "SendMessage",
            json!({"message": {"messageId": "m", "role": "ROLE_USER", "parts": []}}),
            -32602,
        ),
        (
            "SendMessage",
            json!({"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "Hi", "mediaType": "application/x-unknown"}]}}),
            -32005,
        ),
        (
            "CreateTaskPushNotificationConfig",
            json!({"taskId": "x", "url": "https://example.com"}),
            -32003,
        ),
        (
            "GetTaskPushNotificationConfig",
            json!({"taskId": "x", "id": "y"}),
            -32003,
        ),
        ("ListTaskPushNotificationConfigs", json!({"taskId": "x"}), -32003),
        (
            "DeleteTaskPushNotificationConfig",
            json!({"taskId": "x", "id": "y"}),
            -32003,
        ),
        ("GetExtendedAgentCard", json!({}), -32004),
    ] {
        let refused = rpc(&gateway, method, params.clone()).await;
        assert_eq!(refused["error"]["code"], code, "{method} {params}: {refused}");
        assert!(refused["error"]["message"].is_string());
        assert!(refused["error"]["data"][0]["@type"].is_string());
    }
    let mut pushed = said("m", "Hi");
    pushed["configuration"] = json!({"taskPushNotificationConfig": {"url": "https://example.com"}});
    assert_eq!(rpc(&gateway, "SendMessage", pushed).await["error"]["code"], -32003);
    let mut unknown = said("m", "Hi");
    unknown["message"]["taskId"] = json!("x");
    assert_eq!(rpc(&gateway, "SendMessage", unknown).await["error"]["code"], -32001);

    for (method, path, status, expected) in [
        ("GET", "/tasks/x", 404, "TASK_NOT_FOUND"),
        ("POST", "/tasks/x:cancel", 404, "TASK_NOT_FOUND"),
        ("POST", "/tasks/x:subscribe", 404, "TASK_NOT_FOUND"),
        ("POST", "/tasks/x:dance", 404, "METHOD_NOT_FOUND"),
        ("POST", "/message:dance", 404, "METHOD_NOT_FOUND"),
        (
            "POST",
            "/tasks/x/pushNotificationConfigs",
            400,
            "PUSH_NOTIFICATION_NOT_SUPPORTED",
        ),
        (
            "GET",
            "/tasks/x/pushNotificationConfigs",
            400,
            "PUSH_NOTIFICATION_NOT_SUPPORTED",
        ),
        (
            "GET",
            "/tasks/x/pushNotificationConfigs/y",
            400,
            "PUSH_NOTIFICATION_NOT_SUPPORTED",
        ),
        (
            "DELETE",
            "/tasks/x/pushNotificationConfigs/y",
            400,
            "PUSH_NOTIFICATION_NOT_SUPPORTED",
        ),
        ("GET", "/extendedAgentCard", 400, "UNSUPPORTED_OPERATION"),
    ] {
        let refused = http(&gateway, method, path, Value::Null).await;
        assert_eq!(refused.status.as_u16(), status, "{method} {path}: {refused:?}");
        assert_eq!(reason(&refused.body, "details"), expected, "{method} {path}");
        assert_eq!(refused.body["error"]["code"], status);
    }
    let body = "{";
    let broken = Request::post(format!("{BASE}/"))
        .header("A2A-Version", "1.0")
        .body(body.into())
        .unwrap();
    assert_eq!(gateway.send(broken).await.body["error"]["code"], -32700);
    let away = rpc(&gateway, "SendMessage", said("m", "Hi")).await;
    assert_eq!(away["error"]["code"], -32603, "{away}");
}

fn asked(task_id: &str) -> Approval {
    serde_json::from_value(json!({
        "id": format!("{task_id}.run.1.0.0"), "kind": "tool_call", "agent": "haiku", "turn": 1, "tool": "publish",
        "tool_call_id": "c", "arguments": {"lines": 3}, "requested_at": "2026-11-23T10:00:00Z",
    }))
    .unwrap()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table of callers and requests")]
async fn an_answer_decides_with_the_right_of_the_approver_and_with_no_other() {
    steadfast_process::crypto::install();
    let users = vec![
        NewUser::new("alice", &["writers"]),
        NewUser::new("bob", &["writers"]),
        NewUser::new("erin", &["writers", "auditors", "approvers"]),
        NewUser::new("carol", &["strangers"]),
    ];
    let cluster = ControlPlane::start_with(ControlPlaneOptions { users }).await.unwrap();
    grant(&cluster, "writers", &["agents", "agents/tasks"]).await;
    grant(&cluster, "auditors", &["agents/alltasks"]).await;
    grant(&cluster, "approvers", &["agents/approvals"]).await;
    let redis = Redis::start().await.unwrap();
    let temporal = Temporal::start(TemporalOptions::default()).await.unwrap();
    let access = KubernetesAccess::new(cluster.client(), Vec::new());
    let access = Access::Kubernetes(Box::new(access));
    let gateway = beside(&temporal, &redis, access, SelfApproval::Allowed);
    let token = async |name: &str| cluster.user(name).await.unwrap().token;
    let (alice, bob) = (token("alice").await, token("bob").await);
    let (erin, carol) = (token("erin").await, token("carol").await);

    // A workflow that nobody runs asks, as the memo of the task says.
    let (task_id, message_id) = (
        "01890000-0000-7000-8000-000000000001",
        "01890000-0000-7000-8000-00000000000a",
    );
    let approval = asked(task_id);
    let start = StartTask::new(task_id, "default", "haiku");
    let creator = "alice".to_owned();
    let start = StartRequest {
        workflow_id: task_id.to_owned(),
        workflow_type: WORKFLOW_TYPE,
        task_queue: "test/default/agent/haiku".to_owned(),
        input: pack(&start).unwrap(),
        memo: vec![
            (MEMO_AGENT, pack(&"default/haiku").unwrap()),
            (MEMO_CREATOR, pack(&creator).unwrap()),
            (MEMO_APPROVALS, pack(&[&approval]).unwrap()),
        ],
    };
    gateway.temporal.start(start).await.unwrap();
    let mut events = begun(message_id);
    events.push(EventKind::ApprovalRequested {
        approval: approval.clone(),
    });
    gateway.append(task_id, 1, events).await;

    let id = format!("{}-{}", task_id.replace('-', ""), message_id.replace('-', ""));
    let call = async |token: &str, method: &str, params: Value| {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut request = request("POST", BASE, &body);
        let bearer = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("Authorization", bearer);
        gateway.send(request).await
    };
    let answer = |text: &str| {
        let mut body = at_once(said("m2", text));
        body["message"]["taskId"] = json!(id);
        body
    };
    let task = call(&alice, "GetTask", json!({"id": id})).await.body["result"].take();
    assert_eq!(task["status"]["state"], "TASK_STATE_INPUT_REQUIRED");
    assert_eq!(
        task["status"]["message"]["parts"][1]["data"],
        json!({
            "approvalId": approval.id, "kind": "tool_call", "agent": "haiku", "tool": "publish",
            "arguments": {"lines": 3},
        })
    );
    // Who may not see the agent or the task finds neither; without a token nobody does.
    let stranger = call(&carol, "GetTask", json!({"id": id})).await;
    assert_eq!(stranger.status, StatusCode::NOT_FOUND, "{stranger:?}");
    for (method, params) in [
        ("GetTask", json!({"id": id})),
        ("SubscribeToTask", json!({"id": id})),
        ("CancelTask", json!({"id": id})),
        ("SendMessage", answer("approve")),
    ] {
        let others = call(&bob, method, params).await.body;
        assert_eq!(others["error"]["code"], -32001, "{method}: {others}");
    }
    let none = call(&bob, "ListTasks", json!({"contextId": task_id})).await.body;
    assert_eq!(none["result"]["totalSize"], 0, "{none}");
    let card = gateway.get_as(&carol, CARD).await;
    assert_eq!(card.status, StatusCode::NOT_FOUND);
    let nobody = gateway.get(CARD).await;
    assert_eq!(
        (
            nobody.status,
            &nobody.headers["www-authenticate"],
            &nobody.body["error"]["status"]
        ),
        (
            StatusCode::UNAUTHORIZED,
            &"Bearer".parse().unwrap(),
            &json!("UNAUTHENTICATED")
        )
    );
    let card = Request::get(CARD)
        .header("Host", "agents.example.com")
        .header("Authorization", format!("Bearer {alice}"));
    let card = gateway.send(card.body(Body::empty()).unwrap()).await.body;
    assert_eq!(
        card["securityRequirements"],
        json!([{"schemes": {"bearer": {"list": []}}}])
    );
    assert_eq!(
        card["securitySchemes"]["bearer"]["httpAuthSecurityScheme"]["scheme"],
        "Bearer"
    );

    // The creator of the task may not decide; a guess decides nothing.
    let refused = call(&alice, "SendMessage", answer("approve")).await.body;
    assert_eq!(refused["error"]["code"], -32000, "{refused}");
    assert_eq!(reason(&refused, "data"), "PERMISSION_DENIED");
    for (text, code) in [("yes, do it", -32602), ("", -32602)] {
        let refused = call(&erin, "SendMessage", answer(text)).await.body;
        assert_eq!(refused["error"]["code"], code, "{text}: {refused}");
    }
    let mut other = answer("");
    other["message"]["parts"] = json!([{"data": {"approvalId": "t.run.1.0.0", "decision": "approve"}}]);
    let refused = call(&erin, "SendMessage", other).await.body;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    let none: Vec<Decide> = signals(&gateway, task_id, SIGNAL_DECIDE).await;
    assert_eq!(none.len(), 0);

    let decided = call(&erin, "SendMessage", answer("reject: not today"));
    let worker = async {
        let decided = loop {
            let decided: Vec<Decide> = signals(&gateway, task_id, SIGNAL_DECIDE).await;
            if let Some(decided) = decided.into_iter().next() {
                break decided;
            }
        };
        let events = [EventKind::ApprovalDecided {
            approval_id: decided.approval_id.clone(),
            decision: decided.decision.clone(),
        }];
        gateway.append(task_id, 5, events).await;
        decided
    };
    let (answered, signaled) = tokio::join!(decided, worker);
    assert_eq!(
        signaled.decision,
        Decision {
            by: "erin".to_owned(),
            reason: "not today".to_owned(),
            ..Decision::new(Verdict::Rejected)
        }
    );
    let task = &answered.body["result"]["task"];
    assert_eq!(task["status"]["state"], "TASK_STATE_WORKING", "{answered:?}");
    let listed = call(&alice, "ListTasks", json!({"contextId": task_id})).await.body;
    assert_eq!(listed["result"]["tasks"][0]["id"], json!(id), "{listed}");
}
