//! How a task's history grows: one long turn of many model calls, each with a
//! tool result, on a conversation that starts with a long text.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use steadfast_log::TurnStatus;

use super::prose::{Prose, compression_ratio, ratio};
use crate::scratch::Scratch;
use crate::scripted_model::{Gate, ModelRequest, Reply};
use crate::stack::{AgentSetup, PATIENCE, Stack, Task, activity_tool};

const TASK_QUEUE: &str = "history-tools";

/// How big it is to be.
#[derive(Clone, Copy, Debug)]
pub struct HistoryOptions {
    /// Model calls that ask for a tool; one more answers.
    pub model_calls: usize,
    pub tool_result_bytes: usize,
    pub starting_text_bytes: usize,
}

impl Default for HistoryOptions {
    fn default() -> Self {
        Self {
            model_calls: 100,
            tool_result_bytes: 5_000,
            starting_text_bytes: 835_000,
        }
    }
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct HistoryReport {
    pub model_calls: usize,
    pub tool_result_bytes: usize,
    pub starting_text_bytes: usize,
    /// How well zstd compresses the starting text.
    pub starting_text_zstd_ratio: f64,
    /// History of the whole run chain when the first model call was under way.
    pub history_bytes_before: usize,
    pub history_bytes_after: usize,
    pub history_events_after: usize,
    /// Events of the last run by type.
    pub events_by_type: BTreeMap<String, usize>,
    /// Runs in the chain.
    pub runs: usize,
    /// JSON of the items that joined the conversation in between.
    pub new_item_bytes: usize,
    /// Growth of the history per byte of new items.
    pub growth_ratio: f64,
    pub seconds: f64,
    /// From one model call to the next, on average over the first and the last tenth of the calls; the scripted
    /// model's own time to read an ever longer conversation is part of it.
    pub milliseconds_per_call_at_first: f64,
    pub milliseconds_per_call_at_last: f64,
}

/// Runs it on a stack with nothing else on it.
pub async fn run(stack: &Stack, options: HistoryOptions) -> anyhow::Result<HistoryReport> {
    let mut prose = Prose::new(42);
    let starting_text = prose.text(options.starting_text_bytes);
    let pages = Scratch::new("pages")?;
    let file = pages.path().join("pages.txt");
    std::fs::write(&file, prose.text(options.tool_result_bytes * options.model_calls)).context("write the pages")?;
    let script_file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/tools.py");
    let variables = [
        ("TASK_QUEUE", TASK_QUEUE),
        ("PAGES", file.to_str().context("a path that is text")?),
    ];
    let _tools = stack.python_worker(&script_file, &variables)?;

    let first = Gate::closed();
    let sizes = Sizes::default();
    let properties = json!({"number": {"type": "integer"}, "size": {"type": "integer"}});
    let setup = AgentSetup::new("history", script(options, first.clone(), sizes.clone()))
        .tool("page", activity_tool("page", TASK_QUEUE, &properties))
        .configure(|spec| {
            spec.limits.max_model_calls_per_turn = 10_000;
            // Nothing is summed up: the window is larger than all that is said.
            spec.context.window_tokens = 1_000_000_000;
        });
    let agent = stack.agent(setup).await?;
    let task = agent.task().await?;
    let started = Instant::now();
    task.send(&starting_text).await?;
    first.reached(PATIENCE).await?;
    let before = chain(stack, &task).await?;
    first.open();
    until_answered(&agent, options).await?;
    let end = task.turn_ended(1).await?;
    ensure!(end.status == TurnStatus::Completed, "the turn ended so: {end:?}");
    let seconds = started.elapsed().as_secs_f64();
    let after = chain(stack, &task).await?;
    ensure!(
        agent.model().violations().is_empty(),
        "{:?}",
        agent.model().violations()
    );

    let new_item_bytes = sizes.new_item_bytes();
    let received: Vec<Instant> = agent.model().journal().iter().map(|call| call.received_at).collect();
    let tenth = (received.len() / 10).max(2).min(received.len());
    Ok(HistoryReport {
        model_calls: options.model_calls,
        tool_result_bytes: options.tool_result_bytes,
        starting_text_bytes: options.starting_text_bytes,
        starting_text_zstd_ratio: compression_ratio(&starting_text)?,
        history_bytes_before: before.bytes,
        history_bytes_after: after.bytes,
        history_events_after: after.events,
        events_by_type: events_by_type(stack, &task).await?,
        runs: after.runs,
        new_item_bytes,
        growth_ratio: ratio(after.bytes.saturating_sub(before.bytes), new_item_bytes),
        seconds,
        milliseconds_per_call_at_first: milliseconds_per_call(&received[..tenth]),
        milliseconds_per_call_at_last: milliseconds_per_call(&received[received.len() - tenth..]),
    })
}

/// The mean distance of neighbours.
fn milliseconds_per_call(received: &[Instant]) -> f64 {
    match (received.first(), received.last()) {
        (Some(first), Some(last)) if received.len() > 1 => {
            #[expect(clippy::cast_precision_loss, reason = "a count of calls")]
            let distances = (received.len() - 1) as f64;
            last.duration_since(*first).as_secs_f64() * 1_000.0 / distances
        }
        _ => 0.0,
    }
}

/// A long turn is given as long as it makes progress.
async fn until_answered(agent: &crate::stack::Agent, options: HistoryOptions) -> anyhow::Result<()> {
    for calls in (1..=options.model_calls + 1).step_by(10) {
        agent.model().until_calls(calls, PATIENCE).await?;
    }
    Ok(())
}

/// Asks for page after page, then answers.
fn script(options: HistoryOptions, first: Gate, sizes: Sizes) -> impl Fn(&ModelRequest) -> Reply + Send + Sync {
    move |request| {
        let pages_read = request.tool_outputs().len();
        sizes.note(request);
        if pages_read < options.model_calls {
            let arguments = json!({"number": pages_read, "size": options.tool_result_bytes});
            Reply::stream().and_hold(&first).and_call("page", &arguments)
        } else {
            Reply::text(format!("I have read {pages_read} pages."))
        }
    }
}

/// The size of the conversation in the first and in the latest request.
#[derive(Clone, Debug, Default)]
struct Sizes(Arc<(Mutex<Option<usize>>, AtomicUsize)>);

impl Sizes {
    fn note(&self, request: &ModelRequest) {
        let size = request.input().iter().map(|item| item.to_string().len()).sum();
        self.0
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(size);
        self.0.1.store(size, Ordering::Relaxed);
    }

    fn new_item_bytes(&self) -> usize {
        let first = self
            .0
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .unwrap_or_default();
        self.0.1.load(Ordering::Relaxed) - first
    }
}

#[derive(Clone, Copy, Debug)]
struct Chain {
    runs: usize,
    events: usize,
    bytes: usize,
}

/// The histories of all runs of a task.
async fn chain(stack: &Stack, task: &Task) -> anyhow::Result<Chain> {
    let mut chain = Chain {
        runs: 0,
        events: 0,
        bytes: 0,
    };
    let mut run_id: Option<String> = None;
    loop {
        let mut arguments = vec!["workflow", "describe", "--output", "json", "--workflow-id", task.id()];
        if let Some(run_id) = &run_id {
            arguments.extend(["--run-id", run_id]);
        }
        let described: Value = serde_json::from_str(&stack.temporal().cli(&arguments).await?)
            .context("read what the command line tool says of a workflow")?;
        let info = &described["workflowExecutionInfo"];
        chain.runs += 1;
        chain.events += number(&info["historyLength"])?;
        chain.bytes += number(&info["historySizeBytes"])?;
        let this = info["execution"]["runId"].as_str().context("a run has an id")?;
        match previous_run(stack, task, this).await? {
            Some(previous) => run_id = Some(previous),
            None => return Ok(chain),
        }
    }
}

/// What the newest run's history is made of; activities are told apart.
async fn events_by_type(stack: &Stack, task: &Task) -> anyhow::Result<BTreeMap<String, usize>> {
    let history = show(stack, task, None).await?;
    let mut counts = BTreeMap::new();
    for event in history["events"].as_array().context("a history has events")? {
        let kind = event["eventType"].as_str().unwrap_or_default();
        let activity = event["activityTaskScheduledEventAttributes"]["activityType"]["name"].as_str();
        let name = activity.map_or_else(|| kind.to_owned(), |activity| format!("{kind} {activity}"));
        *counts.entry(name).or_insert(0) += 1;
    }
    Ok(counts)
}

/// The run that continued as this one, if there was one.
async fn previous_run(stack: &Stack, task: &Task, run_id: &str) -> anyhow::Result<Option<String>> {
    let history = show(stack, task, Some(run_id)).await?;
    let started = &history["events"][0]["workflowExecutionStartedEventAttributes"];
    let previous = started["continuedExecutionRunId"].as_str().filter(|id| !id.is_empty());
    Ok(previous.map(str::to_owned))
}

/// The history of a run, the newest one unless it is named.
async fn show(stack: &Stack, task: &Task, run_id: Option<&str>) -> anyhow::Result<Value> {
    let mut arguments = vec!["workflow", "show", "--output", "json", "--workflow-id", task.id()];
    arguments.extend(run_id.map(|run_id| ["--run-id", run_id]).iter().flatten());
    serde_json::from_str(&stack.temporal().cli(&arguments).await?).context("read a history")
}

/// 64-bit numbers are strings in this JSON.
fn number(value: &Value) -> anyhow::Result<usize> {
    match value {
        Value::String(text) => text.parse().context("read a number"),
        Value::Number(number) => number
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .context("a number"),
        other => bail!("{other} is no number"),
    }
}
