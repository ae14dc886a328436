use serde_json::json;
use steadfast_events::testing::{
    event, event_of_attempt, message, message_accepted, text, text_delta, text_done, text_started, turn_ended,
};

use super::*;

/// Applies events of turn 1 and gives the changes of each.
fn apply(items: &mut TurnItems, kinds: impl IntoIterator<Item = EventKind>) -> Vec<Change> {
    let changes = kinds.into_iter().flat_map(|kind| items.apply(&of_turn(1, kind)));
    changes.collect()
}

fn accepted() -> EventKind {
    message_accepted("u")
}

fn of_turn_1() -> TurnItems {
    let mut items = TurnItems::of_message("u");
    assert_eq!(items.apply(&of_turn(1, accepted())), [Change::Accepted]);
    items
}

fn of_turn(turn: u32, kind: EventKind) -> Event {
    Event { turn, ..event(kind) }
}

fn done(id: &str, content: Content) -> EventKind {
    EventKind::MessageDone {
        message: message(id, content),
    }
}

fn request(call: &str, arguments: Value) -> Content {
    Content::ToolRequest {
        tool_call_id: call.to_owned(),
        name: "look_up".to_owned(),
        arguments,
    }
}

fn response(call: &str, content: Value, is_error: bool) -> Content {
    Content::ToolResponse {
        tool_call_id: call.to_owned(),
        name: "look_up".to_owned(),
        content,
        is_error,
        whole_bytes: None,
    }
}

fn ended() -> EventKind {
    turn_ended(TurnStatus::Completed)
}

fn texts(items: &TurnItems) -> Vec<(String, ItemStatus, Option<Phase>)> {
    let texts = items.items().iter().filter_map(|item| match &item.body {
        ItemBody::Text { text, phase } => Some((text.clone(), item.status, *phase)),
        _ => None,
    });
    texts.collect()
}

#[test]
fn a_text_is_done_when_it_is_known_to_be_the_answer() {
    let mut items = of_turn_1();
    let changes = apply(
        &mut items,
        [
            EventKind::TurnStarted {},
            text_started("a"),
            text_delta("a", "Autumn "),
            text_done("a", "Autumn moon"),
        ],
    );
    let delta = |delta: &str| Change::TextDelta {
        index: 0,
        delta: delta.to_owned(),
    };
    assert_eq!(
        changes,
        [Change::Started, Change::Added(0), delta("Autumn "), delta("moon")]
    );
    let changes = apply(&mut items, [ended()]);
    assert_eq!(changes[0], Change::Done(0));
    assert!(matches!(changes[1], Change::Ended { .. }), "{changes:?}");
    assert_eq!(
        texts(&items),
        [(
            "Autumn moon".to_owned(),
            ItemStatus::Completed,
            Some(Phase::FinalAnswer)
        )]
    );
}

#[test]
fn a_text_before_a_call_is_commentary() {
    let mut items = of_turn_1();
    apply(&mut items, [text_done("a", "Let me look.")]);
    let changes = apply(&mut items, [done("b", request("c1", json!({"of": "x"})))]);
    assert_eq!(
        changes,
        [
            Change::Done(0),
            Change::Added(1),
            Change::ArgumentsDelta {
                index: 1,
                delta: r#"{"of":"x"}"#.to_owned()
            },
            Change::Called(1)
        ]
    );
    assert_eq!(texts(&items)[0].2, Some(Phase::Commentary));
    let changes = apply(&mut items, [done("r", response("c1", json!({"n": 1}), false))]);
    assert_eq!(changes, [Change::Done(1)]);
    let ItemBody::Call { output, error, .. } = &items.item(1).unwrap().body else {
        panic!("a call");
    };
    assert_eq!((output.as_deref(), error), (Some(r#"{"n":1}"#), &None));
}

#[test]
fn a_call_with_an_error_has_failed_and_one_whose_request_is_hidden_is_shown_with_its_result() {
    let mut items = of_turn_1();
    let changes = apply(&mut items, [done("r", response("c9", json!("no such place"), true))]);
    assert_eq!(changes, [Change::Added(0), Change::Done(0)]);
    let item = items.item(0).unwrap();
    assert_eq!(item.status, ItemStatus::Failed);
    assert!(
        matches!(&item.body, ItemBody::Call { error: Some(error), .. } if error == "no such place"),
        "{item:?}"
    );
}

#[test]
fn a_retracted_text_is_no_part_of_the_answer_and_the_next_attempt_is_another_item() {
    let mut items = of_turn_1();
    apply(&mut items, [text_started("a"), text_delta("a", "Aut")]);
    let reset = EventKind::MessageReset {
        message_id: "a".to_owned(),
    };
    assert_eq!(items.apply(&event_of_attempt(2, reset)), [Change::Done(0)]);
    // The first attempt still runs somewhere.
    assert_eq!(items.apply(&event_of_attempt(1, text_delta("a", "umn"))), []);
    assert_eq!(items.apply(&event_of_attempt(2, text_started("a"))), [Change::Added(1)]);
    items.apply(&event_of_attempt(2, text_done("a", "Winter")));
    apply(&mut items, [ended()]);
    assert_eq!(
        texts(&items),
        [
            ("Aut".to_owned(), ItemStatus::Retracted, None),
            ("Winter".to_owned(), ItemStatus::Completed, Some(Phase::FinalAnswer)),
        ]
    );
    let ids: Vec<&str> = items.items().iter().map(|item| item.id.as_str()).collect();
    assert_eq!(ids, ["msg_a", "msg_a_2"]);
}

#[test]
fn a_text_that_is_done_otherwise_than_it_began_is_another_item() {
    let mut items = of_turn_1();
    apply(
        &mut items,
        [
            text_started("a"),
            text_delta("a", "Spring"),
            text_done("a", "Autumn"),
            ended(),
        ],
    );
    assert_eq!(
        texts(&items),
        [
            ("Spring".to_owned(), ItemStatus::Retracted, None),
            ("Autumn".to_owned(), ItemStatus::Completed, Some(Phase::FinalAnswer)),
        ]
    );
}

#[test]
fn other_turns_and_agents_that_run_as_tools_change_nothing() {
    let mut items = TurnItems::of_message("u");
    items.apply(&of_turn(2, accepted()));
    assert_eq!(items.apply(&of_turn(1, text_started("a"))), []);
    let nested = Event {
        path: "2.0.0".to_owned(),
        ..of_turn(2, text_started("a"))
    };
    assert_eq!(items.apply(&nested), []);
    assert_eq!(items.apply(&of_turn(2, ended())).len(), 1);
    assert_eq!(items.apply(&of_turn(2, text_started("a"))), [], "the turn has ended");
}

#[test]
fn who_lost_entries_gets_what_is_missing_and_nothing_twice() {
    let mut items = of_turn_1();
    apply(&mut items, [text_started("a"), text_delta("a", "Autumn ")]);
    let open = Message {
        status: MessageStatus::InProgress,
        ..message("a", text("Autumn mo"))
    };
    let user = Message {
        author: Author::User,
        ..message("u", text("Hi"))
    };
    let delta = |delta: &str| Change::TextDelta {
        index: 0,
        delta: delta.to_owned(),
    };
    assert_eq!(items.catch_up(&[user.clone(), open.clone()], None), [delta("mo")]);
    let whole = Message {
        status: MessageStatus::Done,
        content: text("Autumn moon"),
        ..open
    };
    assert_eq!(items.catch_up(&[user.clone(), whole.clone()], None), [delta("on")]);
    assert_eq!(items.catch_up(&[user, whole], None), []);
    let changes = items.end_unseen(TurnStatus::Completed);
    assert_eq!(changes[0], Change::Done(0));
    assert_eq!(items.end_unseen(TurnStatus::Completed), []);
}

#[test]
fn a_turn_that_is_interrupted_leaves_open_items_incomplete() {
    let mut items = of_turn_1();
    apply(
        &mut items,
        [
            text_started("a"),
            text_delta("a", "Autumn "),
            done("b", request("c1", json!({}))),
        ],
    );
    let interrupted = turn_ended(TurnStatus::Interrupted);
    let changes = apply(&mut items, [interrupted]);
    assert_eq!(changes.len(), 3, "{changes:?}");
    assert!(
        items.items().iter().all(|item| item.status == ItemStatus::Incomplete),
        "{items:?}"
    );
}

#[test]
fn a_message_that_is_rejected_has_no_turn() {
    let mut items = TurnItems::of_message("u");
    let rejected = |id: &str| EventKind::MessageRejected {
        message_id: id.to_owned(),
        idempotency_key: None,
        reason: "the queue is full".to_owned(),
    };
    assert_eq!(items.apply(&of_turn(0, rejected("v"))), []);
    let changes = items.apply(&of_turn(0, rejected("u")));
    assert!(
        matches!(&changes[..], [Change::Ended { status: TurnStatus::Failed, error: Some(error), .. }] if error.category == "message_rejected"),
        "{changes:?}"
    );
}

#[test]
fn who_comes_after_the_log_was_lost_finds_the_turn_by_the_message() {
    let mut items = TurnItems::of_message("u");
    let user = Message {
        author: Author::User,
        turn: 3,
        ..message("u", text("Hi"))
    };
    let answer = Message {
        turn: 3,
        ..message("a", text("Hello"))
    };
    let changes = items.catch_up(&[user, answer], None);
    assert_eq!(changes[..3], [Change::Accepted, Change::Started, Change::Added(0)]);
    assert_eq!(items.turn, Some(3));
}

#[test]
fn the_same_log_gives_the_same_changes() {
    let kinds = || {
        [
            EventKind::TurnStarted {},
            text_started("a"),
            text_delta("a", "One"),
            text_done("a", "One two"),
            done("b", request("c1", json!({"of": "x"}))),
            done("r", response("c1", json!("y"), false)),
            text_done("c", "Three"),
            ended(),
        ]
    };
    let changes = || apply(&mut of_turn_1(), kinds());
    assert_eq!(changes(), changes());
}
