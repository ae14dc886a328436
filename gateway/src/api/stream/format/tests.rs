use allocation_counter::measure;
use steadfast_events::{EntryId, EventKind, TaskStatus, testing};

use super::*;
use crate::task;

fn entry(number: u64, kind: EventKind) -> Entry {
    let event = testing::event(kind);
    let id = EntryId {
        epoch: 1_763_862_000_123,
        number,
    };
    let json = serde_json::to_string(&event).unwrap().into();
    Entry::new(id, event, json)
}

fn viewers(format: Format) -> [Output; 2] {
    [(); 2].map(|()| Output::new(format, &task::testing::task()))
}

#[test]
fn what_all_viewers_get_is_written_once() {
    for format in [Format::Agentex, Format::Events] {
        let [mut first, mut second] = viewers(format);
        for entry in [
            entry(2, testing::text_started("m")),
            entry(3, testing::text_delta("m", "Autumn ")),
        ] {
            assert_eq!(first.entry(&entry), second.entry(&entry));
        }
        let delta = entry(4, testing::text_delta("m", "moonlight"));
        let written = first.entry(&delta).unwrap();
        let count = measure(|| drop(second.entry(&delta))).count_total;
        assert_eq!(count, 0, "{format:?}");
        assert_eq!(second.entry(&delta), Some(written));
    }
}

#[test]
fn a_viewer_who_knows_another_start_gets_frames_of_its_own() {
    let [mut early, mut late] = viewers(Format::Agentex);
    early.entry(&entry(2, testing::text_started("m")));
    let delta = entry(3, testing::text_delta("m", "Autumn "));
    // Nothing tells how the message began: the time of the delta takes the place of its own.
    late.remember_start(&delta, None);
    let of_early = early.entry(&delta).unwrap();
    let of_late = late.entry(&delta).unwrap();
    assert!(of_late.starts_with(b"id: 1763862000123-3\n"), "{of_late:?}");
    assert_eq!(early.entry(&delta), Some(of_early));
}

#[test]
fn the_description_of_a_task_is_that_of_the_viewer() {
    let mut renamed = task::testing::task();
    renamed.name = Some("another".to_owned());
    let mut viewers = [task::testing::task(), renamed].map(|task| Output::new(Format::Agentex, &task));
    let completed = entry(
        2,
        EventKind::TaskUpdated {
            status: TaskStatus::Completed,
            reason: None,
        },
    );
    let [first, second] = viewers.each_mut().map(|viewer| viewer.entry(&completed).unwrap());
    assert_ne!(first, second);
}

#[test]
fn the_end_of_a_text_is_two_events_and_the_last_has_the_id() {
    let [mut viewer, _] = viewers(Format::Agentex);
    let written = viewer.entry(&entry(2, testing::text_done("m", "Autumn moon"))).unwrap();
    let text = String::from_utf8(written.to_vec()).unwrap();
    let events: Vec<&str> = text.split_terminator("\n\n").collect();
    assert_eq!(events.len(), 2, "{text}");
    assert!(
        events[0].starts_with("data: ") && events[1].starts_with("id: "),
        "{text}"
    );
}
