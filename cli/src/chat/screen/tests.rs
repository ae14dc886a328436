use serde_json::json;
use steadfast_events::{Event, Fold};

use super::*;

/// The text on a terminal after these events, printed one by one.
fn terminal(events: &[Value]) -> String {
    print_on(&mut Screen::new(Style::Plain), events)
}

fn print_on(screen: &mut Screen, events: &[Value]) -> String {
    let mut fold = Fold::default();
    let mut shown = String::new();
    for event in events {
        let mut event = event.clone();
        event["time"] = json!("2026-11-23T00:00:00Z");
        event["agent"] = json!("weather");
        let event: Event = serde_json::from_value(event).unwrap();
        fold.apply(&event);
        shown.push_str(&screen.render_messages(fold.messages()));
    }
    shown
}

fn started(id: &str) -> Value {
    json!({"type": "message_started", "message_id": id, "content": {"type": "text", "text": ""}})
}

fn delta(id: &str, text: &str) -> Value {
    json!({"type": "text_delta", "message_id": id, "delta": text})
}

fn done(id: &str, author: &str, content: impl Into<Value>) -> Value {
    let content = content.into();
    json!({"type": "message_done", "message": {
        "id": id, "turn": 1, "agent": "weather", "author": author, "content": content, "status": "done",
        "created_at": "2026-11-23T00:00:00Z", "updated_at": "2026-11-23T00:00:00Z",
    }})
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

#[test]
fn a_line_is_open_while_its_text_grows() {
    let mut screen = Screen::new(Style::Plain);
    print_on(&mut screen, &[started("a"), delta("a", "It is ")]);
    assert!(screen.has_open_line());
    print_on(
        &mut screen,
        &[
            started("a"),
            delta("a", "It is "),
            done("a", "agent", text("It is 7 °C.")),
        ],
    );
    assert!(!screen.has_open_line());
}

#[test]
fn a_turn_with_a_tool_call_is_printed_in_order() {
    let shown = terminal(&[
        done("u", "user", text("Oslo?")),
        done(
            "q",
            "agent",
            json!({"type": "tool_request", "tool_call_id": "c", "name": "get_weather", "arguments": {"city": "Oslo"}}),
        ),
        done(
            "r",
            "agent",
            json!({"type": "tool_response", "tool_call_id": "c", "name": "get_weather", "content": {"celsius": 7}}),
        ),
        started("a"),
        delta("a", "It is "),
        delta("a", "7 °C."),
        done("a", "agent", text("It is 7 °C.")),
    ]);
    let expected = "you: Oslo?\n\
        ╭ call get_weather\n│ {\"city\":\"Oslo\"}\n╰\n\
        ╭ get_weather answered\n│ {\"celsius\":7}\n╰\n\
        weather: It is 7 °C.\n";
    assert_eq!(shown, expected);
}

#[test]
fn a_failed_tool_call_has_another_title() {
    let response = json!({"type": "tool_response", "tool_call_id": "c", "name": "get_weather", "content": "no station", "is_error": true});
    assert_eq!(
        terminal(&[done("r", "agent", response)]),
        "╭ get_weather failed\n│ no station\n╰\n"
    );
}

#[test]
fn a_repeated_model_call_with_the_same_text_is_printed_once() {
    let shown = terminal(&[
        started("a"),
        delta("a", "It is"),
        json!({"type": "message_reset", "message_id": "a", "attempt": 2}),
        json!({"type": "message_started", "message_id": "a", "attempt": 2, "content": {"type": "text", "text": ""}}),
        json!({"type": "text_delta", "message_id": "a", "attempt": 2, "delta": "It "}),
        json!({"type": "text_delta", "message_id": "a", "attempt": 2, "delta": "is 7 °C."}),
        done("a", "agent", text("It is 7 °C.")),
    ]);
    assert_eq!(shown, "weather: It is 7 °C.\n");
}

#[test]
fn a_repeated_model_call_with_another_text_is_printed_again() {
    let shown = terminal(&[
        started("a"),
        delta("a", "It is"),
        json!({"type": "message_reset", "message_id": "a", "attempt": 2}),
        done("a", "agent", text("Seven degrees.")),
    ]);
    assert_eq!(
        shown,
        "weather: It is\n(the model call was repeated)\nweather: Seven degrees.\n"
    );
}

#[test]
fn text_continues_below_a_card_that_interrupts_it() {
    let shown = terminal(&[
        started("a"),
        delta("a", "Let me see"),
        done(
            "q",
            "agent",
            json!({"type": "tool_request", "tool_call_id": "c", "name": "look", "arguments": {}}),
        ),
        done("a", "agent", text("Let me see: done.")),
    ]);
    assert_eq!(shown, "weather: Let me see\n╭ call look\n│ {}\n╰\nweather: … : done.\n");
}

#[test]
fn control_characters_never_reach_the_terminal() {
    let shown = terminal(&[done("a", "agent", text("a\u{1b}[2Jb"))]);
    assert_eq!(shown, "weather: a\u{fffd}[2Jb\n");
}

#[test]
fn a_long_result_is_cut_and_its_size_is_shown() {
    assert_eq!(
        card_text(&json!("x".repeat(5000))),
        format!("{}… (5000 bytes in total)", "x".repeat(4000))
    );
}

#[test]
fn a_message_that_was_typed_here_is_not_printed() {
    let mut screen = Screen::new(Style::Plain);
    screen.mark_printed("u");
    let event: Event = serde_json::from_value({
        let mut event = done("u", "user", text("hello"));
        event["time"] = json!("2026-11-23T00:00:00Z");
        event
    })
    .unwrap();
    let mut fold = Fold::default();
    fold.apply(&event);
    assert_eq!(screen.render_messages(fold.messages()), "");
}

#[test]
fn a_failed_turn_shows_its_error() {
    let mut screen = Screen::new(Style::Plain);
    let error = TurnError {
        category: "model_refused_request".to_owned(),
        message: "no such model".to_owned(),
    };
    let shown = screen.render_turn_end(TurnStatus::Failed, Usage::default(), Some(&error));
    assert_eq!(shown, "the turn failed: no such model (model_refused_request)\n");
}

#[test]
fn an_interrupted_message_is_marked() {
    let interrupted = json!({"type": "message_done", "message": {
        "id": "a", "turn": 1, "agent": "weather", "author": "agent", "content": text("It is"), "status": "interrupted",
        "created_at": "2026-11-23T00:00:00Z", "updated_at": "2026-11-23T00:00:00Z",
    }});
    let shown = terminal(&[started("a"), delta("a", "It "), interrupted]);
    assert_eq!(shown, "weather: It is (interrupted)\n");
}

#[test]
fn an_approval_is_shown_whole_and_without_control_characters() {
    let approval: Approval = serde_json::from_value(json!({
        "id": "t.1.0.0", "kind": "tool_call", "agent": "bank", "turn": 1, "tool": "pay", "tool_call_id": "c",
        "arguments": {"note": "x".repeat(5_000)}, "prompt": "Pay?\u{1b}[2J", "form": {"type": "object"},
        "requested_at": "2026-11-23T00:00:00Z", "expires_at": "2026-11-24T00:00:00Z",
    }))
    .unwrap();
    let shown = Screen::new(Style::Plain).render_approval(&approval);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[..2], ["╭ bank wants to call pay", "│ Pay?\u{fffd}[2J"]);
    assert_eq!(lines[2].len(), "│ {\"note\":\"\"}".len() + 5_000);
    assert_eq!(
        lines[3..],
        [
            "│ answer: {\"type\":\"object\"}",
            "│ expires 2026-11-24 00:00:00 UTC",
            "╰"
        ]
    );
}
