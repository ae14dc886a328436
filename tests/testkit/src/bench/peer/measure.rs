//! The measurements of one contestant in one round.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    Contestant, PeerOptions,
    arena::{Arena, Running},
    figures::{Figure, Line},
};
use crate::{
    bench::{
        log_reader::LogReader,
        paced_model::Work,
        process_usage, stamps,
        statistics::{float, median, milliseconds, percentile},
        temporal_api::SignalWithStart,
        text_generator::TextGenerator,
    },
    stack::TIMEOUT,
    wait,
};

/// Starts that are in flight at once.
const STARTS_AT_ONCE: usize = 32;
/// Between two reads of the logs of a burst.
const BURST_PAUSE: Duration = Duration::from_millis(50);
/// Between two looks at the lengths of histories.
const HISTORY_PAUSE: Duration = Duration::from_millis(500);
/// The longest wait of one read.
const READ_WAIT: Duration = Duration::from_millis(100);
/// The longest time in which a burst, or a run, may make no progress.
const STALLED: Duration = Duration::from_secs(100);
/// Runs of the crowd.
const CROWD: usize = 50;
/// How long a worker is left alone before it counts as idle.
const IDLE: Duration = Duration::from_secs(5);
/// Samples of the way from a message to the model.
const MESSAGES: usize = 100;
/// As many bytes of English are about 200,000 tokens.
const LONG_TEXT_BYTES: usize = 835_000;
const LONG_RESULT_BYTES: u32 = 5_000;

/// The figures of one contestant in one round, as they are measured.
pub(super) type Figures = BTreeMap<Line, Figure>;

/// Measures one running contestant.
pub(super) struct Measurer<'arena> {
    arena: &'arena Arena<'arena>,
    running: &'arena Running,
    options: &'arena PeerOptions,
    log: LogReader,
    pub(super) figures: Figures,
    /// Makes the names of runs unlike.
    prefix: String,
    runs: usize,
}

/// A run that was started.
#[derive(Clone, Debug)]
struct Started {
    task_id: String,
    log_key: String,
}

impl<'arena> Measurer<'arena> {
    pub(super) async fn new(
        arena: &'arena Arena<'arena>,
        running: &'arena Running,
        options: &'arena PeerOptions,
        round: usize,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            arena,
            running,
            options,
            log: LogReader::connect(arena.stack.redis()).await?,
            figures: Figures::new(),
            prefix: format!("{}-{round}", running.contestant),
            runs: 0,
        })
    }

    fn record(&mut self, line: Line, value: f64) {
        self.figures.insert(line, Figure::exact(value));
    }

    fn record_memory(&mut self, resident: Line, anonymous: Line) -> anyhow::Result<()> {
        let memory = process_usage::memory(self.running.worker())?;
        self.record(resident, memory.megabytes);
        self.record(anonymous, memory.anonymous_megabytes);
        Ok(())
    }

    fn record_percentiles(&mut self, values: Vec<f64>, p50: Line, p99: Line) -> anyhow::Result<()> {
        self.record(p50, percentile(values.clone(), 50).context("nothing was measured")?);
        self.record(p99, percentile(values, 99).context("nothing was measured")?);
        Ok(())
    }

    /// One tool call of 20 bytes, then an answer.
    fn work(&mut self, deltas: u32, pace_ms: u32) -> Work {
        self.runs += 1;
        Work {
            run: format!("{}-{}", self.prefix, self.runs),
            calls: 1,
            result_bytes: 20,
            deltas,
            pace_ms,
        }
    }

    /// Memory and long polls of the worker that has done nothing yet.
    pub(super) async fn idle(&mut self) -> anyhow::Result<()> {
        tokio::time::sleep(IDLE).await;
        let polls = self.arena.api.pending_polls(&self.running.task_queue()).await?;
        self.record(Line::LongPolls, polls);
        self.record_memory(Line::WorkerIdle, Line::WorkerIdleAnonymous)?;
        Ok(())
    }

    /// The first run of a worker pays for what the worker has not loaded yet.
    pub(super) async fn warm_up(&mut self) -> anyhow::Result<()> {
        self.deltas_of(1, 10).await.map(drop)
    }

    /// Latency of the deltas of one run, and of many at once.
    pub(super) async fn latency(&mut self) -> anyhow::Result<()> {
        let alone = self.deltas_of(1, self.options.deltas).await?;
        self.record_percentiles(alone, Line::DeltaP50Alone, Line::DeltaP99Alone)?;
        let crowded = self
            .deltas_of(CROWD.min(self.options.runs), self.options.deltas)
            .await?;
        self.record_percentiles(crowded, Line::DeltaP50Crowded, Line::DeltaP99Crowded)
    }

    /// Milliseconds from the model to the log, of each delta of so many runs at once.
    async fn deltas_of(&mut self, runs: usize, deltas: u32) -> anyhow::Result<Vec<f64>> {
        let requests = self.requests(runs, deltas)?;
        let mut open = self.start_all(&requests).await?;
        // What was sent before somebody looked would count as late.
        let watched_since = stamps::now_micros();
        let mut seen = BTreeSet::new();
        let mut latencies = Vec::new();
        let mut last_progress = Instant::now();
        while !open.is_empty() {
            for entry in self.log.read(READ_WAIT).await? {
                last_progress = Instant::now();
                for sent_at in stamps::find(&entry.bytes) {
                    // The whole message comes once more at its end.
                    if sent_at >= watched_since && seen.insert((entry.key.clone(), sent_at)) {
                        let micros = u32::try_from(entry.read_at.saturating_sub(sent_at)).unwrap_or(u32::MAX);
                        latencies.push(f64::from(micros) / 1_000.0);
                    }
                }
                if self.running.contestant.ends_with(&entry.bytes) {
                    self.log.forget(&entry.key);
                    open.remove(&entry.key);
                }
            }
            ensure!(
                last_progress.elapsed() < STALLED,
                "{} of {runs} runs have not ended, and no log grows",
                open.len()
            );
        }
        Ok(latencies)
    }

    /// Runs per second, processor time, events and memory of a burst.
    pub(super) async fn burst(&mut self) -> anyhow::Result<()> {
        let runs = self.options.runs;
        let requests = self.requests(runs, 20)?;
        let temporal = self.arena.stack.temporal().service();
        let redis = self.arena.stack.redis().service();
        let server_before = process_usage::cpu(temporal)?;
        let redis_before = process_usage::cpu(redis)?;
        let worker_before = process_usage::cpu(self.running.worker())?;
        let began = Instant::now();
        let mut open = self.start_all(&requests).await?;
        let (mut last_end, mut last_progress) = (Instant::now(), Instant::now());
        while !open.is_empty() {
            tokio::time::sleep(BURST_PAUSE).await;
            for entry in self.log.read(Duration::from_millis(1)).await? {
                last_progress = Instant::now();
                if self.running.contestant.ends_with(&entry.bytes) {
                    self.log.forget(&entry.key);
                    open.remove(&entry.key);
                    last_end = Instant::now();
                }
            }
            ensure!(
                last_progress.elapsed() < STALLED,
                "{} of {runs} runs have not ended, and no log grows",
                open.len()
            );
        }
        let events = self.events_of(&requests).await?;
        let server = process_usage::cpu(temporal)?.saturating_sub(server_before);
        let worker = process_usage::cpu(self.running.worker())?.saturating_sub(worker_before);
        let redis = process_usage::cpu(redis)?.saturating_sub(redis_before);
        self.record_memory(Line::WorkerAfterBurst, Line::WorkerAfterBurstAnonymous)?;
        let total: u32 = events.iter().sum();
        self.record(
            Line::RunsPerSecond,
            float(runs) / last_end.duration_since(began).as_secs_f64(),
        );
        self.record(Line::ServerCpuPerRun, milliseconds(server) / float(runs));
        self.record(Line::WorkerCpuPerRun, milliseconds(worker) / float(runs));
        self.record(Line::RedisCpuPerRun, milliseconds(redis) / float(runs));
        self.record(Line::EventsPerRun, f64::from(total) / float(runs));
        let most = events.iter().max().copied().unwrap_or_default();
        self.record(Line::MostEvents, f64::from(most));
        Ok(())
    }

    /// The lengths of the histories, once they no longer grow: the last workflow task comes after the end of the turn.
    async fn events_of(&self, requests: &[SignalWithStart]) -> anyhow::Result<Vec<u32>> {
        let before = RefCell::new(Vec::new());
        wait::until("the histories to be complete", TIMEOUT, async || {
            let lengths: Vec<u32> = stream::iter(requests)
                .map(|request| self.arena.api.history_length(&request.workflow_id))
                .buffered(STARTS_AT_ONCE)
                .try_collect()
                .await?;
            if before.replace(lengths.clone()) != lengths {
                // A busy worker may take this long for its next step.
                tokio::time::sleep(HISTORY_PAUSE).await;
                anyhow::bail!("they grow");
            }
            Ok(lengths)
        })
        .await
    }

    /// Memory after some time without work.
    pub(super) async fn rest(&mut self) -> anyhow::Result<()> {
        tokio::time::sleep(self.options.rest).await;
        self.record_memory(Line::WorkerAfterRest, Line::WorkerAfterRestAnonymous)
    }

    /// `kill -9` in the middle of an answer, an immediate restart, and the time until tokens flow again.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        let requests = {
            let work = self.work(3_000, 20);
            vec![self.running.request(&work, "")?]
        };
        let mut open = self.start_all(&requests).await?;
        let task = open.pop_first().context("no run was started")?.1;
        let begins = Instant::now();
        let mut deltas = 0;
        while deltas < 20 {
            ensure!(begins.elapsed() < STALLED, "the answer does not begin");
            let entries = self.log.read(READ_WAIT).await?;
            deltas += entries
                .iter()
                .map(|entry| stamps::find(&entry.bytes).len())
                .sum::<usize>();
        }
        self.running.worker().kill().await?;
        let killed = Instant::now();
        let killed_at = stamps::now_micros();
        self.running.worker().start()?;
        let figure = loop {
            let entries = self.log.read(READ_WAIT).await?;
            let mut sent = entries.iter().flat_map(|entry| stamps::find(&entry.bytes));
            if sent.any(|sent_at| sent_at > killed_at) {
                break Figure::exact(killed.elapsed().as_secs_f64());
            }
            if killed.elapsed() > STALLED {
                break Figure::at_least(STALLED.as_secs_f64());
            }
        };
        self.figures.insert(Line::KillToTokens, figure);
        self.log.forget(&task.log_key);
        self.arena.api.terminate(&task.task_id).await
    }

    /// From the request of a client to the request at the model. Only our builds have a gateway, and that of this build
    /// does not read the logs of an earlier one.
    pub(super) async fn messages(&mut self) -> anyhow::Result<()> {
        let running = self.running;
        let (Contestant::ThisBuild, Some(agent)) = (running.contestant, running.agent()) else {
            return Ok(());
        };
        let (mut to_new, mut to_waiting) = (Vec::new(), Vec::new());
        for _ in 0..MESSAGES.min(self.options.runs) {
            let task = agent.task().await?;
            for (turn, times) in [(1, &mut to_new), (2, &mut to_waiting)] {
                let work = self.work(3, 5);
                let posted = Instant::now();
                task.send(&work.to_string()).await?;
                task.turn_completed(turn).await?;
                let arrivals = self.arena.model.arrivals(&work.run);
                let arrived = arrivals.first().context("the model got no request")?;
                times.push(milliseconds(arrived.saturating_duration_since(posted)));
            }
        }
        self.record_percentiles(to_new, Line::MessageToNewP50, Line::MessageToNewP99)?;
        self.record_percentiles(to_waiting, Line::MessageToWaitingP50, Line::MessageToWaitingP99)
    }

    /// Many tool calls in a conversation that begins with a long text.
    pub(super) async fn long_conversation(&mut self) -> anyhow::Result<()> {
        let calls = self.options.long_calls;
        let mut work = self.work(3, 5);
        work.calls = calls;
        work.result_bytes = LONG_RESULT_BYTES;
        let text = TextGenerator::new(42).text(LONG_TEXT_BYTES);
        let requests = vec![self.running.request(&work, &text)?];
        self.start_all(&requests).await?;
        let wanted = usize::try_from(calls).unwrap_or(usize::MAX).saturating_add(1);
        let mut last = (0, Instant::now());
        let arrivals = loop {
            let arrivals = self.arena.model.arrivals(&work.run);
            if arrivals.len() != last.0 {
                last = (arrivals.len(), Instant::now());
            }
            if arrivals.len() >= wanted || last.1.elapsed() > STALLED {
                break arrivals;
            }
            tokio::time::sleep(BURST_PAUSE).await;
        };
        self.log = LogReader::connect(self.arena.stack.redis()).await?;
        for request in &requests {
            // It may have ended by itself, at the limit of a history.
            if let Err(error) = self.arena.api.terminate(&request.workflow_id).await {
                tracing::debug!("{error:#}");
            }
        }
        ensure!(
            arrivals.len() >= wanted,
            "the long conversation ended after {} of {calls} tool calls",
            arrivals.len().saturating_sub(1)
        );
        let times = arrivals.windows(2);
        let times: Vec<f64> = times
            .map(|pair| milliseconds(pair[1].duration_since(pair[0])))
            .collect();
        let tenth = (times.len() / 10).max(1);
        let first = median(times[..tenth].to_vec(), f64::total_cmp);
        let last = median(times[times.len() - tenth..].to_vec(), f64::total_cmp);
        self.record(Line::LastTenthToFirst, last / first);
        Ok(())
    }

    fn requests(&mut self, runs: usize, deltas: u32) -> anyhow::Result<Vec<SignalWithStart>> {
        let request = |_| {
            let work = self.work(deltas, 20);
            self.running.request(&work, "")
        };
        (0..runs).map(request).collect()
    }

    /// Starts all at once, and watches their logs.
    async fn start_all(&mut self, requests: &[SignalWithStart]) -> anyhow::Result<BTreeMap<String, Started>> {
        let (api, running) = (&self.arena.api, self.running);
        let started: Vec<Started> = stream::iter(requests)
            .map(async |request| {
                let run_id = api.signal_with_start(request).await?;
                anyhow::Ok(Started {
                    task_id: request.workflow_id.clone(),
                    log_key: running.log_key(&request.workflow_id, &run_id),
                })
            })
            .buffer_unordered(STARTS_AT_ONCE)
            .try_collect()
            .await?;
        for started in &started {
            self.log.watch(started.log_key.clone());
            if let Some(other) = running.other_log_key(&started.task_id) {
                self.log.watch_also(other, started.log_key.clone());
            }
            if let Some((key, field)) = running.watched() {
                self.log.append(key, field, &started.task_id).await?;
            }
        }
        Ok(started
            .into_iter()
            .map(|started| (started.log_key.clone(), started))
            .collect())
    }
}
