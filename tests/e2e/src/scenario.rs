//! Scenarios: tests that run on every backend.

pub mod prompt_edit;
pub mod python_client;
pub mod services;
pub mod worker_loss;

use steadfast_events::{TurnStatus, Usage};
use steadfast_testkit::{scripted_model::USAGE, stack::TurnEnd};

/// The end of a completed turn with this many model calls.
pub fn completed(model_calls: u32) -> TurnEnd {
    let calls = u64::from(model_calls);
    TurnEnd {
        status: TurnStatus::Completed,
        error: None,
        usage: Usage {
            input_tokens: calls * USAGE.input,
            cached_input_tokens: calls * USAGE.cached,
            output_tokens: calls * USAGE.output,
            reasoning_tokens: calls * USAGE.reasoning,
            model_calls,
        },
    }
}
