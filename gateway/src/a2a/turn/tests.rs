use steadfast_events::{
    MessageStatus, Usage,
    testing::{
        event, event_of_attempt, message, message_accepted, message_reset, text, text_delta, text_done, text_started,
    },
};
use uuid::Uuid;

use super::*;

const MESSAGE: &str = "00000000-0000-0000-0000-00000000000b";
const APPROVAL: &str = "t.run.1.0.0";

fn turn() -> Turn {
    Turn::new(Head {
        id: TaskId {
            task: Uuid::from_u128(0xa),
            message: MESSAGE.parse().unwrap(),
        },
        context_id: "c".to_owned(),
        created_at: Timestamp::UNIX_EPOCH,
    })
}

fn apply(turn: &mut Turn, kinds: impl IntoIterator<Item = EventKind>) -> Vec<Value> {
    let events = kinds.into_iter().flat_map(|kind| turn.apply(&event(kind)));
    events.map(|event| json!(event)).collect()
}

fn accepted() -> EventKind {
    message_accepted(MESSAGE)
}

fn said() -> EventKind {
    EventKind::MessageDone {
        message: LoggedMessage {
            author: Author::User,
            ..message(MESSAGE, text("Write one."))
        },
    }
}

fn ended(status: TurnStatus) -> EventKind {
    EventKind::TurnEnded {
        status,
        usage: Usage::default(),
        error: (status == TurnStatus::Failed).then(|| TurnError {
            category: "max_model_calls".to_owned(),
            message: "too many".to_owned(),
        }),
    }
}

fn approval(id: &str) -> Approval {
    Approval {
        id: id.to_owned(),
        kind: ApprovalKind::ToolCall,
        agent: "haiku".to_owned(),
        turn: 1,
        tool: "pay".to_owned(),
        tool_call_id: "call".to_owned(),
        arguments: json!({"amount": 1}),
        arguments_truncated: false,
        requester: String::new(),
        prompt: String::new(),
        form: Value::Null,
        requested_at: Timestamp::UNIX_EPOCH,
        expires_at: None,
    }
}

fn asked(id: &str) -> EventKind {
    EventKind::ApprovalRequested { approval: approval(id) }
}

fn decided(id: &str, verdict: Verdict) -> EventKind {
    EventKind::ApprovalDecided {
        approval_id: id.to_owned(),
        decision: Decision {
            by: "alice".to_owned(),
            ..Decision::new(verdict)
        },
    }
}

/// State, or text of an artifact and whether it appends and is the last.
fn outline(events: &[Value]) -> Vec<(String, Option<bool>, Option<bool>)> {
    let outline = events.iter().map(|event| {
        if let Some(state) = event["statusUpdate"]["status"]["state"].as_str() {
            return (state.replace("TASK_STATE_", ""), None, None);
        }
        let update = &event["artifactUpdate"];
        let text = update["artifact"]["parts"][0]["text"].as_str().unwrap().to_owned();
        (text, update["append"].as_bool(), update["lastChunk"].as_bool())
    });
    outline.collect()
}

fn chunk(text: &str, append: bool, last: bool) -> (String, Option<bool>, Option<bool>) {
    (text.to_owned(), Some(append), Some(last))
}

fn state(name: &str) -> (String, Option<bool>, Option<bool>) {
    (name.to_owned(), None, None)
}

#[test]
fn a_turn_works_writes_its_artifact_in_chunks_and_is_completed() {
    let mut turn = turn();
    assert_eq!(json!(turn.begin())["task"]["status"]["state"], "TASK_STATE_SUBMITTED");
    let events = apply(
        &mut turn,
        [
            accepted(),
            said(),
            EventKind::TurnStarted {},
            text_started("a-1"),
            text_delta("a-1", "Autumn "),
            text_done("a-1", "Autumn moon"),
            ended(TurnStatus::Completed),
        ],
    );
    assert_eq!(
        outline(&events),
        [
            state("WORKING"),
            chunk("Autumn ", false, false),
            chunk("moon", true, false),
            chunk("", true, true),
            state("COMPLETED"),
        ]
    );
    assert!(turn.has_ended());
    let task = json!(turn.task(None, Artifacts::Shown));
    let id = format!("{:032x}-{:032x}", 0xa, 0xb);
    assert_eq!(
        task,
        json!({
            "id": id, "contextId": "c",
            "status": {"state": "TASK_STATE_COMPLETED", "timestamp": "1970-01-01T00:00:00Z"},
            "artifacts": [{
                "artifactId": "a1", "parts": [{"text": "Autumn moon"}], "metadata": {"phase": "final_answer"},
            }],
            "history": [{
                "messageId": MESSAGE, "contextId": "c", "taskId": id, "role": "ROLE_USER",
                "parts": [{"text": "Write one."}],
            }],
        })
    );
    // Nothing comes after the end.
    assert_eq!(
        apply(&mut turn, [text_started("b"), ended(TurnStatus::Failed)]),
        [""; 0]
    );
}

#[test]
fn a_stream_that_begins_later_continues_what_the_task_shows() {
    let mut turn = turn();
    apply(
        &mut turn,
        [
            accepted(),
            EventKind::TurnStarted {},
            text_started("a"),
            text_delta("a", "Autumn "),
        ],
    );
    let task = json!(turn.begin());
    assert_eq!(task["task"]["artifacts"][0]["parts"][0]["text"], "Autumn ");
    let events = apply(&mut turn, [text_delta("a", "moon")]);
    assert_eq!(outline(&events), [chunk("moon", true, false)]);
}

#[test]
fn the_text_of_an_attempt_that_failed_is_replaced() {
    let mut turn = turn();
    apply(&mut turn, [accepted(), EventKind::TurnStarted {}]);
    let mut events = Vec::new();
    for (attempt, kind) in [
        (1, text_started("a")),
        (1, text_delta("a", "Spr")),
        (2, message_reset("a")),
        (2, text_started("a")),
        (2, text_delta("a", "Autumn")),
    ] {
        let new = turn.apply(&event_of_attempt(attempt, kind));
        events.extend(new.into_iter().map(|event| json!(event)));
    }
    assert_eq!(
        outline(&events),
        [
            chunk("Spr", false, false),
            chunk("", false, false),
            chunk("Autumn", false, false)
        ]
    );
    let ids: Vec<&Value> = events
        .iter()
        .map(|event| &event["artifactUpdate"]["artifact"]["artifactId"])
        .collect();
    assert_eq!(ids, ["a", "a", "a"]);
    let artifacts = turn.task(None, Artifacts::Shown).artifacts.unwrap();
    assert_eq!(artifacts.len(), 1);
}

#[test]
fn a_question_interrupts_the_task_until_it_is_decided() {
    let mut turn = turn();
    apply(&mut turn, [accepted(), said(), EventKind::TurnStarted {}]);
    let events = apply(&mut turn, [asked(APPROVAL)]);
    assert_eq!(outline(&events), [state("INPUT_REQUIRED")]);
    let message = &events[0]["statusUpdate"]["status"]["message"];
    assert_eq!(message["role"], "ROLE_AGENT");
    assert!(
        message["parts"][0]["text"].as_str().unwrap().contains("pay"),
        "{message}"
    );
    assert_eq!(
        message["parts"][1]["data"],
        json!({"approvalId": APPROVAL, "kind": "tool_call", "agent": "haiku", "tool": "pay", "arguments": {"amount": 1}})
    );
    assert!(turn.is_interrupted() && turn.asks(APPROVAL) && !turn.has_ended());
    let events = apply(&mut turn, [asked("other"), decided(APPROVAL, Verdict::Rejected)]);
    assert_eq!(outline(&events), [state("INPUT_REQUIRED"), state("INPUT_REQUIRED")]);
    assert!(!turn.asks(APPROVAL) && turn.has_asked(APPROVAL));
    let events = apply(&mut turn, [decided("other", Verdict::Approved)]);
    assert_eq!(outline(&events), [state("WORKING")]);
    let history = turn.task(None, Artifacts::Omitted).history.unwrap();
    let ids: Vec<&str> = history.iter().map(|message| message.message_id.as_str()).collect();
    assert_eq!(
        ids,
        [MESSAGE, APPROVAL, "other", "t.run.1.0.0.decision", "other.decision"]
    );
    assert_eq!(
        json!(history[3].parts),
        json!([{"data": {"approvalId": APPROVAL, "decision": "reject", "by": "alice"}}])
    );
    // As many of the latest as are wanted.
    let some = |length| {
        turn.task(Some(length), Artifacts::Omitted)
            .history
            .map(|history| history.len())
    };
    assert_eq!((some(2), some(0), some(9)), (Some(2), None, Some(5)));
}

#[test]
fn an_agent_that_works_as_a_tool_of_the_turn_asks_the_same_people() {
    let nested = |path: &str| Event {
        path: path.to_owned(),
        ..event(asked(APPROVAL))
    };
    let mut turn = turn();
    apply(&mut turn, [accepted(), EventKind::TurnStarted {}]);
    assert_eq!(turn.apply(&nested("2.0.0/1.0.0")).len(), 0);
    assert_eq!(turn.apply(&nested("1.0.0/1.0.0")).len(), 1);
    assert!(turn.is_interrupted());
}

#[test]
fn a_turn_ends_in_the_state_that_says_how() {
    for (kind, name, told) in [
        (ended(TurnStatus::Failed), "FAILED", Some("max_model_calls: too many")),
        (ended(TurnStatus::Interrupted), "CANCELED", None),
        (ended(TurnStatus::Canceled), "CANCELED", None),
        (
            EventKind::MessageRejected {
                message_id: MESSAGE.to_owned(),
                idempotency_key: None,
                reason: "the queue is full".to_owned(),
            },
            "REJECTED",
            Some("the queue is full"),
        ),
    ] {
        let mut turn = turn();
        apply(&mut turn, [accepted(), EventKind::TurnStarted {}]);
        let events = apply(&mut turn, [kind]);
        assert_eq!(outline(&events), [state(name)]);
        let message = &events[0]["statusUpdate"]["status"]["message"]["parts"][0]["text"];
        assert_eq!(message.as_str(), told, "{name}");
    }
    let mut unseen = turn();
    apply(&mut unseen, [accepted()]);
    let events: Vec<Value> = unseen
        .end_unseen(TurnStatus::Canceled)
        .into_iter()
        .map(|event| json!(event))
        .collect();
    assert_eq!(outline(&events), [state("CANCELED")]);
}

#[test]
fn all_messages_tell_what_is_missing_once() {
    let at: Timestamp = "2026-11-28T10:00:00.5Z".parse().unwrap();
    let of_agent = LoggedMessage {
        status: MessageStatus::Done,
        updated_at: at,
        ..message("a", text("Autumn moon"))
    };
    let user = LoggedMessage {
        author: Author::User,
        ..message(MESSAGE, text("Write one."))
    };
    let mut turn = turn();
    let told = turn.catch_up(&[user.clone(), of_agent.clone()], None);
    let told: Vec<Value> = told.into_iter().map(|event| json!(event)).collect();
    assert_eq!(outline(&told), [state("WORKING"), chunk("Autumn moon", false, false)]);
    assert_eq!(turn.updated_at(), at);
    assert_eq!(turn.catch_up(&[user, of_agent], None).len(), 0);
    turn.wait_for(&[
        approval(APPROVAL),
        Approval {
            turn: 2,
            ..approval("of another turn")
        },
    ]);
    let asked: Vec<&str> = turn.asked().iter().map(|approval| approval.id.as_str()).collect();
    assert_eq!(asked, [APPROVAL]);
    assert_eq!(
        json!(turn.task(Some(0), Artifacts::Omitted).status.timestamp),
        "2026-11-28T10:00:00.500Z"
    );
}
