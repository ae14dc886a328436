//! One turn at a time: model call, tool calls, model call, … until the agent
//! has answered or something ends the turn. Budgets are counted here.

use serde::{Deserialize, Serialize};

use crate::tool_call::ToolCall;

/// Bounds of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Model calls in one turn; the one beyond it is not made.
    pub max_model_calls_per_turn: u32,
}

/// Names a step of a task: turns count from 1, steps of a turn from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StepId {
    pub turn: u32,
    pub step: u32,
}

/// What to do next. Exhaustive on purpose: a new step must break every driver.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// No turn runs.
    AwaitMessage,
    /// Send the transcript to the model; answer with [`Input::ModelAnswered`] or [`Input::Failed`].
    CallModel(StepId),
    /// Run these calls, all at once; answer with [`Input::ToolsFinished`] or [`Input::Failed`].
    CallTools(StepId, Vec<ToolCall>),
    /// The turn is over; answer with [`Input::TurnClosed`].
    Done(TurnOutcome),
}

/// What has happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A message is taken from the queue.
    TurnStarted {
        turn: u32,
        limits: Limits,
    },
    ModelAnswered(ModelAnswer),
    /// Every call of the step has an output.
    ToolsFinished,
    /// The running step failed for good, or the turn was stopped from outside.
    Failed(Failure),
    /// The end of the turn is recorded.
    TurnClosed,
}

/// What of a model's answer decides the next step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelAnswer {
    /// The tool calls in the order the model made them.
    pub calls: Vec<ToolCall>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum TurnOutcome {
    Completed,
    Failed { category: String, message: String },
    Interrupted,
    Canceled,
}

/// Why a step did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    Error { category: String, message: String },
    Interrupted,
    Canceled,
}

/// Category of a turn that used up its model calls.
pub const MAX_MODEL_CALLS: &str = "max_model_calls";

/// The loop.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentRun {
    state: State,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum State {
    #[default]
    Idle,
    CallingModel {
        id: StepId,
        limits: Limits,
    },
    CallingTools {
        id: StepId,
        limits: Limits,
        calls: Vec<ToolCall>,
    },
    Ended {
        outcome: TurnOutcome,
    },
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::CallingModel { .. } => "calling the model",
            Self::CallingTools { .. } => "calling tools",
            Self::Ended { .. } => "ended",
        }
    }
}

/// The driver told the loop something that cannot have happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{input} cannot happen while {state}")]
pub struct ProtocolViolation {
    input: &'static str,
    state: &'static str,
}

impl AgentRun {
    /// What to do next; asking twice changes nothing.
    pub fn next_step(&self) -> Step {
        match &self.state {
            State::Idle => Step::AwaitMessage,
            State::CallingModel { id, .. } => Step::CallModel(*id),
            State::CallingTools { id, calls, .. } => Step::CallTools(*id, calls.clone()),
            State::Ended { outcome } => Step::Done(outcome.clone()),
        }
    }

    /// Takes in what has happened. After an error nothing has changed.
    pub fn record(&mut self, input: Input) -> Result<(), ProtocolViolation> {
        let next = match (&self.state, input) {
            (State::Idle, Input::TurnStarted { turn, limits }) => call_model(StepId { turn, step: 0 }, limits),
            (State::CallingModel { id, limits }, Input::ModelAnswered(answer)) => after_model(*id, *limits, answer),
            (State::CallingTools { id, limits, .. }, Input::ToolsFinished) => call_model(
                StepId {
                    turn: id.turn,
                    step: id.step + 1,
                },
                *limits,
            ),
            (State::CallingModel { .. } | State::CallingTools { .. }, Input::Failed(failure)) => State::Ended {
                outcome: failure.into(),
            },
            (State::Ended { .. }, Input::TurnClosed) => State::Idle,
            (state, input) => {
                return Err(ProtocolViolation {
                    input: input.name(),
                    state: state.name(),
                });
            }
        };
        self.state = next;
        Ok(())
    }
}

fn call_model(id: StepId, limits: Limits) -> State {
    if id.step < limits.max_model_calls_per_turn {
        return State::CallingModel { id, limits };
    }
    State::Ended {
        outcome: TurnOutcome::Failed {
            category: MAX_MODEL_CALLS.to_owned(),
            message: format!(
                "the agent made {} model calls in this turn and has not finished; raise limits.maxModelCallsPerTurn if it should go on",
                limits.max_model_calls_per_turn
            ),
        },
    }
}

/// Any call at all, also one that is refused, goes back to the model: it must see an output for each.
fn after_model(id: StepId, limits: Limits, answer: ModelAnswer) -> State {
    if answer.calls.is_empty() {
        return State::Ended {
            outcome: TurnOutcome::Completed,
        };
    }
    State::CallingTools {
        id,
        limits,
        calls: answer.calls,
    }
}

impl Input {
    fn name(&self) -> &'static str {
        match self {
            Self::TurnStarted { .. } => "the start of a turn",
            Self::ModelAnswered(_) => "a model's answer",
            Self::ToolsFinished => "the end of tool calls",
            Self::Failed(_) => "a failed step",
            Self::TurnClosed => "the close of a turn",
        }
    }
}

impl From<Failure> for TurnOutcome {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Error { category, message } => Self::Failed { category, message },
            Failure::Interrupted => Self::Interrupted,
            Failure::Canceled => Self::Canceled,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::tool_call::Verdict;

    const LIMITS: Limits = Limits {
        max_model_calls_per_turn: 3,
    };

    fn call(id: &str) -> ToolCall {
        ToolCall {
            index: 0,
            call_id: id.to_owned(),
            name: "get_weather".to_owned(),
            verdict: Verdict::Run,
        }
    }

    fn started() -> AgentRun {
        let mut run = AgentRun::default();
        run.record(Input::TurnStarted {
            turn: 1,
            limits: LIMITS,
        })
        .unwrap();
        run
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
        }))
        .unwrap();
        assert_eq!(
            run.next_step(),
            Step::CallTools(StepId { turn: 1, step: 0 }, vec![call("a"), call("b")])
        );
        run.record(Input::ToolsFinished).unwrap();
        assert_eq!(run.next_step(), Step::CallModel(StepId { turn: 1, step: 1 }));
    }

    #[test]
    fn the_call_beyond_the_budget_is_not_made() {
        let mut run = started();
        for _ in 0..LIMITS.max_model_calls_per_turn {
            run.record(Input::ModelAnswered(ModelAnswer { calls: vec![call("a")] }))
                .unwrap();
            run.record(Input::ToolsFinished).unwrap();
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
        })
        .unwrap();
        assert_eq!(run.next_step(), Step::CallModel(StepId { turn: 2, step: 0 }));
    }

    #[test]
    fn what_cannot_have_happened_is_refused_and_changes_nothing() {
        let mut run = started();
        let before = run.clone();
        let error = run.record(Input::ToolsFinished).unwrap_err();
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
            (1..5_u32).prop_map(|turn| Input::TurnStarted { turn, limits: LIMITS }),
            (0..3_usize).prop_map(|count| Input::ModelAnswered(ModelAnswer {
                calls: vec![call("a"); count]
            })),
            Just(Input::ToolsFinished),
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
}
