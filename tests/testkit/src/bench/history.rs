//! How a task's history grows: one long turn of many model calls, each with a
//! tool result, on a conversation that starts with a long text.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use steadfast_events::TurnStatus;

use super::prose::{Prose, compression_ratio, ratio, rounded};
use crate::scratch::Scratch;
use crate::scripted_model::{Call, Gate, ModelRequest, Reply};
use crate::stack::{AgentSetup, PATIENCE, Stack, Task, activity_tool};
use crate::workspace;

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
    /// The first tenth of the calls.
    pub at_first: Tenth,
    /// The last tenth.
    pub at_last: Tenth,
    /// As many calls of another conversation with the same start, right after the last.
    pub at_first_again: Tenth,
    /// `median_milliseconds`, at last to the mean of both times at first.
    pub time_ratio: f64,
    /// `median_bytes`, at last to at first.
    pub bytes_ratio: f64,
}

/// What one model call costs, with the tool call before it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Tenth {
    /// From one call to the next.
    pub median_milliseconds: f64,
    pub mean_milliseconds: f64,
    /// History from one call to the next in the same run.
    pub median_bytes: usize,
}

/// Runs it on a stack with nothing else on it.
pub async fn run(stack: &Stack, options: HistoryOptions) -> anyhow::Result<HistoryReport> {
    let mut prose = Prose::new(42);
    let starting_text = prose.text(options.starting_text_bytes);
    let pages = Scratch::new("pages")?;
    let file = pages.path().join("pages.txt");
    std::fs::write(&file, prose.text(options.tool_result_bytes * options.model_calls)).context("write the pages")?;
    let script_file = workspace::root().join("tests/e2e/python/tools.py");
    let variables = [
        ("TASK_QUEUE", TASK_QUEUE),
        ("PAGES", file.to_str().context("a path that is text")?),
    ];
    let _tools = stack.python_worker(&script_file, &variables)?;

    let long = converse(stack, "history", options, &starting_text).await?;
    let calls = &long.calls;
    let tenth = (calls.len() / 10).max(2).min(calls.len());
    // The beginning once more, right after the end: a machine that becomes slower or faster meanwhile shows itself.
    let beginning = HistoryOptions {
        model_calls: tenth,
        ..options
    };
    let short = converse(stack, "history-again", beginning, &starting_text).await?;

    let after = chain(stack, &long.task).await?;
    let new_item_bytes = new_item_bytes(calls)?;
    let bytes = bytes_per_call(stack, &long.task).await?;
    let at_first = Tenth::of(&calls[..tenth], &bytes[..tenth.min(bytes.len())]);
    let at_last = Tenth::of(
        &calls[calls.len() - tenth..],
        &bytes[bytes.len() - tenth.min(bytes.len())..],
    );
    let at_first_again = Tenth::of(&short.calls, &bytes_per_call(stack, &short.task).await?);
    let begin_milliseconds = f64::midpoint(at_first.median_milliseconds, at_first_again.median_milliseconds);
    Ok(HistoryReport {
        model_calls: options.model_calls,
        tool_result_bytes: options.tool_result_bytes,
        starting_text_bytes: options.starting_text_bytes,
        starting_text_zstd_ratio: compression_ratio(&starting_text)?,
        history_bytes_before: long.before.bytes,
        history_bytes_after: after.bytes,
        history_events_after: after.events,
        events_by_type: events_by_type(stack, &long.task).await?,
        runs: after.runs,
        new_item_bytes,
        growth_ratio: ratio(after.bytes.saturating_sub(long.before.bytes), new_item_bytes),
        seconds: long.seconds,
        at_first,
        at_last,
        at_first_again,
        time_ratio: rounded(at_last.median_milliseconds / begin_milliseconds),
        bytes_ratio: ratio(at_last.median_bytes, at_first.median_bytes),
    })
}

/// A task after its one turn.
struct Conversation {
    task: Task,
    calls: Vec<Call>,
    /// When the first model call was under way.
    before: Chain,
    seconds: f64,
}

/// One turn of an agent of its own.
async fn converse(
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
            // Nothing is summed up: the window is larger than all that is said.
            spec.context.window_tokens = 1_000_000_000;
        });
    let agent = stack.agent(setup).await?;
    // Reads the first request and the last, which holds all the others: the model must not be what is measured.
    let between = NonZeroUsize::new(options.model_calls).context("there are no model calls to make")?;
    agent.model().read_one_in(between);
    let task = agent.task().await?;
    let started = Instant::now();
    task.send(starting_text).await?;
    first.reached(PATIENCE).await?;
    let before = chain(stack, &task).await?;
    first.open();
    until_answered(&agent, options).await?;
    let end = task.turn_ended(1).await?;
    ensure!(end.status == TurnStatus::Completed, "the turn ended so: {end:?}");
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

impl Tenth {
    fn of(calls: &[Call], bytes: &[usize]) -> Self {
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1_000.0;
        let distances: Vec<f64> = calls
            .windows(2)
            .map(|pair| milliseconds(pair[1].received_at.duration_since(pair[0].received_at)))
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "a count of calls")]
        let count = distances.len() as f64;
        Self {
            mean_milliseconds: rounded(distances.iter().sum::<f64>() / count),
            median_milliseconds: rounded(median(distances, f64::total_cmp)),
            median_bytes: median(bytes.to_vec(), Ord::cmp),
        }
    }
}

fn median<T: Copy + Default>(mut values: Vec<T>, order: impl FnMut(&T, &T) -> std::cmp::Ordering) -> T {
    values.sort_by(order);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// A long turn is given as long as it makes progress.
async fn until_answered(agent: &crate::stack::Agent, options: HistoryOptions) -> anyhow::Result<()> {
    for calls in (1..=options.model_calls + 1).step_by(10) {
        agent.model().until_calls(calls, PATIENCE).await?;
    }
    Ok(())
}

/// Asks for page after page, then answers.
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

/// JSON of the items that the last request has and the first had not.
fn new_item_bytes(calls: &[Call]) -> anyhow::Result<usize> {
    let (first, last) = calls.first().zip(calls.last()).context("the model was not called")?;
    ensure!(!last.request.body.is_null(), "the model did not read the last request");
    let new = last.request.input().iter().skip(first.request.input().len());
    Ok(new.map(|item| item.to_string().len()).sum())
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
        run_id = run_before(&stack.temporal().history(task.id(), Some(this)).await?);
        if run_id.is_none() {
            return Ok(chain);
        }
    }
}

/// What the newest run's history is made of; activities are told apart.
async fn events_by_type(stack: &Stack, task: &Task) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for event in stack.temporal().history(task.id(), None).await? {
        let kind = event["eventType"].as_str().unwrap_or_default();
        let activity = event["activityTaskScheduledEventAttributes"]["activityType"]["name"].as_str();
        let name = activity.map_or_else(|| kind.to_owned(), |activity| format!("{kind} {activity}"));
        *counts.entry(name).or_insert(0) += 1;
    }
    Ok(counts)
}

/// How much history there is between each model call and the next, for those in the same run.
async fn bytes_per_call(stack: &Stack, task: &Task) -> anyhow::Result<Vec<usize>> {
    let mut runs = Vec::new();
    let mut run_id: Option<String> = None;
    loop {
        let events = stack.temporal().history(task.id(), run_id.as_deref()).await?;
        let mut so_far = 0;
        let mut at_calls = Vec::new();
        for event in &events {
            let started = &event["workflowTaskStartedEventAttributes"]["historySizeBytes"];
            if !started.is_null() {
                so_far = number(started)?;
            }
            if event["activityTaskScheduledEventAttributes"]["activityType"]["name"] == "invoke_model_activity" {
                at_calls.push(so_far);
            }
        }
        runs.push(
            at_calls
                .windows(2)
                .map(|pair| pair[1] - pair[0])
                .collect::<Vec<usize>>(),
        );
        run_id = run_before(&events);
        if run_id.is_none() {
            runs.reverse();
            return Ok(runs.concat());
        }
    }
}

/// The run that continued as the one with this history, if there was one.
fn run_before(history: &[Value]) -> Option<String> {
    let started = &history.first()?["workflowExecutionStartedEventAttributes"];
    let before = started["continuedExecutionRunId"].as_str().filter(|id| !id.is_empty());
    before.map(str::to_owned)
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
