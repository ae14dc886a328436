//! What Agentex's clients call besides tasks, messages and streams: answers in the response, events,
//! metadata, exports, and what has no counterpart here.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use steadfast_contract::signals::UpdateMetadata;
use steadfast_events::{
    EventKind, TurnStatus,
    id::user_message_id,
    testing::{message_accepted, text_delta, text_done, text_started, turn_ended},
};
use steadfast_payload::unpack;
use steadfast_testkit::{Redis, wait};
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use tower::ServiceExt as _;

use super::support::{TIMEOUT, TestGateway, with_redis, without_services};

/// The turn that answers a message, as a worker writes it.
fn answer_of(message_id: &str) -> Vec<EventKind> {
    vec![
        message_accepted(message_id),
        EventKind::TurnStarted {},
        text_started("a"),
        text_delta("a", "Autumn "),
        text_done("a", "Autumn moon"),
        turn_ended(TurnStatus::Completed),
    ]
}

fn to_task(task_id: &str) -> Value {
    json!({"task_id": task_id, "content": {"type": "text", "author": "user", "content": "Write one."}})
}

/// The lines of a response.
async fn lines(gateway: &TestGateway, key: &str, params: &Value) -> Vec<Value> {
    let body = json!({"id": "x", "method": "message/send", "params": params}).to_string();
    let request = Request::post("/agents/name/haiku/rpc").header("Idempotency-Key", key);
    let request = request.body(Body::from(body)).unwrap();
    let response = gateway.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn an_answer_comes_whole_in_the_response_and_once_more_for_the_same_request() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let id = gateway.create_task().await;
    let events = answer_of(&user_message_id(&id, "", "m1"));
    let send = async || gateway.keyed_rpc("m1", "message/send", to_task(&id)).await;
    let (first, _) = tokio::join!(send(), gateway.append(&id, 1, events));
    assert_eq!(first.status, StatusCode::OK, "{first:?}");
    let messages = first.body["result"].as_array().unwrap();
    assert_eq!(messages.len(), 1, "{first:?}");
    assert_eq!(
        (&messages[0]["id"], &messages[0]["content"]["content"]),
        (&json!(format!("{id}.a")), &json!("Autumn moon"))
    );
    assert_eq!(send().await.body, first.body);
}

#[tokio::test]
async fn an_answer_comes_line_by_line_with_numbered_messages() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let id = gateway.create_task().await;
    let mut params = to_task(&id);
    params["stream"] = json!(true);
    let events = answer_of(&user_message_id(&id, "", "m1"));
    let (lines, _) = tokio::join!(lines(&gateway, "m1", &params), gateway.append(&id, 1, events));
    let outline = |line: &Value| {
        assert_eq!((&line["jsonrpc"], &line["id"]), (&json!("2.0"), &json!("x")));
        (line["result"]["type"].clone(), line["result"]["index"].clone())
    };
    let outline: Vec<(Value, Value)> = lines.iter().map(outline).collect();
    let expected = ["start", "delta", "full", "done"].map(|kind| (json!(kind), json!(0)));
    assert_eq!(outline, expected);
}

#[tokio::test]
async fn a_turn_that_fails_is_an_error_of_the_request_that_is_not_to_be_repeated() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let id = gateway.create_task().await;
    let rejected = [EventKind::MessageRejected {
        message_id: user_message_id(&id, "", "m1"),
        idempotency_key: None,
        reason: "the queue is full".to_owned(),
    }];
    let (answer, _) = tokio::join!(
        gateway.keyed_rpc("m1", "message/send", to_task(&id)),
        gateway.append(&id, 1, rejected)
    );
    assert_eq!(answer.status, StatusCode::FAILED_DEPENDENCY);
    assert_eq!(answer.headers["x-should-retry"], "false");
    assert_eq!(answer.body["error"]["message"], "message_rejected: the queue is full");
    for params in [
        json!({"task_id": id, "task_name": "n", "content": {"content": "Hi"}}),
        json!({"task_id": id, "stream": "yes", "content": {"content": "Hi"}}),
        json!({"task_id": id}),
    ] {
        let answer = gateway.rpc("message/send", params).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    }
}

#[tokio::test]
async fn a_message_and_an_event_are_found_by_their_ids_alone() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let id = gateway.create_task().await;
    let sent = |key: &str| user_message_id(&id, "", key);
    for key in ["m1", "m2"] {
        gateway.keyed_rpc(key, "event/send", to_task(&id)).await;
    }
    let accepted = ["m1", "m2"].map(|key| message_accepted(&sent(key)));
    let of_user = ["m1", "m2"].map(|key| {
        let EventKind::MessageDone { mut message } = text_done(&sent(key), "Write one.") else {
            unreachable!("a finished message");
        };
        message.author = steadfast_events::Author::User;
        EventKind::MessageDone { message }
    });
    let answer = [text_done("a", "Autumn moon")];
    gateway
        .append(&id, 1, accepted.into_iter().chain(of_user).chain(answer))
        .await;
    let message = gateway.get(&format!("/messages/{id}.a")).await;
    assert_eq!(message.body["content"]["content"], "Autumn moon", "{message:?}");
    let unknown = gateway.get("/messages/another.a").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);

    let events = gateway.get(&format!("/events?task_id={id}")).await.body;
    let ids: Vec<&Value> = events.as_array().unwrap().iter().map(|event| &event["id"]).collect();
    let first = format!("{id}.{}", sent("m1"));
    assert_eq!(ids, [&json!(first), &json!(format!("{id}.{}", sent("m2")))]);
    assert!(events[0]["sequence_id"].as_u64() < events[1]["sequence_id"].as_u64());
    let later = gateway
        .get(&format!("/events?task_id={id}&last_processed_event_id={first}"))
        .await;
    assert_eq!(later.body, json!([events[1]]));
    assert_eq!(gateway.get(&format!("/events/{first}")).await.body, events[0]);
    let export = gateway.get(&format!("/tasks/{id}/export")).await;
    assert_eq!(export.body["messages"].as_array().unwrap().len(), 3);
    assert!(
        export.headers["content-disposition"]
            .to_str()
            .unwrap()
            .starts_with("attachment")
    );
}

#[tokio::test]
async fn metadata_is_replaced_by_a_signal_and_tasks_are_found_by_it() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let created = gateway
        .rpc("task/create", json!({"task_metadata": {"team": {"name": "blue"}}}))
        .await;
    let id = created.body["result"]["id"].as_str().unwrap().to_owned();
    let put = async |body: &Value| {
        let request = Request::put(format!("/tasks/{id}")).body(Body::from(body.to_string()));
        gateway.send(request.unwrap()).await
    };
    let metadata = json!({"team": {"name": "red", "size": 2}});
    let changed = put(&json!({ "task_metadata": metadata })).await;
    assert_eq!(
        (changed.status, &changed.body["task_metadata"]),
        (StatusCode::OK, &metadata)
    );
    let history = gateway.temporal.history(&id, "").await.unwrap();
    let signaled = history.into_iter().find_map(|event| match event.attributes? {
        Attributes::WorkflowExecutionSignaledEventAttributes(signaled) => signaled.input,
        _ => None,
    });
    let update: UpdateMetadata = unpack(&signaled.unwrap().payloads[0]).unwrap();
    assert_eq!(update.metadata, metadata);
    for refused in [
        json!({"task_metadata": []}),
        json!({"merge_params": {"a": 1}}),
        json!({"task_metadata": {"x": "y".repeat(17 * 1024)}}),
    ] {
        let answer = put(&refused).await;
        assert!(answer.status.is_client_error(), "{answer:?}");
    }
    // No worker runs: what it was begun with is what is found.
    let found = async |name: &str| {
        let pattern = json!({"team": {"name": name}}).to_string();
        let path = format!(
            "/tasks?task_metadata={}",
            utf8_percent_encode(&pattern, NON_ALPHANUMERIC)
        );
        let listed = gateway.get(&path).await;
        let ids = listed
            .body
            .as_array()
            .map(|tasks| tasks.iter().any(|task| task["id"] == *id));
        ids.unwrap_or_else(|| panic!("{listed:?}"))
    };
    wait::until("the task in the list", TIMEOUT, async || {
        anyhow::ensure!(found("blue").await);
        Ok(())
    })
    .await
    .unwrap();
    assert!(!found("green").await);
    let malformed = gateway.get("/tasks?task_metadata=[1]").await;
    assert_eq!(malformed.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_has_no_counterpart_says_what_to_use_instead() {
    let gateway = without_services();
    for (method, path, status) in [
        ("GET", "/spans", StatusCode::BAD_REQUEST),
        ("POST", "/states", StatusCode::BAD_REQUEST),
        ("GET", "/tracker/t", StatusCode::BAD_REQUEST),
        ("POST", "/messages", StatusCode::METHOD_NOT_ALLOWED),
        ("PUT", "/messages/m", StatusCode::METHOD_NOT_ALLOWED),
        ("POST", "/messages/batch", StatusCode::METHOD_NOT_ALLOWED),
        ("POST", "/tasks/t/fail", StatusCode::BAD_REQUEST),
        ("POST", "/tasks/t/export", StatusCode::METHOD_NOT_ALLOWED),
        ("POST", "/tasks/t/clean", StatusCode::BAD_REQUEST),
        ("DELETE", "/agents/a", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let answer = gateway.send(request).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        let message = answer.body["message"].as_str().unwrap();
        assert!(message.starts_with("not supported by Steadfast: "), "{message}");
    }
}
