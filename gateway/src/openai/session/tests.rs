use jiff::Timestamp;
use steadfast_events::testing::{
    event, message, message_accepted, text, text_delta, text_done, text_started, turn_ended,
};
use uuid::Uuid;

use super::*;

fn session() -> Session {
    Session::new(SessionHead {
        id: SessionId(Uuid::from_u128(1)),
        agent: json!({"id": "agt_1"}),
        agent_id: "agt_1".to_owned(),
        agent_name: "haiku".to_owned(),
        created_at: 1,
        metadata: json!({}),
    })
}

fn of_turn(turn: u32, kind: EventKind) -> Event {
    Event { turn, ..event(kind) }
}

fn said(turn: u32, id: &str) -> EventKind {
    EventKind::MessageDone {
        message: Message {
            author: Author::User,
            turn,
            ..message(id, text("Hi"))
        },
    }
}

fn asked(kind: ApprovalKind) -> EventKind {
    EventKind::ApprovalRequested {
        approval: Approval {
            id: "t.1.0.0".to_owned(),
            kind,
            agent: "haiku".to_owned(),
            turn: 1,
            tool: "pay".to_owned(),
            tool_call_id: "c".to_owned(),
            arguments: json!({"amount": 1}),
            arguments_truncated: false,
            requester: String::new(),
            prompt: "Is it so?".to_owned(),
            form: Value::Null,
            requested_at: Timestamp::UNIX_EPOCH,
            expires_at: None,
        },
    }
}

fn decided(verdict: Verdict) -> EventKind {
    EventKind::ApprovalDecided {
        approval_id: "t.1.0.0".to_owned(),
        decision: Decision {
            reason: "because".to_owned(),
            ..Decision::new(verdict)
        },
    }
}

fn apply(session: &mut Session, turn: u32, kinds: impl IntoIterator<Item = EventKind>) -> Vec<Value> {
    let events = kinds.into_iter().flat_map(|kind| session.apply(&of_turn(turn, kind)));
    events.collect()
}

fn outline(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| {
            let kind = event["type"].as_str().unwrap();
            kind.strip_prefix("agent.session.").unwrap_or(kind)
        })
        .collect()
}

#[test]
fn a_turn_is_created_runs_and_leaves_the_session_idle() {
    let mut session = session();
    assert_eq!(session.status(), "idle");
    let events = apply(
        &mut session,
        1,
        [
            message_accepted("u"),
            said(1, "u"),
            EventKind::TurnStarted {},
            text_started("a"),
            text_delta("a", "Hel"),
            text_done("a", "Hello"),
            turn_ended(TurnStatus::Completed),
        ],
    );
    assert_eq!(
        outline(&events),
        [
            "in_progress",
            "turn.created",
            "turn.item.added",
            "turn.in_progress",
            "turn.item.added",
            "turn.content_part.added",
            "turn.output_text.delta",
            "turn.output_text.delta",
            "turn.output_text.done",
            "turn.content_part.done",
            "turn.item.done",
            "turn.completed",
            "idle",
        ]
    );
    let turn_id = &events[1]["turn"]["id"];
    let in_turn = events
        .iter()
        .filter(|event| event["type"].as_str().unwrap().contains(".turn."));
    for event in in_turn {
        assert_eq!(&event["turn_id"], turn_id, "{event}");
        assert_eq!(event["session_id"], session.json()["id"]);
    }
    // A client compares it with null.
    assert!(events[1]["turn"].as_object().unwrap().contains_key("subagent_id"));
    let done = &events[10]["item"];
    assert_eq!(
        (&done["status"], &done["phase"], &done["content"][0]["text"]),
        (&json!("completed"), &json!("final_answer"), &json!("Hello"))
    );
    let roles: Vec<Value> = session.items(1).iter().map(|item| item["role"].clone()).collect();
    assert_eq!(roles, [json!("user"), json!("assistant")]);
}

#[test]
fn a_message_that_waits_keeps_the_session_from_being_idle() {
    let mut session = session();
    apply(&mut session, 1, [message_accepted("u"), EventKind::TurnStarted {}]);
    let events = apply(&mut session, 2, [message_accepted("v")]);
    assert_eq!(outline(&events), ["turn.created"]);
    let events = apply(&mut session, 1, [turn_ended(TurnStatus::Interrupted)]);
    assert_eq!(outline(&events), ["turn.cancelled"]);
    assert_eq!(session.status(), "in_progress");
    let events = apply(
        &mut session,
        2,
        [EventKind::TurnStarted {}, turn_ended(TurnStatus::Completed)],
    );
    assert_eq!(outline(&events), ["turn.in_progress", "turn.completed", "idle"]);
}

#[test]
fn an_approval_is_a_required_action_until_it_is_decided() {
    let mut session = session();
    apply(&mut session, 1, [message_accepted("u"), EventKind::TurnStarted {}]);
    let events = apply(&mut session, 1, [asked(ApprovalKind::ToolCall)]);
    assert_eq!(outline(&events), ["requires_action"]);
    let action = &events[0]["session"]["required_actions"][0];
    assert_eq!(
        (&action["type"], &action["request_id"], &action["request"]["arguments"]),
        (&json!("mcp_approval_request"), &json!("t.1.0.0"), &json!({"amount": 1}))
    );
    assert_eq!(session.turn_json(1)["status"], "waiting");
    let events = apply(&mut session, 1, [decided(Verdict::Approved)]);
    assert_eq!(outline(&events), ["in_progress"]);
    assert_eq!(session.json()["required_actions"], json!([]));
}

#[test]
fn a_question_is_a_function_of_the_client() {
    let mut session = session();
    apply(&mut session, 1, [message_accepted("u"), EventKind::TurnStarted {}]);
    let events = apply(&mut session, 1, [asked(ApprovalKind::Question)]);
    assert_eq!(outline(&events), ["turn.item.added", "requires_action"]);
    let item = &events[0]["item"];
    assert_eq!(
        (&item["type"], &item["call_id"], &item["arguments"]["prompt"]),
        (&json!("function_call"), &json!("t.1.0.0"), &json!("Is it so?"))
    );
    assert_eq!(events[1]["session"]["required_actions"][0]["type"], "function_call");
    let events = apply(&mut session, 1, [decided(Verdict::Rejected)]);
    assert_eq!(outline(&events), ["turn.item.done", "turn.item.added", "in_progress"]);
    assert_eq!(
        (&events[1]["item"]["type"], &events[1]["item"]["error"]),
        (&json!("function_call_output"), &json!("because"))
    );
    let kinds: Vec<Value> = session.items(1).iter().map(|item| item["type"].clone()).collect();
    assert_eq!(kinds, [json!("function_call"), json!("function_call_output")]);
}

#[test]
fn what_a_nested_agent_asks_is_asked_in_the_turn_that_runs() {
    let mut session = session();
    apply(&mut session, 1, [message_accepted("u"), EventKind::TurnStarted {}]);
    let nested = Event {
        path: "1.0.0".to_owned(),
        ..of_turn(9, asked(ApprovalKind::ToolCall))
    };
    let events = session.apply(&nested);
    assert_eq!(outline(&events), ["requires_action"]);
    let action = &events[0]["session"]["required_actions"][0];
    assert_eq!(action["turn_id"], session.turn_json(1)["id"]);
}

#[test]
fn a_failed_task_is_a_failed_session() {
    let mut session = session();
    apply(&mut session, 1, [message_accepted("u"), EventKind::TurnStarted {}]);
    let events = session.end(TurnStatus::Failed, Some("the task failed".to_owned()));
    assert_eq!(outline(&events), ["turn.failed", "failed"]);
    assert_eq!(session.json()["error"], "the task failed");
}

#[test]
fn who_lost_entries_gets_what_is_missing_once() {
    let mut session = session();
    apply(&mut session, 1, [message_accepted("u"), EventKind::TurnStarted {}]);
    let user = Message {
        author: Author::User,
        ..message("u", text("Hi"))
    };
    let answer = message("a", text("Hello"));
    let later = Message {
        author: Author::User,
        turn: 2,
        ..message("v", text("And?"))
    };
    let messages = [user, answer, later];
    let events = session.catch_up(&messages, None);
    assert_eq!(
        outline(&events),
        [
            "turn.item.added",
            "turn.created",
            "turn.item.added",
            "turn.item.added",
            "turn.content_part.added",
            "turn.output_text.delta",
            "turn.output_text.done",
            "turn.content_part.done",
            "turn.item.done",
            "turn.completed",
        ]
    );
    assert_eq!(session.catch_up(&messages, None), Vec::<Value>::new());
}
