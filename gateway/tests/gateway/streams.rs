//! Streams against a real Redis: frames, ids, resuming, and what a viewer is told
//! when the log lost something.

use axum::http::StatusCode;
use serde_json::json;
use steadfast_events::{
    EventKind, TaskStatus, TurnError, TurnStatus, Usage,
    id::user_message_id,
    testing::{text, text_delta, text_done, text_started, turn_ended},
};
use steadfast_gateway::{Access, SelfApproval};
use steadfast_testkit::{Redis, RedisData, Temporal, TemporalOptions, wait};

use super::support::{Frames, TIMEOUT, beside, entry, with_redis};

fn completed() -> EventKind {
    EventKind::TaskUpdated {
        status: TaskStatus::Completed,
        reason: None,
    }
}

#[tokio::test]
async fn a_viewer_sees_a_turn_in_the_frames_of_agentex() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let id = gateway.create_task().await;
    let mut frames = gateway.stream(&format!("/tasks/{id}/stream"), None).await;
    let connected = frames.next().await.unwrap();
    assert_eq!(
        (connected.data, connected.id),
        (json!({"type": "connected", "taskId": id}), Some("0".to_owned()))
    );

    let last = gateway
        .append(
            &id,
            1,
            [
                EventKind::TurnStarted {},
                text_started("a"),
                text_delta("a", "Autumn "),
                text_delta("a", "moon"),
            ],
        )
        .await
        .last;
    let first = frames.next().await.unwrap();
    let content = json!({"author": "agent", "style": "static", "type": "text", "content": "", "format": "markdown", "attachments": null});
    let parent = json!({
        "id": format!("{id}.a"), "task_id": id, "content": content, "streaming_status": "IN_PROGRESS",
        "created_at": "1970-01-01T00:00:00Z", "updated_at": "1970-01-01T00:00:00Z",
    });
    assert_eq!(
        first.data,
        json!({"type": "start", "index": null, "parent_task_message": parent, "content": content})
    );
    assert_eq!(first.id, entry(last, 3));
    let second = frames.next().await.unwrap();
    let text_delta = json!({"type": "text", "text_delta": "Autumn "});
    assert_eq!(
        second.data,
        json!({"type": "delta", "index": null, "parent_task_message": parent, "delta": text_delta})
    );
    assert_eq!(frames.outline(1).await, [("delta".to_owned(), entry(last, 5))]);

    let error = Some(TurnError {
        category: "max_model_calls".to_owned(),
        message: "too many".to_owned(),
    });
    let failed = EventKind::TurnEnded {
        status: TurnStatus::Failed,
        usage: Usage::default(),
        error,
    };
    let reset = EventKind::MessageReset {
        message_id: "a".to_owned(),
    };
    gateway
        .append(&id, 5, [text_done("a", "Autumn moonlight"), failed, reset, completed()])
        .await;
    let full = frames.next().await.unwrap();
    assert_eq!((full.id, &full.data["type"]), (None, &json!("full")));
    assert_eq!(full.data["content"]["content"], "Autumn moonlight");
    assert_eq!(full.data["parent_task_message"]["streaming_status"], "DONE");
    assert_eq!(frames.outline(1).await, [("done".to_owned(), entry(last, 6))]);
    assert_eq!(
        frames.next().await.unwrap().data,
        json!({"type": "error", "message": "too many"})
    );
    let reset = frames.next().await.unwrap();
    assert_eq!(
        (&reset.data["type"], &reset.data["content"]["content"]),
        (&json!("full"), &json!(""))
    );
    assert_eq!(reset.data["parent_task_message"]["streaming_status"], "IN_PROGRESS");
    let updated = frames.next().await.unwrap();
    assert_eq!(
        (&updated.data["type"], &updated.data["task"]["status"]),
        (&json!("task_updated"), &json!("COMPLETED"))
    );
    assert_eq!(frames.next().await, None);
}

#[tokio::test]
async fn a_viewer_goes_on_where_it_stopped_at_any_gateway() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let id = gateway.create_task().await;
    let last = gateway
        .append(
            &id,
            1,
            [text_started("a"), text_delta("a", "one "), text_delta("a", "two ")],
        )
        .await
        .last;
    let resume = entry(last, 3);
    let other = with_redis(&redis).await;
    for mut frames in [
        other.stream(&format!("/tasks/{id}/stream"), resume.as_deref()).await,
        gateway
            .stream(
                &format!("/tasks/{id}/stream?after={}", resume.as_deref().unwrap()),
                None,
            )
            .await,
    ] {
        assert_eq!(
            frames.outline(2).await,
            [("connected".to_owned(), None), ("delta".to_owned(), entry(last, 4))]
        );
    }
    // From the middle of a message the frames still tell how it began.
    let mut frames = other.stream(&format!("/tasks/{id}/stream"), None).await;
    assert_eq!(frames.outline(1).await, [("connected".to_owned(), entry(last, 4))]);
    gateway.append(&id, 4, [text_delta("a", "three")]).await;
    let frame = frames.next().await.unwrap();
    assert_eq!(frame.data["parent_task_message"]["content"]["format"], "markdown");
    assert_eq!(
        (frame.id, &frame.data["delta"]["text_delta"]),
        (entry(last, 5), &json!("three"))
    );
}

#[tokio::test]
async fn events_can_be_had_as_they_are() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let id = gateway.create_task().await;
    let last = gateway
        .append(
            &id,
            1,
            [
                EventKind::TurnStarted {},
                text_done("a", "text"),
                turn_ended(TurnStatus::Completed),
                completed(),
            ],
        )
        .await
        .last;
    let mut frames = gateway
        .stream(&format!("/tasks/{id}/stream?format=events"), Some("0"))
        .await;
    let names = [
        "connected",
        "log_opened",
        "turn_started",
        "message_done",
        "turn_ended",
        "task_updated",
    ];
    for (number, name) in names.into_iter().enumerate() {
        let frame = frames.next().await.unwrap();
        assert_eq!(
            (frame.event.as_deref(), &frame.data["type"]),
            (Some(name), &json!(name))
        );
        let id = (number > 0).then(|| entry(last, number as u64).unwrap());
        assert_eq!(frame.id, id, "{name}");
    }
    assert_eq!(frames.next().await, None);
}

#[tokio::test]
async fn a_viewer_of_a_log_that_is_gone_gets_what_history_holds() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let id = gateway.create_task().await;
    let hello = json!({"type": "text", "author": "user", "content": "Hello"});
    gateway
        .keyed_rpc("m1", "event/send", json!({"task_id": id, "content": hello}))
        .await;
    let mut frames = gateway
        .stream(&format!("/tasks/{id}/stream"), Some("1700000000000-5"))
        .await;
    assert_eq!(frames.outline(1).await[0].0, "connected");
    let reset = frames.next().await.unwrap();
    assert_eq!(
        (&reset.data["type"], &reset.data["messages"][0]["id"]),
        (
            &json!("log_reset"),
            &json!(format!("{id}.{}", user_message_id(&id, "", "m1")))
        )
    );
    assert_eq!(reset.id, Some("0".to_owned()));

    // Live events follow.
    let last = gateway.append(&id, 2, [text_started("a")]).await.last;
    let reset = frames.next().await.unwrap();
    assert_eq!((&reset.data["type"], reset.id), (&json!("log_reset"), entry(last, 2)));
    let messages = reset.data["messages"].as_array().unwrap();
    assert_eq!(
        messages
            .iter()
            .map(|message| message["id"].as_str().unwrap())
            .collect::<Vec<_>>(),
        [format!("{id}.{}", user_message_id(&id, "", "m1")), format!("{id}.a")]
    );
    gateway.append(&id, 3, [text_delta("a", "Hi")]).await;
    assert_eq!(frames.outline(1).await, [("delta".to_owned(), entry(last, 3))]);
    // What was finished before the loss is in history once the turn has ended.
    gateway.append(&id, 4, [turn_ended(TurnStatus::Completed)]).await;
    let settled = frames.next().await.unwrap();
    assert_eq!((&settled.data["type"], settled.id), (&json!("log_reset"), None));
    assert_eq!(settled.data["messages"][1]["content"]["content"], "Hi");
}

#[tokio::test]
async fn a_stream_outlives_a_redis_that_restarts_empty() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let id = gateway.create_task().await;
    let first = gateway
        .append(&id, 1, [text_started("a"), text_delta("a", "lost")])
        .await
        .last;
    let mut frames = gateway
        .stream(&format!("/tasks/{id}/stream?format=events"), Some("0"))
        .await;
    assert_eq!(
        frames.outline(4).await.pop().unwrap(),
        ("text_delta".to_owned(), entry(first, 3))
    );

    redis.restart(RedisData::Empty).await.unwrap();
    let reset = frames.next().await.unwrap();
    assert_eq!(
        (reset.event.as_deref(), &reset.data),
        (Some("log_reset"), &json!({"type": "log_reset", "messages": []}))
    );
    let batch = [
        EventKind::MessageStarted {
            message_id: "a".to_owned(),
            content: text(""),
        },
        text_done("a", "found"),
    ];
    let second = gateway.append(&id, 10, batch).await.last;
    assert!(second.epoch > first.epoch);
    let reset = frames.next().await.unwrap();
    assert_eq!(
        (reset.event.as_deref(), reset.id),
        (Some("log_reset"), entry(second, 3))
    );
    assert_eq!(reset.data["messages"][0]["content"]["text"], "found");
}

#[tokio::test]
async fn a_task_stream_can_be_had_by_name() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let created = gateway.rpc("task/create", json!({"name": "streamed"})).await;
    let id = created.body["result"]["id"].as_str().unwrap();
    let mut frames = gateway.stream("/tasks/name/streamed/stream", None).await;
    assert_eq!(frames.next().await.unwrap().data["taskId"], id);
}

/// The types of the rest of a stream, and the last id that a client keeps of it.
async fn to_its_end(mut frames: Frames) -> (Vec<String>, Option<String>) {
    let (mut types, mut last_id) = (Vec::new(), None);
    while let Some(frame) = frames.next().await {
        types.push(frame.data["type"].as_str().unwrap().to_owned());
        last_id = frame.id.or(last_id);
    }
    (types, last_id)
}

#[tokio::test]
async fn a_client_that_has_all_of_an_ended_task_stops_asking() {
    let temporal = Temporal::start(TemporalOptions::default()).await.unwrap();
    let redis = Redis::start().await.unwrap();
    let gateway = beside(&temporal, &redis, Access::Anonymous, SelfApproval::Allowed);
    let id = gateway.create_task().await;
    let path = format!("/tasks/{id}/stream");
    let last = gateway.append(&id, 1, [text_done("a", "one"), completed()]).await.last;
    let running = gateway.open_stream(&path, entry(last, 3).as_deref()).await;
    assert_eq!(running.status(), StatusCode::OK);
    temporal
        .cli(&["workflow", "terminate", "--workflow-id", &id])
        .await
        .unwrap();

    let (types, last_id) = to_its_end(gateway.stream(&path, None).await).await;
    assert_eq!(types.last().map(String::as_str), Some("task_updated"));
    assert_eq!(last_id, entry(last, 3));
    let again = gateway.open_stream(&path, last_id.as_deref()).await;
    assert_eq!(again.status(), StatusCode::NO_CONTENT);
    let (types, _) = to_its_end(gateway.stream(&path, entry(last, 2).as_deref()).await).await;
    assert_eq!(types, ["connected", "task_updated"]);

    // Without a log too.
    redis.restart(RedisData::Empty).await.unwrap();
    wait::until("a connection to Redis", TIMEOUT, async || {
        Ok(gateway.log.ping().await?)
    })
    .await
    .unwrap();
    let (types, last_id) = to_its_end(gateway.stream(&path, last_id.as_deref()).await).await;
    assert_eq!(
        (types.last().map(String::as_str), last_id.as_deref()),
        (Some("task_updated"), Some("end"))
    );
    let again = gateway.open_stream(&path, last_id.as_deref()).await;
    assert_eq!(again.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_gateway_that_stops_ends_its_streams() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let id = gateway.create_task().await;
    let mut frames = gateway.stream(&format!("/tasks/{id}/stream"), None).await;
    assert_eq!(frames.outline(1).await[0].0, "connected");
    assert!(gateway.metrics().contains("steadfast_gateway_open_streams 1"));
    gateway.stopping.cancel();
    assert_eq!(frames.next().await, None);
    drop(frames);
    assert!(gateway.metrics().contains("steadfast_gateway_open_streams 0"));
}
