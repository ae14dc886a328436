//! The measured conversation: one turn that calls a tool again and again.

use std::{num::NonZeroUsize, time::Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::{
    HistoryOptions, TASK_QUEUE,
    run_chain::{self, RunChain},
};
use crate::{
    scripted_model::{Gate, ModelCall, ModelRequest, Reply},
    stack::{Agent, AgentSetup, Stack, TIMEOUT, Task, activity_tool},
};

/// A task after its turn.
pub(super) struct Conversation {
    pub(super) task: Task,
    pub(super) calls: Vec<ModelCall>,
    /// During the first model call.
    pub(super) before: RunChain,
    pub(super) seconds: f64,
}

/// Runs one turn of a new agent.
pub(super) async fn run(
    stack: &Stack,
    agent: &str,
    options: HistoryOptions,
    starting_text: &str,
) -> anyhow::Result<Conversation> {
    let first = Gate::closed();
    let properties = json!({"number": {"type": "integer"}, "size": {"type": "integer"}});
    let setup = AgentSetup::new(agent, script(options, first.clone()))
        .tool("page", activity_tool("page", TASK_QUEUE, &properties))
        .configure(|spec| {
            spec.limits.max_model_calls_per_turn = 10_000;
            // Larger than the conversation, so that it is never compacted.
            spec.context.window_tokens = 1_000_000_000;
        });
    let agent = stack.agent(setup).await?;
    // The model server parses only the first request and the last one, which contains all items: its own
    // speed must not be measured.
    let between = NonZeroUsize::new(options.model_calls).context("read the number of model calls")?;
    agent.model().read_one_in(between);
    let task = agent.task().await?;
    let started = Instant::now();
    task.send(starting_text).await?;
    first.reached(TIMEOUT).await?;
    let before = run_chain::totals(stack, &task).await?;
    first.open();
    until_all_calls(&agent, options).await?;
    task.turn_completed(1).await?;
    let seconds = started.elapsed().as_secs_f64();
    let violations = agent.model().violations();
    ensure!(violations.is_empty(), "{violations:?}");
    Ok(Conversation {
        task,
        calls: agent.model().journal(),
        before,
        seconds,
    })
}

/// JSON of the items that the last request contains and the first one does not.
pub(super) fn new_item_bytes(calls: &[ModelCall]) -> anyhow::Result<usize> {
    let (first, last) = calls.first().zip(calls.last()).context("find the model calls")?;
    ensure!(
        !last.request.body.is_null(),
        "the model server has not parsed the last request"
    );
    let new = last.request.input().iter().skip(first.request.input().len());
    Ok(new.map(|item| item.to_string().len()).sum())
}

/// Waits for ten calls at a time, as the turn takes longer than one time limit.
async fn until_all_calls(agent: &Agent, options: HistoryOptions) -> anyhow::Result<()> {
    for calls in (1..=options.model_calls + 1).step_by(10) {
        agent.model().until_calls(calls, TIMEOUT).await?;
    }
    Ok(())
}

/// Reads one page per call, then answers.
fn script(options: HistoryOptions, first: Gate) -> impl Fn(&ModelRequest) -> Reply + Send + Sync {
    move |request| {
        let pages_read = request.number - 1;
        if pages_read < options.model_calls {
            let arguments = json!({"number": pages_read, "size": options.tool_result_bytes});
            Reply::stream().and_hold(&first).and_call("page", &arguments)
        } else {
            Reply::text(format!("I have read {pages_read} pages."))
        }
    }
}
