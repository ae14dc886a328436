use serde_json::{Value, json};
use steadfast_events::{TaskStatus, testing};

use super::*;

fn task() -> Task {
    Task {
        id: "t".to_owned(),
        name: None,
        status: wire::TaskStatus::Running,
        status_reason: None,
        created_at: jiff::Timestamp::UNIX_EPOCH,
        updated_at: jiff::Timestamp::UNIX_EPOCH,
        cleaned_at: None,
        params: None,
        task_metadata: None,
    }
}

use testing::event_of_attempt as event;

/// The frames of an event as JSON.
fn frames(viewer: &mut AgentexFrames, event: &Event) -> Vec<Value> {
    let frames = viewer.frames(event).into_iter().flatten();
    frames.map(|frame| serde_json::to_value(frame).unwrap()).collect()
}

#[test]
fn an_agent_that_works_as_a_tool_has_no_frames() {
    let mut viewer = AgentexFrames::new(task());
    for event in [started_text(1), text_delta(1, "secret"), done(1, "secret")] {
        let nested = Event {
            path: "1.0.0".to_owned(),
            ..event
        };
        assert_eq!(viewer.missing_start(&nested), None);
        assert_eq!(frames(&mut viewer, &nested), [Value::Null; 0]);
    }
}

#[test]
fn an_interrupted_message_is_done_for_a_client() {
    let content = Content::text("It is", TextFormat::Markdown);
    let interrupted = message(content, MessageStatus::Interrupted);
    let shown = event(1, EventKind::MessageDone { message: interrupted });
    let last = frames(&mut AgentexFrames::new(task()), &shown).pop().unwrap();
    assert_eq!(
        (&last["type"], &last["parent_task_message"]["streaming_status"]),
        (&json!("done"), &json!("DONE"))
    );
}

fn started_text(attempt: u32) -> Event {
    event(attempt, testing::text_started("m"))
}

fn text_delta(attempt: u32, delta: &str) -> Event {
    event(attempt, testing::text_delta("m", delta))
}

fn message(content: Content, status: MessageStatus) -> Message {
    Message {
        status,
        ..testing::message("m", content)
    }
}

fn done(attempt: u32, text: &str) -> Event {
    event(attempt, testing::text_done("m", text))
}

fn reset(attempt: u32) -> Event {
    event(
        attempt,
        EventKind::MessageReset {
            message_id: "m".to_owned(),
        },
    )
}

/// The frames of events as type and text.
fn outline(events: &[Event]) -> Vec<(String, String)> {
    let mut viewer = AgentexFrames::new(task());
    let text = |frame: &Value, at: &str| frame.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
    let frames = events.iter().flat_map(|event| {
        if viewer.missing_start(event).is_some() {
            viewer.remember_start(event, None);
        }
        frames(&mut viewer, event)
    });
    frames
        .map(|frame| {
            (
                text(&frame, "/type"),
                text(&frame, "/content/content") + &text(&frame, "/delta/text_delta"),
            )
        })
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(kind, text)| ((*kind).to_owned(), (*text).to_owned()))
        .collect()
}

#[test]
fn a_retracted_message_is_empty_and_starts_again() {
    let entries = [
        started_text(1),
        text_delta(1, "old"),
        reset(2),
        started_text(2),
        text_delta(2, "new"),
        done(2, "new"),
    ];
    assert_eq!(
        outline(&entries),
        pairs(&[
            ("start", ""),
            ("delta", "old"),
            ("full", ""),
            ("start", ""),
            ("delta", "new"),
            ("full", "new"),
            ("done", "")
        ])
    );
}

#[test]
fn events_that_the_fold_ignores_have_no_frames() {
    let entries = [
        started_text(2),
        text_delta(1, "of an outdated attempt"),
        started_text(1),
        reset(2),
        text_delta(2, "of a retracted message"),
        started_text(2),
        done(1, "whole"),
        text_delta(2, "after the end"),
        started_text(2),
    ];
    assert_eq!(
        outline(&entries),
        pairs(&[
            ("start", ""),
            ("full", ""),
            ("start", ""),
            ("full", "whole"),
            ("done", "")
        ])
    );
}

#[test]
fn a_viewer_who_joins_in_the_middle_gets_the_start_of_the_message() {
    let mut viewer = AgentexFrames::new(task());
    let next = text_delta(1, "on");
    assert_eq!(viewer.missing_start(&next), Some("m"));
    let content = Content::text("", TextFormat::Code);
    let earlier = event(
        1,
        EventKind::MessageStarted {
            message_id: "m".to_owned(),
            content,
        },
    );
    viewer.remember_start(&next, Some(&earlier));
    assert_eq!(viewer.missing_start(&next), None);
    let frame = frames(&mut viewer, &next).remove(0);
    assert_eq!(frame["parent_task_message"]["content"]["format"], "code");

    // After its end nothing is added to a message.
    let mut viewer = AgentexFrames::new(task());
    viewer.remember_start(&next, Some(&done(1, "whole")));
    assert_eq!(frames(&mut viewer, &next), [Value::Null; 0]);
}

#[test]
fn a_reset_has_all_messages_and_open_ones_go_on() {
    let mut viewer = AgentexFrames::new(task());
    let content = Content::text("so far", TextFormat::Plain);
    let frame = serde_json::to_value(viewer.reset(&[message(content, MessageStatus::InProgress)])).unwrap();
    assert_eq!(
        (&frame["type"], &frame["messages"][0]["content"]["content"]),
        (&json!("log_reset"), &json!("so far"))
    );
    let next = text_delta(1, ", so good");
    assert_eq!(viewer.missing_start(&next), None);
    let frame = frames(&mut viewer, &next).remove(0);
    assert_eq!(frame["parent_task_message"]["content"]["content"], "");
}

#[test]
fn tool_calls_and_reasoning_have_deltas_of_their_own() {
    let mut viewer = AgentexFrames::new(task());
    let content = Content::ToolRequest {
        tool_call_id: "c".to_owned(),
        name: "get".to_owned(),
        arguments: json!({}),
    };
    let id = || "m".to_owned();
    viewer.frames(&event(
        1,
        EventKind::MessageStarted {
            message_id: id(),
            content,
        },
    ));
    let mut delta_of = |kind| {
        let shown = event(1, kind);
        if viewer.missing_start(&shown).is_some() {
            viewer.remember_start(&shown, None);
        }
        frames(&mut viewer, &shown).remove(0)["delta"].clone()
    };
    assert_eq!(
        delta_of(EventKind::ToolArgumentsDelta {
            message_id: id(),
            delta: "{\"a\"".to_owned()
        }),
        json!({"type": "tool_request", "tool_call_id": "c", "name": "get", "arguments_delta": "{\"a\""})
    );
    assert_eq!(
        delta_of(EventKind::ReasoningSummaryDelta {
            message_id: "r".to_owned(),
            index: 1,
            delta: "Hm".to_owned()
        }),
        json!({"type": "reasoning_summary", "summary_index": 1, "summary_delta": "Hm"})
    );
    assert_eq!(
        delta_of(EventKind::ReasoningDelta {
            message_id: "r".to_owned(),
            index: 0,
            delta: "Hm".to_owned()
        }),
        json!({"type": "reasoning_content", "content_index": 0, "content_delta": "Hm"})
    );
}

#[test]
fn a_task_update_keeps_the_fields_that_did_not_change() {
    let mut viewer = AgentexFrames::new(Task {
        name: Some("monday".to_owned()),
        ..task()
    });
    let update = event(
        1,
        EventKind::TaskUpdated {
            status: TaskStatus::Failed,
            reason: Some("boom".to_owned()),
        },
    );
    let frame = frames(&mut viewer, &update).remove(0);
    assert_eq!(
        (
            &frame["task"]["status"],
            &frame["task"]["status_reason"],
            &frame["task"]["name"]
        ),
        (&json!("FAILED"), &json!("boom"), &json!("monday"))
    );
}

#[test]
fn arguments_that_are_no_object_become_an_empty_object() {
    for (arguments, shown) in [
        (json!({"a": 1}), json!({"a": 1})),
        (json!("{\"a\""), json!({})),
        (json!(null), json!({})),
    ] {
        let content = Content::ToolRequest {
            tool_call_id: "c".to_owned(),
            name: "get".to_owned(),
            arguments,
        };
        let message = message(content, MessageStatus::Done);
        assert_eq!(
            serde_json::to_value(TaskMessage::new("t", &message)).unwrap()["content"]["arguments"],
            shown
        );
    }
}
