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
    /// Check the person's message; answer with [`Input::InputPassed`] or [`Input::Failed`].
    CheckInput(StepId),
    /// Compact the transcript; answer with [`Input::Compacted`] or [`Input::Failed`].
    Compact(StepId),
    /// Send the transcript to the model; answer with [`Input::ModelAnswered`], [`Input::WindowFull`] or [`Input::Failed`].
    CallModel(StepId),
    /// Run these calls, all at once; answer with [`Input::ToolsFinished`] or [`Input::Failed`].
    CallTools(StepId, Vec<ToolCall>),
    /// Hand the turn off to this agent; answer with [`Input::HandedOff`] or [`Input::Failed`].
    HandOff(StepId, String),
    /// Check the final answer; answer with [`Input::OutputPassed`] or [`Input::Failed`].
    CheckOutput(StepId),
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
        guarded: Guarded,
    },
    InputPassed,
    /// The transcript no longer fits the model's window.
    WindowFull,
    Compacted,
    ModelAnswered(ModelAnswer),
    /// Every call of the step has an output.
    ToolsFinished(AfterTools),
    HandedOff,
    OutputPassed,
    /// The running step failed for good, or the turn was stopped from outside.
    Failed(Failure),
    /// The end of the turn is recorded.
    TurnClosed,
}

/// Whether a guardrail runs before the next step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guarded {
    #[default]
    No,
    Yes,
}

/// The parts of a model's answer that decide the next step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelAnswer {
    /// The tool calls in the order the model made them.
    pub calls: Vec<ToolCall>,
    /// The type of an item that asks for something that nothing here answers.
    #[serde(default)]
    pub unsupported: Option<String>,
    /// Why a final answer does not match `output.schema`.
    #[serde(default)]
    pub rejected: Option<String>,
    /// Whether a final answer is checked before the turn ends.
    #[serde(default)]
    pub guarded: Guarded,
}

/// Where a turn goes when its tool calls are done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterTools {
    /// The model gets the results.
    #[default]
    CallModel,
    /// Another agent takes over.
    HandOff(String),
    /// A result is the final answer.
    Stop,
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
/// Category of a turn whose final answer never matched `output.schema`.
pub const OUTPUT_INVALID: &str = "output_invalid";
/// Category of a turn whose model asked for something that nothing here answers.
pub const UNSUPPORTED_OUTPUT: &str = "unsupported_output";
/// Final answers that do not match `output.schema` and go back to the model in one turn.
const MAX_REJECTIONS: u32 = 2;

/// The loop.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentRun {
    state: State,
}

/// The counters of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Budget {
    id: StepId,
    limits: Limits,
    /// Final answers that went back to the model.
    #[serde(default, skip_serializing_if = "is_zero")]
    rejections: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum State {
    #[default]
    Idle,
    CheckingInput {
        #[serde(flatten)]
        budget: Budget,
    },
    Compacting {
        #[serde(flatten)]
        budget: Budget,
    },
    CallingModel {
        #[serde(flatten)]
        budget: Budget,
    },
    CallingTools {
        #[serde(flatten)]
        budget: Budget,
        calls: Vec<ToolCall>,
    },
    HandingOff {
        #[serde(flatten)]
        budget: Budget,
        to: String,
    },
    CheckingOutput {
        #[serde(flatten)]
        budget: Budget,
    },
    Ended {
        outcome: TurnOutcome,
    },
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::CheckingInput { .. } => "checking the input",
            Self::Compacting { .. } => "compacting",
            Self::CallingModel { .. } => "calling the model",
            Self::CallingTools { .. } => "calling tools",
            Self::HandingOff { .. } => "handing off",
            Self::CheckingOutput { .. } => "checking the output",
            Self::Ended { .. } => "ended",
        }
    }

    fn is_running(&self) -> bool {
        !matches!(self, Self::Idle | Self::Ended { .. })
    }
}

/// The driver recorded an input that is impossible in the present state.
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
            State::CheckingInput { budget } => Step::CheckInput(budget.id),
            State::Compacting { budget } => Step::Compact(budget.id),
            State::CallingModel { budget } => Step::CallModel(budget.id),
            State::CallingTools { budget, calls } => Step::CallTools(budget.id, calls.clone()),
            State::HandingOff { budget, to } => Step::HandOff(budget.id, to.clone()),
            State::CheckingOutput { budget } => Step::CheckOutput(budget.id),
            State::Ended { outcome } => Step::Done(outcome.clone()),
        }
    }

    /// Takes in what has happened. After an error nothing has changed.
    pub fn record(&mut self, input: Input) -> Result<(), ProtocolViolation> {
        let next = match (&self.state, input) {
            (State::Idle, Input::TurnStarted { turn, limits, guarded }) => {
                let budget = Budget {
                    id: StepId { turn, step: 0 },
                    limits,
                    rejections: 0,
                };
                match guarded {
                    Guarded::Yes => State::CheckingInput { budget },
                    Guarded::No => call_model(budget),
                }
            }
            (State::CheckingInput { budget }, Input::InputPassed) => call_model(*budget),
            (State::CallingModel { budget }, Input::WindowFull) => State::Compacting { budget: *budget },
            (State::Compacting { budget }, Input::Compacted) => State::CallingModel { budget: *budget },
            (State::CallingModel { budget }, Input::ModelAnswered(answer)) => after_model(*budget, answer),
            (State::CallingTools { budget, .. }, Input::ToolsFinished(after)) => match after {
                AfterTools::CallModel => call_model(budget.next()),
                AfterTools::HandOff(to) => State::HandingOff { budget: *budget, to },
                AfterTools::Stop => State::completed(),
            },
            (State::HandingOff { budget, .. }, Input::HandedOff) => call_model(budget.next()),
            (State::CheckingOutput { .. }, Input::OutputPassed) => State::completed(),
            (state, Input::Failed(failure)) if state.is_running() => State::Ended {
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

impl State {
    fn completed() -> Self {
        Self::Ended {
            outcome: TurnOutcome::Completed,
        }
    }

    fn failed(category: &str, message: String) -> Self {
        Self::Ended {
            outcome: TurnOutcome::Failed {
                category: category.to_owned(),
                message,
            },
        }
    }
}

impl Budget {
    fn next(self) -> Self {
        Self {
            id: StepId {
                turn: self.id.turn,
                step: self.id.step + 1,
            },
            ..self
        }
    }
}

fn call_model(budget: Budget) -> State {
    if budget.id.step < budget.limits.max_model_calls_per_turn {
        return State::CallingModel { budget };
    }
    State::failed(
        MAX_MODEL_CALLS,
        format!(
            "the agent made {} model calls in this turn and has not finished; raise limits.maxModelCallsPerTurn if it should go on",
            budget.limits.max_model_calls_per_turn
        ),
    )
}

/// Any call at all, also one that is refused, goes back to the model: it must see an output for each.
fn after_model(budget: Budget, answer: ModelAnswer) -> State {
    if let Some(kind) = answer.unsupported {
        return State::failed(
            UNSUPPORTED_OUTPUT,
            format!(
                "the model's answer asks for the result of an item of type {kind:?}, which nothing here provides; \
                 take the tool that leads to it out of the agent's hosted tools or model.settings.extraBody"
            ),
        );
    }
    if !answer.calls.is_empty() {
        return State::CallingTools {
            budget,
            calls: answer.calls,
        };
    }
    match (answer.rejected, answer.guarded) {
        (Some(reason), _) if budget.rejections == MAX_REJECTIONS => State::failed(
            OUTPUT_INVALID,
            format!(
                "the model's answer does not have the form of output.schema, also when asked redelivered: {reason}"
            ),
        ),
        (Some(_), _) => call_model(Budget {
            rejections: budget.rejections + 1,
            ..budget.next()
        }),
        (None, Guarded::Yes) => State::CheckingOutput { budget },
        (None, Guarded::No) => State::completed(),
    }
}

impl Input {
    fn name(&self) -> &'static str {
        match self {
            Self::TurnStarted { .. } => "the start of a turn",
            Self::InputPassed => "a passed check of the input",
            Self::WindowFull => "a full window",
            Self::Compacted => "a summary",
            Self::ModelAnswered(_) => "a model's answer",
            Self::ToolsFinished(_) => "the end of tool calls",
            Self::HandedOff => "a handoff",
            Self::OutputPassed => "a passed check of the output",
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
mod tests;
