//! The heap allocations of one delta of a model's stream on its way through an
//! activity: from the parsed event to the batch of the log writer.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::alloc::System;

use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use steadfast_crds::{AgentRevisionSpec, model::ModelApi};
use steadfast_eventlog::{EventLog, LogSettings, RedisConnector};
use steadfast_worker::test_api::publish_stream;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const DELTAS: usize = 10_000;
/// A copy of the message's ID. The text of the delta is the one of the parsed event.
const ALLOCATIONS_PER_DELTA: f64 = 1.0;
/// Growth of the buffers that hold the text of the message.
const AMORTIZED: f64 = 0.1;

fn responses(deltas: usize) -> Vec<Value> {
    let item = json!({"type": "message", "id": "msg_1", "role": "assistant", "content": []});
    let mut events = vec![json!({"type": "response.output_item.added", "output_index": 0, "item": item})];
    events.extend((0..deltas).map(|number| {
        json!({"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0,
            "delta": "token ", "logprobs": [], "sequence_number": number})
    }));
    events
}

fn chat(deltas: usize) -> Vec<Value> {
    let delta = || {
        json!({"id": "c-1", "object": "chat.completion.chunk", "model": "m",
        "choices": [{"index": 0, "delta": {"content": "token "}}]})
    };
    (0..=deltas).map(|_| delta()).collect()
}

/// Allocations and bytes, reallocations included.
fn measure(api: ModelApi, events: Vec<Value>) -> (usize, usize) {
    let revision: AgentRevisionSpec =
        serde_json::from_value(json!({"agent": "a", "sequence": 1, "taskQueue": "q", "model": {"name": "m"}})).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // No server listens there: the writer fails to append, in the same way for every number of deltas.
    let redis = RedisConnector::from_url("redis://127.0.0.1:1").unwrap();
    let log = EventLog::new(redis, LogSettings::default());
    let region = Region::new(ALLOCATOR);
    runtime.block_on(publish_stream(log, &revision, api, events));
    let change = region.change();
    (change.allocations + change.reallocations, change.bytes_allocated)
}

#[test]
fn a_delta_costs_at_most_two_allocations() {
    for (api, events, own) in [
        (ModelApi::Responses, responses as fn(usize) -> Vec<Value>, 0.0),
        // The text of a chunk is copied: the chunk is read by reference.
        (ModelApi::ChatCompletions, chat, 1.0),
    ] {
        let (none, none_bytes) = measure(api, events(0));
        let (some, some_bytes) = measure(api, events(DELTAS));
        let per_delta = |some: usize, none: usize| f64::from(u32::try_from(some - none).unwrap()) / 10_000.0;
        let (allocations, bytes) = (per_delta(some, none), per_delta(some_bytes, none_bytes));
        eprintln!("{api:?}: {allocations:.2} allocations and {bytes:.0} bytes per delta");
        assert!(
            allocations <= ALLOCATIONS_PER_DELTA + own + AMORTIZED,
            "{api:?}: {allocations}"
        );
    }
}
