//! What a turn of two model calls and a tool call costs, how late a viewer gets what happens, and how much memory a
//! worker takes before, after, and some time after many turns at once.

mod memory;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant as WallClock},
};

use anyhow::ensure;
use futures::{StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    process_usage,
    statistics::{float, milliseconds, percentile, rounded},
    temporal_api::TemporalApi,
};
use crate::{
    process::Service,
    scripted_model::{Gate, Reply, Text},
    stack::{Agent, AgentSetup, Stack, TIMEOUT, Task, activity_tool},
    temporal::count_events,
    wait, workspace,
};

pub use memory::{Memory, Resident};

const TASK_QUEUE: &str = "turn-tools";
/// Time between two deltas of an answer.
const DELTA_PAUSE: Duration = Duration::from_millis(20);
/// How long a worker is left alone before it counts as idle.
const IDLE: Duration = Duration::from_secs(5);
/// Requests of the bench that are in flight at once.
const REQUESTS_AT_ONCE: usize = 32;
/// The longest time that all turns may take.
const BURST_LIMIT: Duration = Duration::from_mins(15);
/// Messages that are sent while a model call runs: fewer than a task queues by default.
const QUEUED: usize = 20;

/// The size of the benchmark.
#[derive(Clone, Debug)]
pub struct TurnOptions {
    /// Turns that begin at once, each of a task of its own.
    pub turns: usize,
    /// Answers that stream at once, after one that streams alone; 0 leaves out what viewers see.
    pub streams: usize,
    /// Deltas of each answer.
    pub deltas: usize,
    /// Without work after the turns, before the memory is read once more.
    pub rest: Duration,
    /// Environment variables of the worker, for instance settings of its allocator.
    pub variables: Vec<(String, String)>,
}

impl Default for TurnOptions {
    fn default() -> Self {
        Self {
            turns: 200,
            streams: 50,
            deltas: 100,
            rest: Duration::from_mins(1),
            variables: Vec::new(),
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
    /// How many turns have added how many events.
    pub turns_by_events: BTreeMap<usize, usize>,
    pub activity_tasks: Spread,
    pub workflow_tasks: Spread,
    /// The events of the turn that has added the fewest, by type.
    pub events_of_shortest: BTreeMap<String, usize>,
    /// The events of the turn that has added the most, by type.
    pub events_of_longest: BTreeMap<String, usize>,
    /// Processor time per turn, in milliseconds, by part.
    pub cpu_milliseconds: BTreeMap<&'static str, f64>,
    pub worker_memory: Memory,
    /// What viewers see; absent without streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewers: Option<Viewers>,
}

/// How late viewers get what happens.
#[derive(Clone, Debug, Serialize)]
pub struct Viewers {
    /// From the moment at which the model may send a delta until a viewer has it.
    pub delta_of_one: Latency,
    pub streams: usize,
    pub delta_of_many: Latency,
    /// From the request that sends a message until a viewer sees it accepted, while a model call runs: only the outbox
    /// brings it into the log.
    pub outbox: Latency,
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
pub async fn run(stack: &Stack, options: &TurnOptions) -> anyhow::Result<TurnReport> {
    let script = workspace::root().join("tests/e2e/python/tools.py");
    let _tools = stack.python_worker(&script, &[("TASK_QUEUE", TASK_QUEUE)])?;
    let mut report = burst(stack, options).await?;
    if options.streams > 0 {
        report.viewers = Some(Viewers {
            delta_of_one: streamed(stack, "one", 1, options.deltas).await?,
            streams: options.streams,
            delta_of_many: streamed(stack, "many", options.streams, options.deltas).await?,
            outbox: queued(stack).await?,
        });
    }
    Ok(report)
}

/// Turns that begin at once, and then a rest.
async fn burst(stack: &Stack, options: &TurnOptions) -> anyhow::Result<TurnReport> {
    let api = TemporalApi::new(stack.temporal())?;
    let agent = stack.agent(burst_agent(&options.variables)).await?;
    let worker = agent.worker().service();
    tokio::time::sleep(IDLE).await;
    let idle = process_usage::memory(worker)?;

    let tasks: Vec<Task> = stream::iter(0..options.turns)
        .map(|_| agent.task())
        .buffer_unordered(REQUESTS_AT_ONCE)
        .try_collect()
        .await?;
    let before = histories(&api, &tasks).await?;
    let parts = parts(stack, &agent);
    let cpu_before = cpu(&parts)?;
    let began = WallClock::now();
    try_join_all(tasks.iter().map(turn)).await?;
    let seconds = began.elapsed().as_secs_f64();
    let after = histories(&api, &tasks).await?;
    let used = process_usage::memory(worker)?;
    let cpu_after = cpu(&parts)?;
    tokio::time::sleep(options.rest).await;

    let pairs = before.iter().zip(&after);
    let turns: Vec<&[Value]> = pairs.map(|(before, after)| &after[before.len()..]).collect();
    let spread = |of: &dyn Fn(&[Value]) -> usize| Spread::of(turns.iter().map(|events| of(events)).collect());
    let mut turns_by_events = BTreeMap::new();
    for events in &turns {
        *turns_by_events.entry(events.len()).or_default() += 1;
    }
    let of_length = |length: Option<&usize>| {
        let found = turns.iter().find(|events| Some(&events.len()) == length);
        by_type(found.copied().unwrap_or_default())
    };
    let per_turn = cpu_after.iter().map(|(part, after)| {
        let used = after.saturating_sub(cpu_before.get(part).copied().unwrap_or_default());
        (*part, rounded(milliseconds(used) / float(options.turns)))
    });
    Ok(TurnReport {
        turns: options.turns,
        turns_per_second: rounded(float(options.turns) / seconds),
        events: spread(&<[Value]>::len),
        activity_tasks: spread(&|events| count_events(events, "ACTIVITY_TASK_SCHEDULED")),
        workflow_tasks: spread(&|events| count_events(events, "WORKFLOW_TASK_SCHEDULED")),
        events_of_shortest: of_length(turns_by_events.keys().next()),
        events_of_longest: of_length(turns_by_events.keys().next_back()),
        turns_by_events,
        cpu_milliseconds: per_turn.collect(),
        worker_memory: Memory {
            idle: Resident::of(idle),
            after_turns: Resident::of(used),
            rest_seconds: options.rest.as_secs(),
            after_rest: Resident::of(process_usage::memory(worker)?),
        },
        viewers: None,
    })
}

fn burst_agent(variables: &[(String, String)]) -> AgentSetup {
    let setup = AgentSetup::new("burst", |request| match request.tool_outputs_of_turn().len() {
        0 => Reply::call("nonce", &json!({"of": "cost"})),
        _ => Reply::text("Done."),
    });
    let tool = activity_tool("nonce", TASK_QUEUE, &json!({"of": {"type": "string"}}));
    let variables = variables.iter();
    variables.fold(setup.tool("nonce", tool), |setup, (name, value)| {
        setup.variable(name, value)
    })
}

/// One turn of a task, however long it waits behind others.
async fn turn(task: &Task) -> anyhow::Result<()> {
    let began = Instant::now();
    let viewer = task.watch().await?;
    task.send("Go.").await?;
    loop {
        match viewer.turn_ended(1).await {
            Ok(end) => {
                ensure!(
                    end.status == steadfast_events::TurnStatus::Completed,
                    "a turn has not completed: {end:?}"
                );
                return Ok(());
            }
            Err(error) if began.elapsed() > BURST_LIMIT => return Err(error),
            Err(error) => tracing::debug!("{error:#}"),
        }
    }
}

/// The processes whose processor time counts.
fn parts<'a>(stack: &'a Stack, agent: &'a Agent) -> [(&'static str, &'a Service); 4] {
    [
        ("gateway", stack.gateway().service()),
        ("worker", agent.worker().service()),
        ("temporal", stack.temporal().service()),
        ("redis", stack.redis().service()),
    ]
}

fn cpu(parts: &[(&'static str, &Service)]) -> anyhow::Result<BTreeMap<&'static str, Duration>> {
    parts
        .iter()
        .map(|(part, service)| Ok((*part, process_usage::cpu(service)?)))
        .collect()
}

/// The histories of tasks that have nothing under way.
async fn histories(api: &TemporalApi, tasks: &[Task]) -> anyhow::Result<Vec<Vec<Value>>> {
    stream::iter(tasks)
        .map(|task| settled(api, task))
        .buffered(REQUESTS_AT_ONCE)
        .try_collect()
        .await
}

async fn settled(api: &TemporalApi, task: &Task) -> anyhow::Result<Vec<Value>> {
    wait::until("the task to settle", TIMEOUT, async || {
        let events = api.history(task.id()).await?;
        let open = count_events(&events, "ACTIVITY_TASK_SCHEDULED").saturating_sub(closed(&events, "ACTIVITY_TASK"));
        let undecided =
            count_events(&events, "WORKFLOW_TASK_SCHEDULED").saturating_sub(closed(&events, "WORKFLOW_TASK"));
        ensure!(
            open == 0 && undecided == 0,
            "{open} activities and {undecided} workflow tasks are open"
        );
        Ok(events)
    })
    .await
}

fn closed(events: &[Value], task: &str) -> usize {
    let ends = ["COMPLETED", "FAILED", "TIMED_OUT", "CANCELED"];
    ends.iter()
        .map(|end| count_events(events, &format!("{task}_{end}")))
        .sum()
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
async fn streamed(stack: &Stack, name: &str, streams: usize, deltas: usize) -> anyhow::Result<Latency> {
    let answers = (0..streams).map(|number| {
        let agent = format!("{name}-{number}");
        async move { answer(stack, &agent, deltas).await }
    });
    let latencies = try_join_all(answers).await?;
    Ok(Latency::of(latencies.into_iter().flatten()))
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

/// How late a viewer sees messages that wait for their turn.
async fn queued(stack: &Stack) -> anyhow::Result<Latency> {
    let gate = Gate::closed();
    let held = gate.clone();
    let agent = AgentSetup::new("queued", move |_| {
        Reply::text(Text::words("First. Last.").hold_after(0, &held))
    });
    let agent = stack.agent(agent).await?;
    let task = agent.task().await?;
    let viewer = task.watch().await?;
    task.send("Go.").await?;
    gate.reached(TIMEOUT).await?;
    let mut latencies = Vec::new();
    for number in 0..QUEUED {
        tokio::time::sleep(DELTA_PAUSE).await;
        let key = format!("queued-{number}");
        let sent = Instant::now();
        let accepted = viewer.until("the message to be accepted", |seen| {
            let mut frames = seen.frames.iter().rev();
            frames.any(|frame| frame.kind == "message_accepted" && frame.data["idempotency_key"] == key.as_str())
        });
        tokio::try_join!(task.send_with_key(&key, "And then?"), accepted)?;
        latencies.push(sent.elapsed());
    }
    gate.open();
    task.turn_completed(1).await?;
    Ok(Latency::of(latencies))
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
    pub(super) fn of(values: impl IntoIterator<Item = Duration>) -> Self {
        let values: Vec<f64> = values.into_iter().map(milliseconds).collect();
        let at = |percent| rounded(percentile(values.clone(), percent).unwrap_or_default());
        Self {
            p50_milliseconds: at(50),
            p99_milliseconds: at(99),
        }
    }
}
