//! Many idle workers at one frontend of Temporal with its default limits: what they cost, and whether turns still begin
//! at once.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;

use super::{
    process_usage,
    statistics::{median, rounded},
    temporal_api::TemporalApi,
    turn::Latency,
};
use crate::{
    scripted_model::Reply,
    stack::{Agent, AgentSetup, Component, Stack},
    temporal::TemporalOptions,
};

/// Between the start of the last worker and the measurement.
const SETTLING: Duration = Duration::from_secs(5);
/// The names of the task queues of the idle workers start with this.
const QUEUES: &str = "idle-";
/// The gauge of a worker's open polls.
const OPEN_POLLS: &str = "steadfast_temporal_polls_open{";
/// Questions to workers that are in flight at once.
const REQUESTS_AT_ONCE: usize = 32;

/// The size of the benchmark.
#[derive(Clone, Copy, Debug)]
pub struct PollsOptions {
    /// Idle workers, each with a task queue of its own.
    pub workers: usize,
    /// Workers that start at the same time.
    pub at_once: usize,
    /// Turns of another worker, without and with the idle ones.
    pub turns: usize,
    /// How long the processor time is measured.
    pub length: Duration,
}

impl Default for PollsOptions {
    fn default() -> Self {
        Self {
            workers: 400,
            at_once: 8,
            turns: 50,
            length: Duration::from_secs(30),
        }
    }
}

/// The report of the benchmark.
#[derive(Clone, Debug, Serialize)]
pub struct PollsReport {
    pub workers: usize,
    pub seconds_to_start: f64,
    /// Workers that are not ready at the end: Temporal refuses their polls.
    pub not_ready: usize,
    /// Long polls that the workers have open, by their own count.
    pub open_polls: f64,
    /// Long polls of the idle workers that the server has, by its gauge.
    pub open_polls_at_server: f64,
    pub without_workers: Load,
    pub with_workers: Load,
    /// All idle workers together, in percent of one processor.
    pub workers_cpu_percent: f64,
    pub worker_megabytes_median: f64,
    pub worker_megabytes_most: f64,
    /// All idle workers, with the pages that they share counted once.
    pub workers_proportional_megabytes: f64,
}

/// What the server does, and how long a turn takes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Load {
    /// While no turn runs, in percent of one processor.
    pub temporal_cpu_percent: f64,
    pub temporal_megabytes: f64,
    /// From the request of a client to the request at the model.
    pub message_to_model: Latency,
    /// From the request of a client to the end of the turn.
    pub turn: Latency,
}

/// The options of the server that a stack for this benchmark needs.
pub fn temporal_options() -> TemporalOptions {
    TemporalOptions {
        metrics: true,
        ..TemporalOptions::default()
    }
}

/// Runs the benchmark on an unused stack.
pub async fn run(stack: &Stack, options: PollsOptions) -> anyhow::Result<PollsReport> {
    let api = TemporalApi::new(stack.temporal())?;
    let agent = stack
        .agent(AgentSetup::new("busy", |_| Reply::text("Here I am.")))
        .await?;
    let without_workers = load(stack, &agent, &[], options).await?.0;

    let began = Instant::now();
    let workers: Vec<Component> = stream::iter(0..options.workers)
        .map(|number| start(stack, &agent, number))
        .buffered(options.at_once)
        .try_collect()
        .await?;
    let seconds_to_start = began.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLING).await;
    let (with_workers, workers_cpu_percent) = load(stack, &agent, &workers, options).await?;

    let open_polls: Vec<f64> = stream::iter(&workers)
        .map(open_polls)
        .buffer_unordered(REQUESTS_AT_ONCE)
        .try_collect()
        .await?;
    let not_ready = stream::iter(&workers)
        .map(|worker| worker.admin("readyz"))
        .buffer_unordered(REQUESTS_AT_ONCE)
        .filter(|answer| std::future::ready(answer.is_err()))
        .count()
        .await;
    let services = || workers.iter().map(Component::service);
    let resident: Vec<f64> = services()
        .map(process_usage::resident_megabytes)
        .collect::<anyhow::Result<_>>()?;
    let proportional: f64 = services()
        .map(process_usage::proportional_megabytes)
        .sum::<anyhow::Result<f64>>()?;
    Ok(PollsReport {
        workers: workers.len(),
        seconds_to_start: rounded(seconds_to_start),
        not_ready,
        open_polls: open_polls.iter().sum(),
        open_polls_at_server: api.pending_polls(QUEUES).await?,
        without_workers,
        with_workers,
        workers_cpu_percent,
        worker_megabytes_most: rounded(resident.iter().copied().fold(0.0, f64::max)),
        worker_megabytes_median: rounded(median(resident, f64::total_cmp)),
        workers_proportional_megabytes: rounded(proportional),
    })
}

async fn start(stack: &Stack, agent: &Agent, number: usize) -> anyhow::Result<Component> {
    let worker = agent.idle_worker(stack, &format!("{QUEUES}{number}"))?;
    worker.launch().await?;
    if number % 50 == 49 {
        tracing::info!("{} workers have started", number + 1);
    }
    Ok(worker)
}

/// The polls of a worker that are open.
async fn open_polls(worker: &Component) -> anyhow::Result<f64> {
    let page = worker.admin("metrics").await?;
    let lines = page.lines().filter(|line| line.starts_with(OPEN_POLLS));
    lines
        .map(|line| {
            let value = line.rsplit_once(' ').context("find the value of a metric")?.1;
            value.parse::<f64>().context("read the value of a metric")
        })
        .sum()
}

/// The load of the server, and that of the idle workers together.
async fn load(
    stack: &Stack,
    agent: &Agent,
    workers: &[Component],
    options: PollsOptions,
) -> anyhow::Result<(Load, f64)> {
    let temporal = stack.temporal().service();
    let before = (process_usage::cpu(temporal)?, cpu_of(workers)?);
    tokio::time::sleep(options.length).await;
    let percent = |before: Duration, after: Duration| {
        rounded(100.0 * after.saturating_sub(before).as_secs_f64() / options.length.as_secs_f64())
    };
    let temporal_cpu_percent = percent(before.0, process_usage::cpu(temporal)?);
    let workers_cpu_percent = percent(before.1, cpu_of(workers)?);
    let (message_to_model, turn) = turns(agent, options.turns).await?;
    let load = Load {
        temporal_cpu_percent,
        temporal_megabytes: rounded(process_usage::resident_megabytes(temporal)?),
        message_to_model,
        turn,
    };
    Ok((load, workers_cpu_percent))
}

fn cpu_of(workers: &[Component]) -> anyhow::Result<Duration> {
    workers.iter().map(Component::service).map(process_usage::cpu).sum()
}

/// Turns one after the other, each of a new task.
async fn turns(agent: &Agent, turns: usize) -> anyhow::Result<(Latency, Latency)> {
    let (mut to_model, mut to_end) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        let task = agent.task().await?;
        let calls = agent.model().journal().len();
        let posted = Instant::now();
        task.send("Are you there?").await?;
        task.turn_completed(1).await?;
        to_end.push(posted.elapsed());
        let journal = agent.model().journal();
        let call = journal.get(calls).context("the model got no request")?;
        to_model.push(call.received_at.saturating_duration_since(posted));
    }
    Ok((Latency::of(to_model), Latency::of(to_end)))
}
