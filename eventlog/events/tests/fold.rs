//! The fold against its vectors, and its two laws: how deltas are cut and how
//! often an attempt was repeated changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{fs, path::Path};

use proptest::prelude::*;
use serde::Deserialize;
use steadfast_events::{Content, Event, EventKind, Message, MessageStatus, TextFormat, fold};

#[derive(Deserialize)]
struct Vector {
    rule: String,
    events: Vec<Event>,
    messages: Vec<Message>,
}

#[test]
fn every_vector_folds_to_its_messages() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut seen = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let vector: Vector = serde_json::from_str(&fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(
            fold(&vector.events),
            vector.messages,
            "{}: {}",
            path.display(),
            vector.rule
        );
        seen += 1;
    }
    assert!(seen >= 12, "only {seen} vectors found");
}

#[test]
fn events_are_written_as_they_were_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    for name in ["lifecycle", "nested", "interrupted"] {
        let text = fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        let vector: serde_json::Value = serde_json::from_str(&text).unwrap();
        for written in vector["events"].as_array().unwrap() {
            let event: Event = serde_json::from_value(written.clone()).unwrap();
            assert_ne!(event.kind, EventKind::Unknown, "{written}");
            assert_eq!(&serde_json::to_value(&event).unwrap(), written);
        }
    }
}

fn event(attempt: u32, kind: EventKind) -> Event {
    Event {
        kind,
        turn: 1,
        attempt,
        agent: "haiku".to_owned(),
        path: String::new(),
        time: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn text(text: &str) -> Content {
    Content::Text {
        text: text.to_owned(),
        format: TextFormat::Markdown,
    }
}

fn started(attempt: u32, id: &str) -> Event {
    event(
        attempt,
        EventKind::MessageStarted {
            message_id: id.to_owned(),
            content: text(""),
        },
    )
}

fn delta(attempt: u32, id: &str, piece: &str) -> Event {
    event(
        attempt,
        EventKind::TextDelta {
            message_id: id.to_owned(),
            delta: piece.to_owned(),
        },
    )
}

fn reset(attempt: u32, id: &str) -> Event {
    event(
        attempt,
        EventKind::MessageReset {
            message_id: id.to_owned(),
        },
    )
}

fn done(attempt: u32, id: &str, whole: &str) -> Event {
    let message = Message {
        id: id.to_owned(),
        turn: 1,
        agent: "haiku".to_owned(),
        author: steadfast_events::Author::Agent,
        content: text(whole),
        status: MessageStatus::Done,
        created_at: jiff::Timestamp::UNIX_EPOCH,
        updated_at: jiff::Timestamp::UNIX_EPOCH,
    };
    event(attempt, EventKind::MessageDone { message })
}

/// One attempt that says each text in turn, cut into pieces; finished or cut off.
fn attempt(number: u32, texts: &[(String, Vec<String>)], finish: bool) -> Vec<Event> {
    let mut events = Vec::new();
    for (id, pieces) in texts {
        events.push(started(number, id));
        events.extend(pieces.iter().map(|piece| delta(number, id, piece)));
        if finish {
            events.push(done(number, id, &pieces.concat()));
        }
    }
    events
}

fn texts() -> impl Strategy<Value = Vec<(String, Vec<String>)>> {
    let pieces = prop::collection::vec("[a-zé ]{0,6}", 0..6);
    prop::collection::vec(pieces, 1..4).prop_map(|all| {
        all.into_iter()
            .enumerate()
            .map(|(index, pieces)| (format!("m{index}"), pieces))
            .collect()
    })
}

fn merged(texts: &[(String, Vec<String>)]) -> Vec<(String, Vec<String>)> {
    texts
        .iter()
        .map(|(id, pieces)| (id.clone(), vec![pieces.concat()]))
        .collect()
}

proptest! {
    #[test]
    fn how_deltas_are_cut_changes_nothing(texts in texts(), finish: bool) {
        prop_assert_eq!(fold(&attempt(1, &texts, finish)), fold(&attempt(1, &merged(&texts), finish)));
    }

    #[test]
    fn failed_attempts_leave_no_trace(texts in texts(), cuts in prop::collection::vec(0_usize..20, 0..4), finish: bool) {
        let mut events = Vec::new();
        let mut number = 1;
        for cut in cuts {
            let failed = attempt(number, &texts, finish);
            events.extend(failed.into_iter().take(cut));
            number += 1;
            events.extend(texts.iter().map(|(id, _)| reset(number, id)));
        }
        events.extend(attempt(number, &texts, finish));
        prop_assert_eq!(fold(&events), fold(&attempt(1, &texts, finish)));
    }

    #[test]
    fn an_attempt_that_goes_on_after_its_successor_began_is_not_heard(texts in texts()) {
        let old = attempt(1, &texts, false);
        let new = attempt(2, &texts, true);
        let mut events = old.clone();
        for (index, event) in new.iter().enumerate() {
            events.push(event.clone());
            // The frozen attempt repeats what it still had to say.
            events.extend(old.get(index).cloned().filter(|event| matches!(event.kind, EventKind::TextDelta { .. })));
        }
        prop_assert_eq!(fold(&events), fold(&new));
    }

    #[test]
    fn a_batch_applied_twice_changes_no_finished_message(texts in texts()) {
        let once = attempt(1, &texts, true);
        let dones: Vec<Event> = once.iter().filter(|event| matches!(event.kind, EventKind::MessageDone { .. })).cloned().collect();
        let twice: Vec<Event> = once.iter().chain(&dones).cloned().collect();
        prop_assert_eq!(fold(&twice), fold(&once));
    }
}
