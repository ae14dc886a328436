//! Whatever a state consists of, the input of the next run fits into a payload, and that run has the same state.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use steadfast_agent_loop::{
    AgentRun, Body, CallDisposition, CallKind, Guarded, Input, Limits, ModelAnswer, ModelText, QueuedMessage, Segment,
    SegmentRef, ToolCall, ToolOutput,
};
use steadfast_contract::{
    activities::NewSegment,
    outbox::Pending,
    signals::ReceiveEvent,
    start::StartTask,
    state::{DurableState, whole_page},
    text_parts::TextParts,
    tool_calls::{FinishedCall, OutputSource},
};
use steadfast_events::{Content, TextFormat};
use steadfast_payload::{PAYLOAD_LIMIT_BYTES, pack, packed_size, unpack};
use steadfast_workflow::{NoSink, task::Task};

const NOW: jiff::Timestamp = jiff::Timestamp::UNIX_EPOCH;

/// Text that hardly compresses.
fn noise(seed: u64, bytes: usize) -> String {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b' ' + u8::try_from(state >> 32 & 0x3F).unwrap())
    };
    (0..bytes).map(|_| letter()).collect()
}

fn task(run_id: &str, start: StartTask) -> Task {
    Task::new(start, run_id, Arc::new(NoSink), NOW)
}

fn new_task() -> Task {
    task("one", StartTask::new("t", "default", "a"))
}

fn message(id: &str, text: String) -> ReceiveEvent {
    ReceiveEvent {
        message_id: id.to_owned(),
        idempotency_key: None,
        content: Content::text(text, TextFormat::Plain),
        sender: String::new(),
    }
}

fn output(index: u32, bytes: usize) -> ToolOutput {
    ToolOutput {
        call_id: format!("c{index}"),
        name: "t".to_owned(),
        kind: CallKind::Function,
        content: Value::String(noise(u64::from(index) + 100, bytes)),
        is_error: false,
        text: ModelText::default(),
    }
}

/// A task in the middle of a step of several calls, of which `finished` have ended.
fn in_a_step(sources: &[OutputSource], bytes: usize) -> Task {
    let mut task = new_task();
    let calls: Vec<ToolCall> = (0..=u32::try_from(sources.len()).unwrap())
        .map(|index| ToolCall {
            index,
            call_id: format!("c{index}"),
            name: "t".to_owned(),
            kind: CallKind::Function,
            disposition: CallDisposition::Run,
        })
        .collect();
    let items = calls
        .iter()
        .map(|call| json!({"type": "function_call", "call_id": call.call_id, "name": "t", "arguments": "{}"}))
        .collect();
    let limits = Limits {
        max_model_calls_per_turn: 10,
    };
    let mut run = AgentRun::default();
    let guarded = Guarded::No;
    run.record(Input::TurnStarted {
        turn: 1,
        limits,
        guarded,
    })
    .unwrap();
    run.record(Input::ModelAnswered(ModelAnswer {
        calls,
        rejected: None,
        unsupported: None,
        guarded,
    }))
    .unwrap();
    task.state.agent_run = run;
    task.append_segment(Segment {
        turn: 1,
        step: 0,
        at: NOW,
        body: Body::Model {
            items,
            agent: "a".to_owned(),
            origin: "o".to_owned(),
        },
    });
    for (index, source) in (0..).zip(sources) {
        let call = FinishedCall {
            output: output(index, bytes),
            source: *source,
            fails_turn: None,
            handoff_to: None,
            suppressed: false,
            interval: None,
        };
        task.state.finished_calls.insert(index, call);
    }
    task
}

/// What the history of a run holds of a task: everything that it received or got from an activity.
fn history_of(task: &Task) -> BTreeMap<SegmentRef, Segment> {
    let transcript = task.state.transcript.segments().cloned();
    let queued = task.state.inbox.queued().map(QueuedMessage::to_segment);
    let finished = task.state.finished_calls.iter().map(|(index, call)| Segment {
        turn: 1,
        step: 0,
        at: NOW,
        body: Body::Tool {
            index: *index,
            output: call.output.clone(),
            by_task: false,
        },
    });
    let segments = transcript.chain(queued).chain(finished);
    segments.map(|segment| (segment.reference(), segment)).collect()
}

/// Continues as new as the driver does, with the histories in place of the activities.
fn continued(before: &Task) -> (Task, usize) {
    let next_run = before.continue_as_new();
    let payload = pack(&next_run.start).unwrap();
    assert!(
        payload.data.len() <= PAYLOAD_LIMIT_BYTES,
        "{} bytes",
        payload.data.len()
    );
    let mut after = task("two", unpack(&payload).unwrap());
    if after.awaits_state() {
        let mut text = TextParts::default();
        for (number, part) in (0..).zip(&next_run.parts) {
            assert!(packed_size(part) <= PAYLOAD_LIMIT_BYTES);
            text.add(number, part.clone());
        }
        let count = after.state.parts.as_ref().unwrap().count;
        after.restore_parts(&text.join(count).unwrap()).unwrap();
    }
    let history = history_of(before);
    let pages = after.state.pages.clone();
    for page in pages.iter().flat_map(|pages| &pages.pages) {
        let segments: Vec<Segment> = match whole_page(page) {
            Some(segment) => vec![segment.clone()],
            None => page
                .iter()
                .map(|segment| match segment {
                    NewSegment::Ref(reference) => history[reference].clone(),
                    NewSegment::Whole(segment) => (**segment).clone(),
                })
                .collect(),
        };
        if whole_page(page).is_none() {
            assert!(packed_size(&segments) <= PAYLOAD_LIMIT_BYTES);
        }
        after.take_page(segments);
    }
    after.restore_pages();
    (after, next_run.parts.len())
}

/// The states but for what one run does not tell the next.
fn assert_same(before: &Task, after: &Task) {
    let whole = |state: &DurableState| {
        let mut state = serde_json::to_value(state).unwrap();
        for call in state["finished_calls"].as_object_mut().unwrap().values_mut() {
            call.as_object_mut().unwrap().remove("source");
        }
        state
    };
    // The texts are too long to be printed.
    assert!(whole(&before.state) == whole(&after.state));
    assert_eq!(before.turn(), after.turn());
}

#[test]
fn a_small_state_travels_in_the_input() {
    let mut before = in_a_step(&[OutputSource::OurActivity], 1_000);
    before.receive(message("m", "Hello.".to_owned()), NOW);
    let (after, parts) = continued(&before);
    assert_eq!(parts, 0);
    assert_same(&before, &after);
}

#[test]
fn messages_that_wait_and_outputs_of_activities_travel_as_pages_and_keep_their_turns() {
    let mut before = in_a_step(&[OutputSource::OurActivity, OutputSource::ForeignActivity], 700_000);
    for number in 0..10 {
        before.receive(message(&format!("m{number}"), noise(number, 200_000)), NOW);
    }
    let (after, parts) = continued(&before);
    assert_eq!(parts, 0);
    assert_same(&before, &after);
    let turns: Vec<u32> = after.state.inbox.queued().map(|message| message.turn).collect();
    assert_eq!(turns, (1..=10).collect::<Vec<u32>>());
    // The next run finds the outputs in its own history.
    let sources: Vec<OutputSource> = after.state.finished_calls.values().map(|call| call.source).collect();
    assert_eq!(sources, [OutputSource::OurActivity, OutputSource::ForeignActivity]);
}

#[test]
fn outputs_of_the_task_itself_are_recorded_before_they_travel() {
    let mut before = in_a_step(&[OutputSource::Task, OutputSource::Task, OutputSource::Task], 900_000);
    let id = steadfast_agent_loop::StepId { turn: 1, step: 0 };
    let outputs = before.unrecorded_outputs(id, NOW);
    assert_eq!(outputs.len(), 3);
    for output in &outputs {
        before.output_is_recorded(output);
    }
    assert_eq!(before.unrecorded_outputs(id, NOW), []);
    let (after, parts) = continued(&before);
    assert_eq!(parts, 0);
    assert_same(&before, &after);

    // Small ones stay as they are.
    assert_eq!(in_a_step(&[OutputSource::Task], 1_000).unrecorded_outputs(id, NOW), []);
}

#[test]
fn everything_else_travels_in_parts() {
    let mut before = in_a_step(&[OutputSource::Task, OutputSource::OurActivity], 600_000);
    before.receive(message("m", noise(1, 400_000)), NOW);
    // Redis is away for long: the outbox is long.
    for number in 0..3_000 {
        let reference = SegmentRef::Message(noise(number, 600));
        before.state.outbox.push(Pending::Messages(reference));
    }
    // An answer with images fits into no page.
    before.append_segment(Segment {
        turn: 1,
        step: 1,
        at: NOW,
        body: Body::Model {
            items: vec![json!({"type": "image_generation_call", "result": noise(5, 3_000_000)})],
            agent: "a".to_owned(),
            origin: "o".to_owned(),
        },
    });
    let (after, parts) = continued(&before);
    assert!(parts > 3, "{parts}");
    assert_same(&before, &after);
}

#[test]
fn a_large_state_does_not_continue_as_new_again_before_something_has_happened() {
    let mut before = new_task();
    for number in 0..10 {
        before.receive(message(&format!("m{number}"), noise(number, 200_000)), NOW);
    }
    let (mut after, _) = continued(&before);
    assert!(!after.follows_suggestion(50));
    // A history of many events is another reason.
    assert!(after.follows_suggestion(4_096));
    for number in 10..16 {
        after.receive(message(&format!("m{number}"), noise(number, 200_000)), NOW);
    }
    assert!(after.follows_suggestion(50));
    assert!(new_task().follows_suggestion(3));
}
