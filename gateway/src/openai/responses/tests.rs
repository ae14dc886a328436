use jiff::Timestamp;
use serde_json::json;
use steadfast_events::{
    ApprovalKind, Content, EventKind,
    testing::{event, message, message_accepted, text_delta, text_done, text_started},
};
use uuid::Uuid;

use super::*;

const MESSAGE: Uuid = Uuid::from_u128(2);

fn writer(part: u32) -> ResponseWriter {
    ResponseWriter::new(ResponseHead {
        id: ResponseId {
            task: Uuid::from_u128(1),
            message: MESSAGE,
            part,
        },
        created_at: 7,
        model: "haiku".to_owned(),
        background: false,
        previous: None,
        metadata: json!({}),
    })
}

fn accepted() -> EventKind {
    message_accepted(&MESSAGE.to_string())
}

fn ended(status: TurnStatus, category: Option<&str>) -> EventKind {
    EventKind::TurnEnded {
        status,
        usage: Usage {
            input_tokens: 3,
            output_tokens: 2,
            ..Usage::default()
        },
        error: category.map(|category| TurnError {
            category: category.to_owned(),
            message: "no".to_owned(),
        }),
    }
}

fn request(call: &str) -> EventKind {
    EventKind::MessageDone {
        message: message(
            call,
            Content::ToolRequest {
                tool_call_id: call.to_owned(),
                name: "pay".to_owned(),
                arguments: json!({"amount": 1}),
            },
        ),
    }
}

fn response(call: &str) -> EventKind {
    EventKind::MessageDone {
        message: message(
            &format!("{call}-result"),
            Content::ToolResponse {
                tool_call_id: call.to_owned(),
                name: "pay".to_owned(),
                content: json!("paid"),
                is_error: false,
                whole_bytes: None,
            },
        ),
    }
}

fn asked(id: &str) -> EventKind {
    EventKind::ApprovalRequested {
        approval: Approval {
            id: id.to_owned(),
            kind: ApprovalKind::ToolCall,
            agent: "haiku".to_owned(),
            turn: 1,
            tool: "pay".to_owned(),
            tool_call_id: "c1".to_owned(),
            arguments: json!({"amount": 1}),
            arguments_truncated: false,
            requester: String::new(),
            prompt: String::new(),
            form: Value::Null,
            requested_at: Timestamp::UNIX_EPOCH,
            expires_at: None,
        },
    }
}

fn events(writer: &mut ResponseWriter, kinds: impl IntoIterator<Item = EventKind>) -> Vec<StreamEvent> {
    let mut events = writer.begin();
    for kind in kinds {
        events.extend(writer.apply(&event(kind)));
    }
    events
}

fn outline(events: &[StreamEvent]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event.kind.strip_prefix("response.").unwrap_or(event.kind))
        .collect()
}

/// What the helpers of OpenAI's SDKs raise on.
fn assert_well_formed(events: &[StreamEvent]) {
    let mut added: BTreeMap<u64, String> = BTreeMap::new();
    let mut done: Vec<u64> = Vec::new();
    let mut parts: Vec<(u64, u64)> = Vec::new();
    assert_eq!(events[0].kind, "response.created");
    for (number, event) in events.iter().enumerate() {
        let data = &event.data;
        assert_eq!(data["sequence_number"], json!(number), "{data}");
        assert_eq!(data["type"], event.kind);
        if let Some(response) = data.get("response") {
            assert_eq!(response["id"], events[0].data["response"]["id"]);
            continue;
        }
        let place = data["output_index"].as_u64().unwrap();
        match event.kind {
            "response.output_item.added" => {
                assert_eq!(place, added.len() as u64, "indexes have no gaps");
                let id = data["item"]["id"].as_str().unwrap().to_owned();
                assert!(!id.is_empty() && added.insert(place, id).is_none(), "{data}");
            }
            "response.output_item.done" => {
                assert_eq!(data["item"]["id"], json!(added[&place]));
                done.push(place);
            }
            _ => assert_eq!(data["item_id"], json!(added[&place]), "{data}"),
        }
        match event.kind {
            "response.content_part.added" => parts.push((place, data["content_index"].as_u64().unwrap())),
            "response.output_text.delta" => assert!(parts.contains(&(place, 0)), "{data}"),
            _ => {}
        }
    }
    let last = events.last().unwrap();
    assert!(last.data["response"].is_object(), "{}", last.data);
    let places: Vec<u64> = added.keys().copied().collect();
    done.sort_unstable();
    assert_eq!(done, places, "each item is done once");
}

#[test]
fn a_turn_with_a_tool_is_a_call_and_a_message() {
    let mut writer = writer(0);
    let events = events(
        &mut writer,
        [
            accepted(),
            EventKind::TurnStarted {},
            request("c1"),
            response("c1"),
            text_started("a"),
            text_delta("a", "Autumn "),
            text_done("a", "Autumn moon"),
            ended(TurnStatus::Completed, None),
        ],
    );
    assert_eq!(
        outline(&events),
        [
            "created",
            "in_progress",
            "output_item.added",
            "mcp_call.in_progress",
            "mcp_call_arguments.delta",
            "mcp_call_arguments.done",
            "mcp_call.completed",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ]
    );
    assert_well_formed(&events);
    let response = writer.response();
    assert_eq!(response, events.last().unwrap().data["response"]);
    assert_eq!(
        (&response["status"], &response["usage"]["total_tokens"]),
        (&json!("completed"), &json!(5))
    );
    let output = &response["output"];
    assert_eq!(
        (&output[0]["type"], &output[0]["arguments"], &output[0]["output"]),
        (&json!("mcp_call"), &json!(r#"{"amount":1}"#), &json!("paid"))
    );
    assert_eq!(
        (&output[1]["phase"], &output[1]["content"][0]["text"]),
        (&json!("final_answer"), &json!("Autumn moon"))
    );
}

#[test]
fn a_question_ends_the_response_and_the_next_one_goes_on() {
    let kinds = [
        accepted(),
        EventKind::TurnStarted {},
        request("c1"),
        asked("t.1.0.0"),
        EventKind::ApprovalDecided {
            approval_id: "t.1.0.0".to_owned(),
            decision: steadfast_events::Decision::new(steadfast_events::Verdict::Approved),
        },
        response("c1"),
        text_done("a", "Paid."),
        ended(TurnStatus::Completed, None),
    ];
    let mut first = writer(0);
    let events_of_first = events(&mut first, kinds.clone());
    assert_well_formed(&events_of_first);
    let output = &first.response()["output"];
    assert_eq!(first.response()["status"], "completed");
    assert_eq!(
        (
            &output[0]["status"],
            &output[1]["type"],
            &output[1]["id"],
            &output[1]["arguments"]
        ),
        (
            &json!("incomplete"),
            &json!("mcp_approval_request"),
            &json!("t.1.0.0"),
            &json!(r#"{"amount":1}"#)
        )
    );
    let mut second = writer(1);
    let events_of_second = events(&mut second, kinds);
    assert_well_formed(&events_of_second);
    let output = &second.response()["output"];
    assert_eq!(
        (
            &output[0]["type"],
            &output[0]["output"],
            &output[1]["content"][0]["text"]
        ),
        (&json!("mcp_call"), &json!("paid"), &json!("Paid."))
    );
}

#[test]
fn a_retracted_text_is_done_and_not_in_the_output() {
    let mut writer = writer(0);
    let reset = EventKind::MessageReset {
        message_id: "a".to_owned(),
    };
    let events = events(
        &mut writer,
        [
            accepted(),
            EventKind::TurnStarted {},
            text_started("a"),
            text_delta("a", "Aut"),
            reset,
            text_started("a"),
            text_done("a", "Winter"),
            ended(TurnStatus::Completed, None),
        ],
    );
    assert_well_formed(&events);
    let output = writer.response()["output"].as_array().unwrap().clone();
    assert_eq!(output.len(), 1, "{output:?}");
    assert_eq!(output[0]["content"][0]["text"], "Winter");
}

#[test]
fn the_status_says_how_the_turn_ended() {
    for (status, category, wanted, last) in [
        (TurnStatus::Completed, None, "completed", "completed"),
        (TurnStatus::Failed, Some("model_unavailable"), "failed", "failed"),
        (
            TurnStatus::Failed,
            Some("model_output_truncated"),
            "incomplete",
            "incomplete",
        ),
        (TurnStatus::Interrupted, None, "cancelled", "incomplete"),
        (TurnStatus::Canceled, None, "cancelled", "incomplete"),
    ] {
        let mut writer = writer(0);
        assert_eq!(writer.response()["status"], "queued");
        let events = events(
            &mut writer,
            [
                accepted(),
                EventKind::TurnStarted {},
                text_started("a"),
                text_delta("a", "Aut"),
                ended(status, category),
            ],
        );
        assert_well_formed(&events);
        assert_eq!(outline(&events).last(), Some(&last));
        let response = writer.response();
        assert_eq!(response["status"], wanted);
        let (error, details) = (&response["error"], &response["incomplete_details"]);
        match wanted {
            "failed" => assert_eq!(error["message"], "model_unavailable: no"),
            "incomplete" => assert_eq!(details["reason"], "max_output_tokens"),
            _ => assert_eq!((error, details), (&Value::Null, &Value::Null)),
        }
    }
}

#[test]
fn a_summary_has_parts() {
    let mut writer = writer(0);
    let reasoning = |summary: &[&str]| Content::Reasoning {
        summary: summary.iter().map(|&text| text.to_owned()).collect(),
        content: Vec::new(),
    };
    let delta = |index, delta: &str| EventKind::ReasoningSummaryDelta {
        message_id: "r".to_owned(),
        index,
        delta: delta.to_owned(),
    };
    let events = events(
        &mut writer,
        [
            accepted(),
            EventKind::MessageStarted {
                message_id: "r".to_owned(),
                content: reasoning(&[]),
            },
            delta(0, "First"),
            delta(1, "Sec"),
            EventKind::MessageDone {
                message: message("r", reasoning(&["First", "Second"])),
            },
            ended(TurnStatus::Completed, None),
        ],
    );
    assert_well_formed(&events);
    assert_eq!(
        outline(&events)[1..12],
        [
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
        ]
    );
}
