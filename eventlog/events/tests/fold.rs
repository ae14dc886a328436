//! The fold against its vectors, and its two laws: neither the size of the deltas
//! nor the number of failed attempts changes the messages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{fs, path::Path};

use proptest::prelude::*;
use serde::Deserialize;
use steadfast_events::{
    Author, Content, Event, EventKind, Message, fold,
    testing::{self, event_of_attempt, message, message_reset, text_delta, text_done, text_started},
};

#[derive(Deserialize)]
struct Vector {
    rule: String,
    events: Vec<Event>,
    messages: Vec<Message>,
}

#[test]
fn every_vector_folds_to_its_messages() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut vectors = 0;
    for file in fs::read_dir(directory).unwrap() {
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
        vectors += 1;
    }
    assert!(vectors >= 12, "only {vectors} vectors found");
}

#[test]
fn events_are_written_as_they_were_read() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    for name in ["lifecycle", "nested", "interrupted"] {
        let text = fs::read_to_string(directory.join(format!("{name}.json"))).unwrap();
        let vector: serde_json::Value = serde_json::from_str(&text).unwrap();
        for written in vector["events"].as_array().unwrap() {
            let event: Event = serde_json::from_value(written.clone()).unwrap();
            assert_ne!(event.kind, EventKind::Unknown, "{written}");
            assert_eq!(&serde_json::to_value(&event).unwrap(), written);
        }
    }
}

/// One attempt that writes each text in pieces; finished or cut off.
fn attempt(number: u32, texts: &[(String, Vec<String>)], finish: bool) -> Vec<Event> {
    let mut events = Vec::new();
    for (id, pieces) in texts {
        events.push(event_of_attempt(number, text_started(id)));
        events.extend(
            pieces
                .iter()
                .map(|piece| event_of_attempt(number, text_delta(id, piece))),
        );
        if finish {
            events.push(event_of_attempt(number, text_done(id, &pieces.concat())));
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
    fn the_size_of_deltas_changes_no_message(texts in texts(), finish: bool) {
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
            events.extend(texts.iter().map(|(id, _)| event_of_attempt(number, message_reset(id))));
        }
        events.extend(attempt(number, &texts, finish));
        prop_assert_eq!(fold(&events), fold(&attempt(1, &texts, finish)));
    }

    #[test]
    fn events_of_an_attempt_with_a_successor_are_ignored(texts in texts()) {
        let old = attempt(1, &texts, false);
        let new = attempt(2, &texts, true);
        let mut events = old.clone();
        for (index, event) in new.iter().enumerate() {
            events.push(event.clone());
            // The earlier attempt, which was only frozen, goes on.
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

#[test]
fn a_message_of_a_user_never_takes_the_place_of_an_answer() {
    let of_user = |text: &str| {
        let message = Message {
            author: Author::User,
            ..message("a", testing::text(text))
        };
        event_of_attempt(1, EventKind::MessageDone { message })
    };
    let said = |events: &[Event]| -> Vec<(Author, Content)> {
        fold(events)
            .into_iter()
            .map(|message| (message.author, message.content))
            .collect()
    };
    let answer = [
        event_of_attempt(1, text_started("a")),
        event_of_attempt(1, text_delta("a", "yes")),
    ];
    let both = |first, second| vec![first, second];
    let user = (Author::User, testing::text("no"));
    let agent = (Author::Agent, testing::text("yes"));
    let [started, delta] = answer;
    assert_eq!(
        said(&[of_user("no"), started.clone(), delta.clone()]),
        both(user.clone(), agent.clone())
    );
    assert_eq!(
        said(&[started.clone(), of_user("no"), delta.clone()]),
        both(agent.clone(), user.clone())
    );
    let done = event_of_attempt(1, text_done("a", "yes"));
    assert_eq!(said(&[done, of_user("no")]), both(agent, user.clone()));
    let reset = event_of_attempt(1, message_reset("a"));
    assert_eq!(said(&[of_user("no"), started, delta, reset]), [user]);
}
