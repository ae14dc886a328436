//! A log that the last release wrote is read whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;

use serde_json::Value;
use steadfast_events::{Event, EventKind, fold};

#[path = "../../../tests/released/lost.rs"]
mod lost;

#[test]
fn every_event_of_the_last_release_is_read_whole() {
    let log = include_str!("../../../tests/released/log.jsonl");
    let (mut events, mut kinds) = (Vec::new(), BTreeSet::new());
    for line in log.lines() {
        let written: Value = serde_json::from_str(line).unwrap();
        let event: Event = serde_json::from_value(written.clone()).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_ne!(event.kind, EventKind::Unknown, "{line}");
        let read = serde_json::to_value(&event).unwrap();
        assert_eq!(lost::lost(&written, &read, ""), None, "{line}");
        kinds.insert(written["type"].as_str().unwrap().to_owned());
        events.push(event);
    }
    assert!(kinds.len() >= 26, "{kinds:?}");
    assert_eq!(fold(&events).len(), 3, "those of the conversation itself");
}
