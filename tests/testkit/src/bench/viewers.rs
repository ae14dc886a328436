//! What a viewer of a live task costs the gateway, and how late it gets what happens: many viewers of tasks that all
//! stream at once, by this build and by an earlier commit in one run.

mod connection;
mod threads;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use tokio::{task::JoinSet, time::sleep};

use super::{
    log_reader::LogReader,
    paced_model::{PacedModel, Work},
    process_usage, stamps,
    statistics::{float, percentile, rounded},
};
use crate::{
    scripted_model::Reply,
    stack::{Agent, AgentSetup, INSTALL, Stack, TIMEOUT, Task},
    wait,
};
use connection::{Connection, Received};

/// Requests of the bench that are in flight at once.
const REQUESTS_AT_ONCE: usize = 32;
/// From the last connection until the measurement: all answers have begun then.
const WARM_UP: Duration = Duration::from_secs(5);
/// Answers go on for this long after the measurement.
const MARGIN: Duration = Duration::from_secs(10);
/// How often the memory of the gateway is read.
const SAMPLE: Duration = Duration::from_secs(1);

/// The size of the benchmark.
#[derive(Clone, Copy, Debug)]
pub struct ViewersOptions {
    /// Tasks that stream at once.
    pub tasks: usize,
    /// Viewers of each task.
    pub viewers_per_task: usize,
    /// Time between two deltas of a task.
    pub pace: Duration,
    /// How long is measured.
    pub length: Duration,
}

impl Default for ViewersOptions {
    fn default() -> Self {
        Self {
            tasks: 100,
            viewers_per_task: 20,
            pace: Duration::from_millis(100),
            length: Duration::from_secs(20),
        }
    }
}

/// What one build did with one format of the stream.
#[derive(Clone, Debug, Serialize)]
pub struct ViewersReport {
    pub viewers: usize,
    pub tasks: usize,
    /// Deltas that reached viewers, per second. Each is an event of the stream.
    pub deliveries_per_second: f64,
    /// From when a delta can be read in Redis until a viewer has it.
    pub p50_milliseconds: f64,
    pub p99_milliseconds: f64,
    /// Processor time of the gateway per delivered delta.
    pub gateway_microseconds_per_delivery: f64,
    /// Resident memory of the gateway: without viewers, and at most while they watch.
    pub gateway_idle_megabytes: f64,
    pub gateway_megabytes: f64,
    pub kilobytes_per_viewer: f64,
    /// Processors that each part uses. The viewers and the model are threads of the bench.
    pub cores: BTreeMap<&'static str, f64>,
}

/// Runs the benchmark on a stack, with viewers that ask for this format.
pub async fn run(stack: &Stack, options: ViewersOptions, format: &str) -> anyhow::Result<ViewersReport> {
    let model = PacedModel::start()?;
    let agent = agent(stack, &model, format).await?;
    let idle = process_usage::resident_megabytes(stack.gateway().service())?;
    let tasks: Vec<Task> = stream::iter(0..options.tasks)
        .map(|_| agent.task())
        .buffer_unordered(REQUESTS_AT_ONCE)
        .try_collect()
        .await?;
    let window = MeasurementWindow::default();
    let mut viewers = connect(stack, &tasks, options, format, &window).await?;
    stream::iter(tasks.iter().enumerate())
        .map(|(number, task)| ask(task, number, options))
        .buffer_unordered(REQUESTS_AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    let reader = read_log(stack, &tasks, &window).await?;
    sleep(WARM_UP).await;

    let parts = || Parts::read(stack, &agent);
    let before = parts()?;
    window.begin();
    let mut most = idle;
    let began = tokio::time::Instant::now();
    while began.elapsed() < options.length {
        sleep(SAMPLE.min(options.length)).await;
        most = most.max(process_usage::resident_megabytes(stack.gateway().service())?);
    }
    let seconds = began.elapsed().as_secs_f64();
    window.end();
    let after = parts()?;

    let mut received = Vec::new();
    while let Some(viewer) = viewers.join_next().await {
        received.extend(viewer.context("a viewer panicked")??);
    }
    let in_redis = reader.await.context("the reader of the log panicked")??;
    let late = received
        .iter()
        .filter_map(|one| Some(lateness(one, *in_redis.get(&one.sent)?)));
    let late: Vec<f64> = late.collect();
    ensure!(
        !late.is_empty(),
        "no viewer got a delta that Redis had: the viewers got {}, Redis had {}. Is the gateway of the same commit as \
         the worker?",
        received.len(),
        in_redis.len()
    );
    let of = |percent| percentile(late.clone(), percent).map(rounded).unwrap_or_default();
    let count = options.tasks * options.viewers_per_task;
    let used = after.since(&before, seconds);
    let gateway = after.gateway.saturating_sub(before.gateway);
    Ok(ViewersReport {
        viewers: count,
        tasks: options.tasks,
        deliveries_per_second: rounded(float(received.len()) / seconds),
        p50_milliseconds: of(50),
        p99_milliseconds: of(99),
        gateway_microseconds_per_delivery: rounded(gateway.as_secs_f64() * 1e6 / float(received.len())),
        gateway_idle_megabytes: rounded(idle),
        gateway_megabytes: rounded(most),
        kilobytes_per_viewer: rounded((most - idle) * 1e3 / float(count)),
        cores: used,
    })
}

/// When deltas count, for all viewers.
#[derive(Clone, Debug, Default)]
struct MeasurementWindow(Arc<Times>);

#[derive(Debug, Default)]
struct Times {
    /// Microseconds since 1970; 0 until it begins.
    from: AtomicU64,
    has_ended: AtomicBool,
}

impl MeasurementWindow {
    fn begin(&self) {
        self.0.from.store(stamps::now_micros(), Ordering::Relaxed);
    }

    fn end(&self) {
        self.0.has_ended.store(true, Ordering::Relaxed);
    }

    fn has_ended(&self) -> bool {
        self.0.has_ended.load(Ordering::Relaxed)
    }

    /// Whether a delta that was sent then counts.
    fn counts(&self, sent: u64) -> bool {
        let from = self.0.from.load(Ordering::Relaxed);
        from > 0 && sent >= from
    }
}

/// Milliseconds. The reader of the bench may see a delta a moment after the gateway does.
fn lateness(received: &Received, in_redis: u64) -> f64 {
    let micros = received.at.saturating_sub(in_redis);
    float(usize::try_from(micros).unwrap_or(usize::MAX)) / 1e3
}

async fn agent(stack: &Stack, model: &PacedModel, format: &str) -> anyhow::Result<Agent> {
    let base_url = model.base_url();
    let setup = AgentSetup::new(&format!("viewers-{format}"), |_| {
        Reply::text("The model of the bench answers instead.")
    })
    .configure(move |spec| spec.model.base_url = base_url);
    stack.agent(setup).await
}

async fn ask(task: &Task, number: usize, options: ViewersOptions) -> anyhow::Result<()> {
    let length = options.length + WARM_UP + MARGIN;
    let work = Work {
        run: format!("viewers-{number}"),
        calls: 0,
        result_bytes: 0,
        deltas: u32::try_from(length.as_millis() / options.pace.as_millis().max(1))?,
        pace_ms: u32::try_from(options.pace.as_millis())?,
    };
    task.send(&work.to_string()).await
}

/// Connects all viewers, and returns when each is.
async fn connect(
    stack: &Stack,
    tasks: &[Task],
    options: ViewersOptions,
    format: &str,
    window: &MeasurementWindow,
) -> anyhow::Result<JoinSet<anyhow::Result<Vec<Received>>>> {
    let address = stack.url().trim_start_matches("http://").to_owned();
    let ids = tasks
        .iter()
        .flat_map(|task| std::iter::repeat_n(task.id(), options.viewers_per_task));
    let connections: Vec<Connection> = stream::iter(ids)
        .map(|id| Connection::open(&address, id, format))
        .buffer_unordered(REQUESTS_AT_ONCE)
        .try_collect()
        .await?;
    let mut viewers = JoinSet::new();
    for connection in connections {
        let window = window.clone();
        viewers.spawn(async move {
            let counts = |sent| window.counts(sent);
            connection.read(counts, || window.has_ended()).await
        });
    }
    Ok(viewers)
}

type Read = tokio::task::JoinHandle<anyhow::Result<HashMap<u64, u64>>>;

/// Reads all logs as the gateway does: when each delta could be read.
async fn read_log(stack: &Stack, tasks: &[Task], window: &MeasurementWindow) -> anyhow::Result<Read> {
    let mut reader = LogReader::connect(stack.redis()).await?;
    for task in tasks {
        let key = wait::until("the log of a task", TIMEOUT, async || log_of(&reader, task).await).await?;
        reader.watch(key);
    }
    let window = window.clone();
    Ok(tokio::spawn(async move {
        let mut seen = HashMap::new();
        while !window.has_ended() {
            for entry in reader.read(SAMPLE).await? {
                let counted = stamps::find(&entry.bytes)
                    .into_iter()
                    .filter(|sent| window.counts(*sent));
                seen.extend(counted.map(|sent| (sent, entry.read_at)));
            }
        }
        Ok(seen)
    }))
}

/// The key of the log of a task. Earlier commits had no run in it.
async fn log_of(reader: &LogReader, task: &Task) -> anyhow::Result<String> {
    let keys = reader.keys(&format!("{INSTALL}:stream:{{{}}}*", task.id())).await?;
    let log = keys.into_iter().find(|key| !key.ends_with(":producers"));
    log.with_context(|| format!("Redis has no log of the task {}", task.id()))
}

/// The processor time of each part.
#[derive(Clone, Copy, Debug)]
struct Parts {
    gateway: Duration,
    worker: Duration,
    redis: Duration,
    model: Duration,
    bench: Duration,
}

impl Parts {
    fn read(stack: &Stack, agent: &Agent) -> anyhow::Result<Self> {
        let threads = threads::own()?;
        Ok(Self {
            gateway: process_usage::cpu(stack.gateway().service())?,
            worker: process_usage::cpu(agent.worker().service())?,
            redis: process_usage::cpu(stack.redis().service())?,
            model: threads.of("paced-model"),
            bench: threads.all().saturating_sub(threads.of("paced-model")),
        })
    }

    fn since(&self, before: &Self, seconds: f64) -> BTreeMap<&'static str, f64> {
        let cores = |of: fn(&Self) -> Duration| rounded(of(self).saturating_sub(of(before)).as_secs_f64() / seconds);
        BTreeMap::from([
            ("gateway", cores(|parts| parts.gateway)),
            ("worker", cores(|parts| parts.worker)),
            ("redis", cores(|parts| parts.redis)),
            ("model", cores(|parts| parts.model)),
            ("viewers", cores(|parts| parts.bench)),
        ])
    }
}
