//! What a reader finds in histories as the SDK and the server write them.
use serde_json::json;
use steadfast_agent_loop::CallKind;
use temporalio_common_wasm::protos::temporal::api::history::v1::{
    ActivityTaskCompletedEventAttributes, ActivityTaskScheduledEventAttributes, MarkerRecordedEventAttributes,
    WorkflowExecutionContinuedAsNewEventAttributes, WorkflowExecutionSignaledEventAttributes,
    WorkflowExecutionStartedEventAttributes,
};

use steadfast_contract::{activity_ids::model_activity_id, state::DurableState};
use steadfast_crds::agent_tool::OnTimeout;
use steadfast_payload::pack;

use super::*;
use crate::whole_approval;

/// What the SDK and the server write of a call of `search`, made by the first answer of a model.
fn history_with(marker: MarkerRecordedEventAttributes) -> Vec<HistoryEvent> {
    let marker = Attributes::MarkerRecordedEventAttributes(marker);
    run_of(&new_task(), [model_answer("search", &json!({})), vec![marker]].concat())
}

fn marker_of_tool_call(result: Option<Value>) -> MarkerRecordedEventAttributes {
    let data = json!({
        "seq": 3, "attempt": 1, "activity_id": "t1.0.0", "activity_type": ActivityKind::CallHttpTool.type_name(),
        "complete_time": {"seconds": 5, "nanos": 7_999_999}, "backoff": null,
    });
    let mut details = HashMap::from([(MARKER_DATA.to_owned(), pack(&data).unwrap().into())]);
    if let Some(result) = result {
        details.insert(MARKER_RESULT.to_owned(), pack(&result).unwrap().into());
    }
    MarkerRecordedEventAttributes {
        marker_name: LOCAL_ACTIVITY_MARKER.to_owned(),
        details,
        ..MarkerRecordedEventAttributes::default()
    }
}

fn view_of(marker: MarkerRecordedEventAttributes) -> HistoryView {
    let mut view = HistoryView::default();
    for event in history_with(marker) {
        view.take(&event).unwrap();
    }
    view
}

#[test]
fn the_result_of_a_local_tool_call_stands_where_that_of_another_does() {
    let result = json!({"content": {"found": 7}, "log": {}});
    let view = view_of(marker_of_tool_call(Some(result)));
    let output = ToolOutput {
        call_id: "c".to_owned(),
        name: "search".to_owned(),
        kind: CallKind::Function,
        content: json!({"found": 7}),
        is_error: false,
        text: ModelText::default(),
    };
    let body = Body::Tool {
        index: 0,
        output,
        by_task: false,
    };
    let segment = Segment {
        turn: 1,
        step: 0,
        at: jiff::Timestamp::from_millisecond(5_007).unwrap(),
        body,
    };
    assert_eq!(view.segments[&SegmentRef::Tool(1, 0, 0)], segment);
    assert_eq!(view.shown.last().unwrap().segment, segment);
}

#[test]
fn a_local_attempt_that_failed_left_no_result() {
    let view = view_of(marker_of_tool_call(None));
    assert_eq!(view.segments.get(&SegmentRef::Tool(1, 0, 0)), None);
    assert_eq!(view.shown.len(), 1);
}

/// A run as the server records it: the start, then one event each.
fn run_of(start: &Value, events: Vec<Attributes>) -> Vec<HistoryEvent> {
    let started = WorkflowExecutionStartedEventAttributes {
        input: Some(pack(start).unwrap().into()),
        workflow_id: "t".to_owned(),
        ..WorkflowExecutionStartedEventAttributes::default()
    };
    let started = Attributes::WorkflowExecutionStartedEventAttributes(started);
    (1..)
        .zip(std::iter::once(started).chain(events))
        .map(|(event_id, attributes)| HistoryEvent {
            event_id,
            attributes: Some(attributes),
            ..HistoryEvent::default()
        })
        .collect()
}

fn new_task() -> Value {
    json!({"schema_version": 1, "task_id": "t", "namespace": "default", "agent": "a"})
}

fn message(id: &str) -> Attributes {
    let content = json!({"message_id": id, "content": {"type": "text", "text": id}});
    Attributes::WorkflowExecutionSignaledEventAttributes(WorkflowExecutionSignaledEventAttributes {
        signal_name: SIGNAL_RECEIVE_EVENT.to_owned(),
        input: Some(pack(&content).unwrap().into()),
        ..WorkflowExecutionSignaledEventAttributes::default()
    })
}

/// The outbox entries that tell the decisions about messages, from this number on.
fn decisions(first: u64, decided: &[(&str, &str)]) -> Vec<Value> {
    (first..)
        .zip(decided)
        .map(|(number, (id, kind))| {
            json!({"number": number, "event": {
                "type": kind, "message_id": id, "reason": "", "time": "2026-01-01T00:00:00Z",
            }})
        })
        .collect()
}

fn appended(outbox: &[Value]) -> Attributes {
    Attributes::ActivityTaskScheduledEventAttributes(ActivityTaskScheduledEventAttributes {
        activity_id: "1".to_owned(),
        activity_type: Some(ActivityKind::AppendEvents.type_name().into()),
        input: Some(pack(&json!({"outbox": outbox})).unwrap().into()),
        ..ActivityTaskScheduledEventAttributes::default()
    })
}

/// Message ids and turns of the user's messages, in order.
fn user_messages(events: &[HistoryEvent]) -> Vec<(String, u32)> {
    let view = HistoryView::read(events).unwrap();
    let segments = view.shown.into_iter().map(|shown| shown.segment);
    segments
        .filter_map(|segment| match segment.body {
            Body::User { message_id, .. } => Some((message_id, segment.turn)),
            _ => None,
        })
        .collect()
}

fn turns(messages: &[(&str, u32)]) -> Vec<(String, u32)> {
    messages.iter().map(|(id, turn)| ((*id).to_owned(), *turn)).collect()
}

const ACCEPTED: &str = "message_accepted";
const REJECTED: &str = "message_rejected";

#[test]
fn a_message_that_the_task_rejected_is_not_shown_and_takes_no_turn() {
    let outbox = decisions(1, &[("one", ACCEPTED), ("full", REJECTED), ("two", ACCEPTED)]);
    let history = run_of(
        &new_task(),
        vec![message("one"), message("full"), message("two"), appended(&outbox)],
    );
    assert_eq!(user_messages(&history), turns(&[("one", 1), ("two", 2)]));
}

#[test]
fn a_message_that_is_sent_again_after_its_rejection_has_the_turn_of_its_acceptance() {
    let outbox = decisions(1, &[("one", ACCEPTED), ("again", REJECTED), ("again", ACCEPTED)]);
    let sent = ["one", "again", "one", "again", "again"].map(message);
    let history = run_of(&new_task(), [Vec::from(sent), vec![appended(&outbox)]].concat());
    assert_eq!(user_messages(&history), turns(&[("one", 1), ("again", 2)]));
}

#[test]
fn a_message_that_the_task_dropped_at_its_end_is_not_one_that_it_rejected() {
    let mut outbox = decisions(
        1,
        &[
            ("one", ACCEPTED),
            ("two", ACCEPTED),
            ("two", REJECTED),
            ("late", REJECTED),
        ],
    );
    outbox[2]["event"]["turn"] = json!(2);
    let sent = ["one", "two", "late"].map(message);
    let history = run_of(&new_task(), [Vec::from(sent), vec![appended(&outbox)]].concat());
    assert_eq!(user_messages(&history), turns(&[("one", 1), ("two", 2)]));
}

#[test]
fn entries_that_are_taken_along_twice_tell_one_decision() {
    let first = decisions(1, &[("one", REJECTED)]);
    let both = decisions(1, &[("one", REJECTED), ("one", ACCEPTED)]);
    let history = run_of(
        &new_task(),
        vec![message("one"), appended(&first), message("one"), appended(&both)],
    );
    assert_eq!(user_messages(&history), turns(&[("one", 1)]));
}

#[test]
fn decisions_that_wait_in_the_outbox_at_the_end_of_the_run_are_known() {
    let mut next = new_task();
    next["state"] = json!({
        "agent_run": {"state": {"state": "idle"}}, "transcript": [], "usage": {}, "created_at": "2026-01-01T00:00:00Z",
        "inbox": {"turns_accepted": 1, "queue": [], "seen_message_ids": ["two"]},
        "outbox": {"last_number": 2, "waiting": decisions(1, &[("one", REJECTED), ("two", ACCEPTED)])},
    });
    let continued = WorkflowExecutionContinuedAsNewEventAttributes {
        input: Some(pack(&next).unwrap().into()),
        ..WorkflowExecutionContinuedAsNewEventAttributes::default()
    };
    let continued = Attributes::WorkflowExecutionContinuedAsNewEventAttributes(continued);
    let history = run_of(&new_task(), vec![message("one"), message("two"), continued]);
    assert_eq!(user_messages(&history), turns(&[("two", 1)]));

    // The next run takes the same entries along; they are about messages of the run before.
    let taken_along = decisions(1, &[("one", REJECTED), ("two", ACCEPTED)]);
    let outbox = [taken_along, decisions(3, &[("three", ACCEPTED)])].concat();
    let history = run_of(&next, vec![message("three"), appended(&outbox)]);
    assert_eq!(user_messages(&history), turns(&[("three", 2)]));
}

/// An approval as the memo has it, and the arguments that it is for.
fn cut_approval() -> (Approval, Value) {
    let arguments = json!({"note": "x".repeat(2_000), "amount": 120});
    let cut = serde_json::from_value(json!({
        "id": "t.run.1.0.0", "kind": "tool_call", "agent": "a", "turn": 1, "tool": "pay", "tool_call_id": "c",
        "arguments": "{\"note\":\"xxx…", "arguments_truncated": true, "requested_at": "2026-01-01T00:00:00Z",
    }));
    (cut.unwrap(), arguments)
}

#[test]
fn the_whole_arguments_of_an_approval_are_in_the_event_the_inherited_state_or_the_answer_of_the_model() {
    let (cut, arguments) = cut_approval();
    let whole = Approval {
        arguments: arguments.clone(),
        arguments_truncated: false,
        ..cut.clone()
    };
    let event = json!({"number": 1, "event": {
        "type": "approval_requested", "approval": &whole, "time": "2026-01-01T00:00:00Z",
    }});
    let told = run_of(&new_task(), vec![appended(&[event])]);
    assert_eq!(whole_approval(&told, &cut).unwrap().as_ref(), Some(&whole));

    let mut state = DurableState::default();
    state.approvals.open(whole.clone(), OnTimeout::Reject);
    let mut start = new_task();
    start["state"] = serde_json::to_value(state).unwrap();
    let inherited = run_of(&start, Vec::new());
    assert_eq!(whole_approval(&inherited, &cut).unwrap().as_ref(), Some(&whole));

    let answered = run_of(&new_task(), model_answer("pay", &arguments));
    assert_eq!(whole_approval(&answered, &cut).unwrap(), Some(whole));

    let silent = run_of(&new_task(), Vec::new());
    assert_eq!(whole_approval(&silent, &cut).unwrap(), None);
}

/// The first model call of a run, which calls a tool.
fn model_answer(tool: &str, arguments: &Value) -> Vec<Attributes> {
    let input = json!({
        "turn": 1, "step": 0, "base": 0, "new": [], "revision": "a-1", "now": "2026-01-01T00:00:00Z",
    });
    let answer = json!({
        "items": [{"type": "function_call", "call_id": "c", "name": tool, "arguments": arguments.to_string()}],
        "usage": {}, "log": {},
    });
    // `run_of` numbers the events from 1, and the first is the start.
    vec![
        scheduled(ActivityKind::InvokeModel, &model_activity_id(1, 0), &input),
        completed(2, &answer),
    ]
}

fn scheduled(kind: ActivityKind, id: &str, input: &Value) -> Attributes {
    Attributes::ActivityTaskScheduledEventAttributes(ActivityTaskScheduledEventAttributes {
        activity_id: id.to_owned(),
        activity_type: Some(kind.type_name().into()),
        input: Some(pack(input).unwrap().into()),
        ..ActivityTaskScheduledEventAttributes::default()
    })
}

fn completed(scheduled_event_id: i64, result: &Value) -> Attributes {
    Attributes::ActivityTaskCompletedEventAttributes(ActivityTaskCompletedEventAttributes {
        scheduled_event_id,
        result: Some(pack(result).unwrap().into()),
        ..ActivityTaskCompletedEventAttributes::default()
    })
}

fn inherited_state() -> Value {
    json!({
        "agent_run": {"state": {"state": "idle"}}, "transcript": [], "usage": {}, "created_at": "2026-01-01T00:00:00Z",
        "inbox": {"turns_accepted": 3, "queue": [], "seen_message_ids": ["one", "two", "three"]},
        "outbox": {"last_number": 1, "waiting": decisions(1, &[("three", ACCEPTED)])},
    })
}

fn user(turn: u32, id: &str) -> Value {
    json!({
        "turn": turn, "step": 0, "at": "2026-01-01T00:00:00Z",
        "kind": "user", "message_id": id, "content": {"text": id},
    })
}

#[test]
fn a_state_in_parts_is_put_together_before_anything_is_received() {
    let text = inherited_state().to_string();
    let (first, second) = text.split_at(text.len() / 2);
    let mut start = new_task();
    start["state"] = inherited_state();
    start["state"]["outbox"] = json!({"last_number": 0, "waiting": []});
    start["state"]["inbox"] = json!({"turns_accepted": 0, "queue": [], "seen_message_ids": []});
    start["state"]["parts"] = json!({"run_id": "before", "count": 2});
    let fetch = |number: u32| {
        let id = number.to_string();
        scheduled(
            ActivityKind::FetchStatePart,
            &id,
            &json!({"run_id": "before", "number": number}),
        )
    };
    let history = run_of(
        &start,
        vec![
            fetch(0),
            completed(2, &json!({"number": 0, "text": first})),
            message("two"),
            message("four"),
            fetch(1),
            completed(6, &json!({"number": 1, "text": second})),
            appended(&decisions(1, &[("three", ACCEPTED), ("four", ACCEPTED)])),
        ],
    );
    assert_eq!(user_messages(&history), turns(&[("four", 4)]));
}

#[test]
fn messages_that_wait_keep_their_turns_in_a_paged_state() {
    let mut start = new_task();
    start["state"] = inherited_state();
    let reference = |id: &str| json!({"ref": {"message": id}});
    let page = [reference("one"), reference("two"), reference("three")];
    start["state"]["pages"] = json!({"run_id": "before", "pages": [page], "queued": 2});
    let request = json!({"run_id": "before", "first": 0, "segments": page});
    let history = run_of(
        &start,
        vec![
            scheduled(ActivityKind::FetchStatePage, "1", &request),
            message("four"),
            completed(2, &json!([user(1, "one"), user(2, "two"), user(3, "three")])),
            appended(&decisions(2, &[("four", ACCEPTED)])),
        ],
    );
    let mut found = user_messages(&history);
    found.sort_by_key(|(_, turn)| *turn);
    assert_eq!(found, turns(&[("one", 1), ("two", 2), ("three", 3), ("four", 4)]));
    let view = HistoryView::read(&history).unwrap();
    let waiting: Vec<&str> = view.inbox.queued().map(|message| message.message_id.as_str()).collect();
    assert_eq!(waiting, ["two", "three", "four"]);
}

#[test]
fn records_results_of_steps_and_parts_of_answers_are_found() {
    let recorded = json!({"segments": [{
        "turn": 1, "step": 0, "at": "2026-01-01T00:00:00Z",
        "kind": "tool", "index": 0, "output": {"call_id": "c", "name": "t", "content": "long"},
    }]});
    let part = |number: u32, text: &str| {
        let part = json!({"activity_id": "m1.0", "attempt": 2, "number": number, "text": text});
        Attributes::WorkflowExecutionSignaledEventAttributes(WorkflowExecutionSignaledEventAttributes {
            signal_name: SIGNAL_ANSWER_PART.to_owned(),
            input: Some(pack(&part).unwrap().into()),
            ..WorkflowExecutionSignaledEventAttributes::default()
        })
    };
    let call = json!({
        "turn": 1, "step": 0, "base": 0, "new": [], "revision": "a-1", "now": "2026-01-01T00:00:00Z",
    });
    let answer = json!({"item_parts": {"attempt": 2, "count": 2}, "usage": {}, "log": {}});
    let history = run_of(
        &new_task(),
        vec![
            scheduled(ActivityKind::InvokeModel, "m1.0", &call),
            part(1, "\"message\"}]"),
            part(0, "[{\"type\":"),
            completed(2, &answer),
            scheduled(ActivityKind::CallHttpStep, "t1.0.0/first", &json!({})),
            completed(6, &json!({"content": {"found": 7}})),
            scheduled(ActivityKind::CallHttpStep, "t1.0.0/first~undo", &json!({})),
            completed(8, &json!({"content": "undone"})),
            scheduled(ActivityKind::RecordInHistory, "r", &recorded),
        ],
    );
    let view = HistoryView::read(&history).unwrap();
    let Body::Model { items, .. } = &view.segments[&SegmentRef::Model(1, 0)].body else {
        panic!("no answer");
    };
    assert_eq!(items, &[json!({"type": "message"})]);
    assert_eq!(
        view.steps,
        BTreeMap::from([("t1.0.0/first".to_owned(), json!({"found": 7}))])
    );
    assert!(view.segments.contains_key(&SegmentRef::Tool(1, 0, 0)));
    assert_eq!(view.shown.len(), 2);
}
