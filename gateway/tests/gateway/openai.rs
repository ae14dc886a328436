//! OpenAI's APIs against a real Temporal and a real Redis; the test appends to the log what a worker would.

use std::pin::pin;

use axum::{body::Body, http::Request};
use serde_json::{Value, json};
use steadfast_contract::signals::ReceiveEvent;
use steadfast_events::{
    Content, EventKind, TurnStatus, Usage,
    testing::{message_accepted, text_delta, text_done, text_started},
};
use steadfast_payload::unpack;
use steadfast_testkit::Redis;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;

use super::support::{Answer, Frames, TestGateway, uuid, with_redis, without_services};

/// The task and the message of a response.
fn ids(response: &Value) -> (String, String) {
    let id = response["id"].as_str().unwrap().strip_prefix("resp_").unwrap();
    (uuid(&id[..32]), uuid(&id[32..64]))
}

fn ended(status: TurnStatus) -> EventKind {
    EventKind::TurnEnded {
        status,
        usage: Usage {
            input_tokens: 3,
            output_tokens: 2,
            ..Usage::default()
        },
        error: None,
    }
}

fn answer_of(message_id: &str) -> Vec<EventKind> {
    vec![
        message_accepted(message_id),
        EventKind::TurnStarted {},
        text_started("a"),
        text_delta("a", "Autumn "),
        text_done("a", "Autumn moon"),
        ended(TurnStatus::Completed),
    ]
}

/// The frames up to the end of the stream, without `[DONE]`.
async fn rest(frames: &mut Frames) -> Vec<Value> {
    let mut rest = Vec::new();
    while let Some(frame) = frames.next().await {
        assert_eq!(
            frame.id, None,
            "openai-python fails on comments after a frame with an id"
        );
        if frame.data == "[DONE]" {
            assert_eq!(frames.next().await, None);
            return rest;
        }
        assert_eq!(frame.event.as_deref(), frame.data["type"].as_str());
        rest.push(frame.data);
    }
    panic!("the stream ended early: {rest:?}");
}

/// What the task was sent.
async fn messages_sent_to(gateway: &TestGateway, task_id: &str) -> Vec<String> {
    let history = gateway.temporal.history(task_id, "").await.unwrap();
    let signals = history.into_iter().filter_map(|event| match event.attributes? {
        Attributes::WorkflowExecutionSignaledEventAttributes(signaled) => signaled.input,
        _ => None,
    });
    let messages = signals.map(|input| unpack::<ReceiveEvent>(&input.payloads[0]).unwrap());
    let texts = messages.map(|message| match message.content {
        Content::Text { text, .. } => text,
        other => panic!("{other:?}"),
    });
    texts.collect()
}

async fn post_in(gateway: &TestGateway, conversation: &str, path: &str, body: &Value) -> Answer {
    let request = Request::post(path).header("X-Conversation-Id", conversation);
    gateway.send(request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test]
async fn a_response_streams_its_turn_and_is_the_same_later() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let body = json!({"model": "haiku", "input": "Write one.", "stream": true, "metadata": {"k": "v"}});
    let mut frames = gateway.post_stream("/v1/responses", &body).await;
    let created = frames.next().await.unwrap().data;
    assert_eq!(
        (&created["type"], &created["response"]["status"]),
        (&json!("response.created"), &json!("queued"))
    );
    let (task_id, message_id) = ids(&created["response"]);
    assert_eq!(messages_sent_to(&gateway, &task_id).await, ["Write one."]);
    gateway.append(&task_id, 1, answer_of(&message_id)).await;
    let mut events = vec![created];
    events.extend(rest(&mut frames).await);
    let numbers: Vec<u64> = events
        .iter()
        .map(|event| event["sequence_number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
    let last = &events.last().unwrap()["response"];
    assert_eq!(
        (&last["status"], &last["metadata"]),
        (&json!("completed"), &json!({"k": "v"}))
    );
    assert_eq!(last["output"][0]["content"][0]["text"], "Autumn moon");

    let path = format!("/v1/responses/{}", last["id"].as_str().unwrap());
    let retrieved = gateway.get(&path).await.body;
    for field in ["id", "status", "output", "usage", "metadata", "model", "created_at"] {
        assert_eq!(retrieved[field], last[field], "{field}");
    }
    let all = rest(&mut gateway.stream(&format!("{path}?stream=true"), None).await).await;
    assert_eq!(all.len(), events.len());
    let after = rest(
        &mut gateway
            .stream(&format!("{path}?stream=true&starting_after=3"), None)
            .await,
    )
    .await;
    assert_eq!(after[..after.len() - 1], all[4..all.len() - 1]);
    let items = gateway.get(&format!("{path}/input_items")).await.body;
    assert_eq!(items["object"], "list");
}

#[tokio::test]
async fn a_response_that_no_worker_has_taken_is_queued_and_one_that_never_was_is_unknown() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let body = json!({"model": "haiku", "input": "Write one.", "background": true});
    let created = gateway.post("/v1/responses", body.to_string()).await.body;
    assert_eq!(created["status"], "queued");
    let id = created["id"].as_str().unwrap();
    let retrieved = gateway.get(&format!("/v1/responses/{id}")).await.body;
    assert_eq!(
        (&retrieved["id"], &retrieved["status"]),
        (&created["id"], &json!("queued"))
    );
    let canceled = gateway.post(&format!("/v1/responses/{id}/cancel"), "").await;
    assert_eq!(canceled.status, 409);
    assert_eq!(canceled.headers["x-should-retry"], "false");
    let (task, _) = id.split_at(id.len() - 32);
    for unknown in [format!("{task}{}", "0".repeat(32)), "resp_1".to_owned()] {
        let answer = gateway.get(&format!("/v1/responses/{unknown}")).await;
        assert_eq!(answer.status, 404, "{unknown}");
        assert_eq!(answer.body["error"]["code"], "not_found_error");
    }
}

#[tokio::test]
async fn a_conversation_that_is_sent_again_each_time_is_one_task_and_starts_nothing_twice() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let first = json!({"model": "haiku", "input": "One?", "background": true});
    let answer = post_in(&gateway, "chat-1", "/v1/responses", &first).await.body;
    let (task_id, message_id) = ids(&answer);
    gateway.append(&task_id, 1, answer_of(&message_id)).await;
    let again = post_in(&gateway, "chat-1", "/v1/responses", &first).await.body;
    assert_eq!(again["id"], answer["id"]);
    let second = json!({"model": "haiku", "background": true, "input": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Autumn moon"},
        {"role": "user", "content": "Two?"},
    ]});
    let next = post_in(&gateway, "chat-1", "/v1/responses", &second).await.body;
    assert_eq!(ids(&next).0, task_id);
    assert_eq!(messages_sent_to(&gateway, &task_id).await, ["One?", "One?", "Two?"]);
    let elsewhere = post_in(&gateway, "chat-2", "/v1/responses", &second).await.body;
    let (other, _) = ids(&elsewhere);
    assert_ne!(other, task_id);
    let sent = messages_sent_to(&gateway, &other).await;
    assert!(sent[0].contains("Be brief.") && sent[0].ends_with("Two?"), "{sent:?}");
}

#[tokio::test]
async fn a_response_follows_the_last_one_of_its_conversation() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let first = json!({"model": "haiku", "input": "One?", "background": true});
    let first = gateway.post("/v1/responses", first.to_string()).await.body;
    let (task_id, message_id) = ids(&first);
    gateway.append(&task_id, 1, answer_of(&message_id)).await;
    let follow = json!({"previous_response_id": first["id"], "input": "Two?", "background": true});
    let second = gateway.post("/v1/responses", follow.to_string()).await.body;
    let (same, next_message) = ids(&second);
    assert_eq!(
        (same.as_str(), &second["previous_response_id"]),
        (task_id.as_str(), &first["id"])
    );
    gateway.append(&task_id, 7, [message_accepted(&next_message)]).await;
    let late = gateway.post("/v1/responses", follow.to_string()).await;
    assert_eq!(
        (late.status.as_u16(), &late.body["error"]["param"]),
        (400, &json!("previous_response_id"))
    );
    let other = json!({"model": "poets.haiku", "previous_response_id": second["id"], "input": "Three?"});
    let other = gateway.post("/v1/responses", other.to_string()).await;
    assert_eq!(
        (other.status.as_u16(), &other.body["error"]["param"]),
        (400, &json!("model"))
    );
}

#[tokio::test]
async fn a_conversation_begins_with_an_id_that_the_gateway_made_and_with_no_other() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let made = gateway.post("/v1/conversations", "").await.body;
    let body = |id: &Value| json!({"model": "haiku", "input": "One?", "conversation": id, "background": true});
    let answer = gateway.post("/v1/responses", body(&made["id"]).to_string()).await;
    assert_eq!(answer.body["conversation"]["id"], made["id"], "{answer:?}");
    // The id of a task is derived from its name: nobody takes the name of another user.
    let derived = json!("conv_886313e13b8a53729b900c9aee199e5d");
    let refused = gateway.post("/v1/responses", body(&derived).to_string()).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.body["error"]["param"]),
        (404, &json!("conversation"))
    );
}

#[tokio::test]
async fn a_chat_completion_streams_its_turn() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let body = json!({
        "model": "haiku", "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "Write one."}],
    });
    let mut frames = gateway.post_stream("/v1/chat/completions", &body).await;
    let first = frames.next().await.unwrap().data;
    let id = first["id"].as_str().unwrap().replacen("chatcmpl-", "resp_", 1);
    let (task_id, message_id) = ids(&json!({ "id": id }));
    gateway.append(&task_id, 1, answer_of(&message_id)).await;
    let mut chunks = vec![first];
    while let Some(frame) = frames.next().await {
        chunks.push(frame.data);
    }
    let texts: Vec<&str> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(texts, ["", "Autumn ", "moon"]);
    assert_eq!(chunks[chunks.len() - 2]["usage"]["total_tokens"], 5);
    assert_eq!(chunks[chunks.len() - 1], "[DONE]");
}

#[tokio::test]
async fn a_session_is_told_from_now_on_or_after_an_event() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let body = json!({"agent_id": "haiku", "environment": {"type": "none"}, "metadata": {"k": "v"}});
    let session = gateway.post("/v1/agents/sessions", body.to_string()).await.body;
    let id = session["id"].as_str().unwrap().to_owned();
    assert_eq!(
        (&session["status"], &session["metadata"]),
        (&json!("idle"), &json!({"k": "v"}))
    );
    let task_id = uuid(id.strip_prefix("sess_").unwrap());
    let mut live = gateway.stream(&format!("/v1/agents/sessions/{id}/events"), None).await;
    let message = json!({"type": "agent.session.input.message", "input": [{"role": "user", "content": "One?"}]});
    let events = json!({ "events": [message] });
    let keyed = Request::post(format!("/v1/agents/sessions/{id}/events")).header("Idempotency-Key", "k");
    let sent = gateway.send(keyed.body(Body::from(events.to_string())).unwrap()).await;
    assert_eq!(sent.status, 202, "{sent:?}");
    assert_eq!(messages_sent_to(&gateway, &task_id).await, ["One?"]);
    // Whatever is no message of the user would be lost.
    let answer = json!({"type": "mcp_approval_response", "approval_request_id": "a", "approve": true});
    for input in [
        json!([answer]),
        json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Two?"}]),
    ] {
        let event = json!({"type": "agent.session.input.message", "input": input});
        let path = format!("/v1/agents/sessions/{id}/events");
        let refused = gateway.post(&path, json!({"events": [event]}).to_string()).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.body["error"]["param"]),
            (400, &json!("events"))
        );
    }
    assert_eq!(messages_sent_to(&gateway, &task_id).await, ["One?"]);
    gateway.append(&task_id, 1, answer_of("u")).await;
    let mut told = Vec::new();
    while told
        .last()
        .is_none_or(|event: &Value| event["type"] != "agent.session.idle")
    {
        let frame = live.next().await.unwrap();
        assert_eq!(
            frame.id, None,
            "openai-python fails on comments after a frame with an id"
        );
        told.push(frame.data);
    }
    let now = gateway.get(&format!("/v1/agents/sessions/{id}")).await.body;
    assert_eq!(
        (&now["status"], &now["usage"]["total_tokens"]),
        (&json!("idle"), &json!(5))
    );
    let items = gateway
        .get(&format!("/v1/agents/sessions/{id}/items?order=asc"))
        .await
        .body;
    assert_eq!(items["data"][0]["content"][0]["text"], "Autumn moon");

    // The event ids resume, within an entry too.
    for seen in [0, 3, told.len() - 2] {
        let after = told[seen]["event_id"].as_str().unwrap();
        let path = format!("/v1/agents/sessions/{id}/events?after={after}");
        let mut resumed = gateway.stream(&path, None).await;
        for event in &told[seen + 1..] {
            let frame = resumed.next().await.unwrap();
            assert_eq!(frame.id.as_deref(), event["event_id"].as_str());
            assert_eq!(frame.data["type"], event["type"], "after {seen}");
        }
    }
    let listed = gateway.get("/v1/agents/sessions/sess_0/turns").await;
    assert_eq!(
        (listed.status.as_u16(), &listed.body["error"]["code"]),
        (404, &json!("not_found_error"))
    );
}

#[tokio::test]
async fn what_a_chat_ui_asks_for_itself_starts_nothing() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let prompt =
        "### Task:\nA title, as JSON: { \"title\": \"…\" }\n<chat_history>\nUSER: Autumn in Kyoto\n</chat_history>";
    let body = json!({"model": "haiku", "messages": [{"role": "user", "content": prompt}]});
    let answer = post_in(&gateway, "chat-of-a-title", "/v1/chat/completions", &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.body["choices"][0]["message"]["content"],
        r#"{"title":"Autumn in Kyoto"}"#
    );
    let tasks = gateway.get("/tasks/name/chat-of-a-title").await;
    assert_eq!(tasks.status, 404);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_in_openais_words() {
    let gateway = without_services();
    let refused = async |path: &str, body: Value| {
        let answer = pin!(gateway.post(path, body.to_string())).await;
        let error = &answer.body["error"];
        assert!(error["message"].is_string(), "{answer:?}");
        assert!(answer.headers.contains_key("x-request-id"), "{answer:?}");
        let param = error["param"].as_str().map(str::to_owned);
        (answer.status.as_u16(), param.unwrap_or_default())
    };
    let image = json!([{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]);
    let tool = json!([{"type": "function", "name": "f"}]);
    let response = format!("resp_{}", "1".repeat(64));
    let answer = json!({"type": "mcp_approval_response", "approval_request_id": "a", "approve": true});
    for (body, status, param) in [
        (json!({"input": "Hi"}), 400, "model"),
        (json!({"model": "nobody", "input": "Hi"}), 404, "model"),
        (json!({"model": "haiku"}), 400, "input"),
        (json!({"model": "haiku", "input": image}), 400, "input"),
        (json!({"model": "haiku", "input": "Hi", "tools": tool}), 400, "tools"),
        (
            json!({"model": "haiku", "input": "Hi", "conversation": "conv_x"}),
            404,
            "conversation",
        ),
        (
            json!({"model": "haiku", "input": "Hi", "previous_response_id": "x"}),
            404,
            "",
        ),
        (
            json!({"input": "Hi", "conversation": "conv_x", "previous_response_id": response}),
            400,
            "conversation",
        ),
        // A message beside an answer would be lost.
        (
            json!({"input": [answer, {"role": "user", "content": "Hi"}], "previous_response_id": response}),
            400,
            "input",
        ),
        (json!([]), 400, ""),
    ] {
        assert_eq!(
            refused("/v1/responses", body.clone()).await,
            (status, param.to_owned()),
            "{body}"
        );
    }
    for (body, param) in [
        (json!({"model": "haiku"}), "messages"),
        (json!({"model": "haiku", "messages": []}), "messages"),
        (
            json!({"model": "haiku", "messages": [{"role": "user", "content": "Hi"}], "n": 2}),
            "n",
        ),
    ] {
        assert_eq!(
            refused("/v1/chat/completions", body.clone()).await,
            (400, param.to_owned()),
            "{body}"
        );
    }
    assert_eq!(refused("/v1/nothing", json!({})).await.0, 404);
    let answer = gateway.get("/v1/models").await.body;
    let names: Vec<&Value> = answer["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| &model["id"])
        .collect();
    assert_eq!(names, [&json!("haiku"), &json!("poets.haiku")]);
    assert_eq!(gateway.get("/v1/models/haiku").await.body["object"], "model");
    let unavailable = refused("/v1/responses", json!({"model": "haiku", "input": "Hi"})).await;
    assert_eq!(unavailable.0, 503);
}

#[tokio::test]
async fn what_the_clients_have_and_an_agent_has_not_says_what_to_use_instead() {
    let gateway = without_services();
    for (method, path) in [
        ("POST", "/v1/responses/compact"),
        ("POST", "/v1/responses/input_tokens"),
        ("POST", "/v1/conversations/c/items"),
        ("DELETE", "/v1/conversations/c/items/i"),
        ("GET", "/v1/chat/completions"),
        // A WebSocket.
        ("GET", "/v1/responses"),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let answer = gateway.send(request).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["error"]["code"]),
            (405, &json!("not_supported")),
            "{method} {path}"
        );
    }
    // No text, in the path.
    let answer = gateway.get("/v1/responses/%ff").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["error"]["code"]),
        (400, &json!("invalid_request_error"))
    );
}

#[tokio::test]
async fn a_wrong_member_of_a_body_is_named() {
    let gateway = without_services();
    for (body, named) in [
        (json!({"model": 5, "input": "Hi"}), "model is not what it should be"),
        (
            json!({"model": "haiku", "input": "Hi", "metadata": []}),
            "metadata is not",
        ),
        (json!({"model": 5, "stream": "yes"}), "the body is not"),
    ] {
        let answer = gateway.post("/v1/responses", body.to_string()).await;
        let message = answer.body["error"]["message"].as_str().unwrap();
        assert!(answer.status == 400 && message.starts_with(named), "{message}");
    }
}
