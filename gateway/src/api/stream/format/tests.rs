use allocation_counter::measure;
use steadfast_events::{EntryId, EventKind, testing};

use super::*;
use crate::task;

/// Allocations for one delta and one viewer: the id, and the buffer of the event, which grows.
const MAX_ALLOCATIONS: u64 = 7;

fn entry(number: u64, kind: EventKind) -> Entry {
    let event = testing::event(kind);
    Entry {
        id: EntryId {
            epoch: 1_763_862_000_123,
            number,
        },
        json: serde_json::to_string(&event).unwrap().into(),
        event,
    }
}

/// The allocations of the second delta of a message.
fn allocations(format: Format) -> u64 {
    let mut output = Output::new(format, &task::testing::task());
    for entry in [
        entry(2, testing::text_started("m")),
        entry(3, testing::text_delta("m", "Autumn ")),
    ] {
        output.entry(&entry);
    }
    let delta = entry(4, testing::text_delta("m", "moonlight"));
    measure(|| drop(output.entry(&delta))).count_total
}

#[test]
fn a_delta_needs_a_bounded_number_of_allocations_per_viewer() {
    for format in [Format::Agentex, Format::Events] {
        let count = allocations(format);
        println!("{format:?}: {count} allocations per delta and viewer");
        assert!(count <= MAX_ALLOCATIONS, "{format:?}: {count}");
    }
}
