//! Rules of the loop.
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::tool_call::{CallDisposition, CallKind};

const LIMITS: Limits = Limits {
    max_model_calls_per_turn: 3,
};

fn call(id: &str) -> ToolCall {
    ToolCall {
        index: 0,
        call_id: id.to_owned(),
        name: "get_weather".to_owned(),
        kind: CallKind::Function,
        disposition: CallDisposition::Run,
    }
}

fn started() -> AgentRun {
    let mut run = AgentRun::default();
    run.record(Input::TurnStarted {
        turn: 1,
        limits: LIMITS,
        guarded: Guarded::No,
    })
    .unwrap();
    run
}

#[test]
fn an_answer_that_asks_for_what_nothing_provides_fails_the_turn_and_runs_no_call() {
    let mut run = started();
    run.record(Input::ModelAnswered(ModelAnswer {
        calls: vec![call("c")],
        unsupported: Some("shell_call".to_owned()),
        ..ModelAnswer::default()
    }))
    .unwrap();
    let Step::Done(TurnOutcome::Failed { category, message }) = run.next_step() else {
        panic!("{run:?}")
    };
    assert_eq!(category, UNSUPPORTED_OUTPUT);
    assert!(message.contains("shell_call"), "{message}");
}

#[test]
fn an_answer_without_calls_completes_the_turn() {
    let mut run = started();
    assert_eq!(run.next_step(), Step::CallModel(StepId { turn: 1, step: 0 }));
    run.record(Input::ModelAnswered(ModelAnswer::default())).unwrap();
    assert_eq!(run.next_step(), Step::Done(TurnOutcome::Completed));
    run.record(Input::TurnClosed).unwrap();
    assert_eq!(run.next_step(), Step::AwaitMessage);
}

#[test]
fn tool_outputs_go_back_to_the_model() {
    let mut run = started();
    run.record(Input::ModelAnswered(ModelAnswer {
        calls: vec![call("a"), call("b")],
        ..ModelAnswer::default()
    }))
    .unwrap();
    assert_eq!(
        run.next_step(),
        Step::CallTools(StepId { turn: 1, step: 0 }, vec![call("a"), call("b")])
    );
    run.record(Input::ToolsFinished(AfterTools::CallModel)).unwrap();
    assert_eq!(run.next_step(), Step::CallModel(StepId { turn: 1, step: 1 }));
}

#[test]
fn the_call_beyond_the_budget_is_not_made() {
    let mut run = started();
    for _ in 0..LIMITS.max_model_calls_per_turn {
        run.record(Input::ModelAnswered(ModelAnswer {
            calls: vec![call("a")],
            ..ModelAnswer::default()
        }))
        .unwrap();
        run.record(Input::ToolsFinished(AfterTools::CallModel)).unwrap();
    }
    let Step::Done(TurnOutcome::Failed { category, .. }) = run.next_step() else {
        panic!("not failed")
    };
    assert_eq!(category, MAX_MODEL_CALLS);
}

#[test]
fn a_failed_turn_leaves_the_task_usable() {
    let mut run = started();
    run.record(Input::Failed(Failure::Interrupted)).unwrap();
    assert_eq!(run.next_step(), Step::Done(TurnOutcome::Interrupted));
    run.record(Input::TurnClosed).unwrap();
    run.record(Input::TurnStarted {
        turn: 2,
        limits: LIMITS,
        guarded: Guarded::No,
    })
    .unwrap();
    assert_eq!(run.next_step(), Step::CallModel(StepId { turn: 2, step: 0 }));
}

#[test]
fn what_cannot_have_happened_is_refused_and_changes_nothing() {
    let mut run = started();
    let before = run.clone();
    let error = run.record(Input::ToolsFinished(AfterTools::CallModel)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the end of tool calls cannot happen while calling the model"
    );
    assert_eq!(run, before);
}

#[test]
fn the_serialised_form_of_each_state_is_fixed() {
    let run = started();
    assert_eq!(
        serde_json::to_value(&run).unwrap(),
        json!({"state": {"state": "calling_model", "id": {"turn": 1, "step": 0}, "limits": {"max_model_calls_per_turn": 3}}})
    );
}

fn any_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        (1..5_u32).prop_map(|turn| Input::TurnStarted {
            turn,
            limits: LIMITS,
            guarded: Guarded::No
        }),
        (0..3_usize).prop_map(|count| Input::ModelAnswered(ModelAnswer {
            calls: vec![call("a"); count],
            ..ModelAnswer::default()
        })),
        Just(Input::ToolsFinished(AfterTools::CallModel)),
        Just(Input::Failed(Failure::Canceled)),
        Just(Input::TurnClosed),
    ]
}

proptest! {
    #[test]
    fn a_run_goes_on_from_its_serialised_form_as_if_nothing_had_happened(inputs in prop::collection::vec(any_input(), 0..40)) {
        let mut run = AgentRun::default();
        for input in inputs {
            let mut revived: AgentRun = serde_json::from_str(&serde_json::to_string(&run).unwrap()).unwrap();
            prop_assert_eq!(revived.next_step(), run.next_step());
            prop_assert_eq!(revived.record(input.clone()), run.record(input));
            prop_assert_eq!(revived, run.clone());
        }
    }
}
