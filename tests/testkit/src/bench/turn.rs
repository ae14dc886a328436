//! What a turn of two model calls and a tool call costs Temporal, and how late a viewer gets the deltas of an answer.

use std::{collections::BTreeMap, time::Duration};

use anyhow::ensure;
use futures::future::try_join_all;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::statistics::{milliseconds, rounded};
use crate::{
    scripted_model::{Gate, Reply, Text},
    stack::{AgentSetup, Stack, TIMEOUT, Task, activity_tool},
    temporal::count_events,
    wait, workspace,
};

const TASK_QUEUE: &str = "turn-tools";
/// Time between two deltas of an answer.
const DELTA_PAUSE: Duration = Duration::from_millis(20);

/// The size of the benchmark.
#[derive(Clone, Copy, Debug)]
pub struct TurnOptions {
    /// Turns that begin at once, each of a task of its own.
    pub turns: usize,
    /// Answers that stream at once, after one that streams alone.
    pub streams: usize,
    /// Deltas of each answer.
    pub deltas: usize,
}

impl Default for TurnOptions {
    fn default() -> Self {
        Self {
            turns: 200,
            streams: 50,
            deltas: 100,
        }
    }
}

/// The report of the benchmark.
#[derive(Clone, Debug, Serialize)]
pub struct TurnReport {
    pub turns: usize,
    /// From the first message until the last turn has ended.
    pub turns_per_second: f64,
    /// Events that a turn adds to the history.
    pub events: Spread,
    pub activity_tasks: Spread,
    pub workflow_tasks: Spread,
    /// The events of the first turn, by type.
    pub events_by_type: BTreeMap<String, usize>,
    /// From the moment at which the model may send a delta until a viewer has it.
    pub delta_of_one: Latency,
    pub streams: usize,
    pub delta_of_many: Latency,
}

/// The values of all turns.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    pub median: usize,
    pub most: usize,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    pub p50_milliseconds: f64,
    pub p99_milliseconds: f64,
}

/// Runs the benchmark on an unused stack.
pub async fn run(stack: &Stack, options: TurnOptions) -> anyhow::Result<TurnReport> {
    let script = workspace::root().join("tests/e2e/python/tools.py");
    let _tools = stack.python_worker(&script, &[("TASK_QUEUE", TASK_QUEUE)])?;
    let (seconds, turns) = burst(stack, options.turns).await?;
    let spread = |of: &dyn Fn(&[Value]) -> usize| Spread::of(turns.iter().map(|events| of(events)).collect());
    #[expect(clippy::cast_precision_loss, reason = "a number of turns")]
    let turns_per_second = rounded(options.turns as f64 / seconds);
    Ok(TurnReport {
        turns: options.turns,
        turns_per_second,
        events: spread(&<[Value]>::len),
        activity_tasks: spread(&|events| count_events(events, "ACTIVITY_TASK_SCHEDULED")),
        workflow_tasks: spread(&|events| count_events(events, "WORKFLOW_TASK_SCHEDULED")),
        events_by_type: by_type(turns.first().map_or(&[], Vec::as_slice)),
        delta_of_one: stream(stack, "one", 1, options.deltas).await?,
        streams: options.streams,
        delta_of_many: stream(stack, "many", options.streams, options.deltas).await?,
    })
}

/// Turns that begin at once: the seconds that they took, and the events of each.
async fn burst(stack: &Stack, turns: usize) -> anyhow::Result<(f64, Vec<Vec<Value>>)> {
    let setup = AgentSetup::new("burst", |request| match request.tool_outputs_of_turn().len() {
        0 => Reply::call("nonce", &json!({"of": "cost"})),
        _ => Reply::text("Done."),
    })
    .tool(
        "nonce",
        activity_tool("nonce", TASK_QUEUE, &json!({"of": {"type": "string"}})),
    );
    let agent = stack.agent(setup).await?;
    let tasks = try_join_all((0..turns).map(|_| agent.task())).await?;
    let before = try_join_all(tasks.iter().map(|task| settled(stack, task))).await?;
    let began = Instant::now();
    try_join_all(tasks.iter().map(|task| async move {
        task.send("Go.").await?;
        task.turn_completed(1).await
    }))
    .await?;
    let seconds = began.elapsed().as_secs_f64();
    let mut added = Vec::new();
    for (task, before) in tasks.iter().zip(before) {
        let events = settled(stack, task).await?;
        added.push(events[before.len()..].to_vec());
    }
    Ok((seconds, added))
}

/// The history of a task that has nothing under way.
async fn settled(stack: &Stack, task: &Task) -> anyhow::Result<Vec<Value>> {
    wait::until("the task to settle", TIMEOUT, async || {
        let events = stack.temporal().history(task.id(), None).await?;
        let open = count_events(&events, "ACTIVITY_TASK_SCHEDULED") - count_events(&events, "ACTIVITY_TASK_COMPLETED");
        let undecided =
            count_events(&events, "WORKFLOW_TASK_SCHEDULED") - count_events(&events, "WORKFLOW_TASK_COMPLETED");
        ensure!(
            open == 0 && undecided == 0,
            "{open} activities and {undecided} workflow tasks are open"
        );
        Ok(events)
    })
    .await
}

fn by_type(events: &[Value]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for event in events {
        let kind = event["eventType"].as_str().unwrap_or_default();
        *counts
            .entry(kind.trim_start_matches("EVENT_TYPE_").to_owned())
            .or_default() += 1;
    }
    counts
}

/// Streams answers at once, each to a viewer of its own.
async fn stream(stack: &Stack, name: &str, streams: usize, deltas: usize) -> anyhow::Result<Latency> {
    let answers = (0..streams).map(|number| {
        let agent = format!("{name}-{number}");
        async move { answer(stack, &agent, deltas).await }
    });
    let latencies = try_join_all(answers).await?;
    Ok(Latency::of(latencies.into_iter().flatten().collect()))
}

/// How late the viewer of one answer gets each of its deltas.
async fn answer(stack: &Stack, agent: &str, deltas: usize) -> anyhow::Result<Vec<Duration>> {
    let gates: Vec<Gate> = (0..deltas).map(|_| Gate::closed()).collect();
    let words: Vec<String> = (0..deltas).map(|number| format!("w{number}. ")).collect();
    let mut text = Text::words(words.concat());
    for (number, gate) in gates.iter().enumerate() {
        text = text.hold_after(number, gate);
    }
    let agent = stack
        .agent(AgentSetup::new(agent, move |_| Reply::text(text.clone())))
        .await?;
    let task = agent.task().await?;
    let viewer = task.watch().await?;
    task.send("Go.").await?;
    let mut latencies = Vec::new();
    for (gate, word) in gates.iter().zip(&words) {
        gate.reached(TIMEOUT).await?;
        tokio::time::sleep(DELTA_PAUSE).await;
        let opened = Instant::now();
        gate.open();
        let word = word.trim_end();
        viewer
            .until("the next word", |seen| seen.last_text().contains(word))
            .await?;
        latencies.push(opened.elapsed());
    }
    task.turn_completed(1).await?;
    Ok(latencies)
}

impl Spread {
    fn of(mut values: Vec<usize>) -> Self {
        values.sort_unstable();
        Self {
            median: values.get(values.len() / 2).copied().unwrap_or_default(),
            most: values.last().copied().unwrap_or_default(),
        }
    }
}

impl Latency {
    fn of(mut values: Vec<Duration>) -> Self {
        values.sort_unstable();
        let at = |percent: usize| {
            let index = values.len() * percent / 100;
            rounded(values.get(index).copied().map_or(0.0, milliseconds))
        };
        Self {
            p50_milliseconds: at(50),
            p99_milliseconds: at(99),
        }
    }
}
