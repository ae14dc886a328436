//! The memory of every part under a constant load over a long time.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use serde::Serialize;

use super::{
    paced_model::{PacedModel, Work},
    process_usage,
    statistics::{rounded, slope},
};
use crate::{
    process::Service,
    scripted_model::Reply,
    stack::{Agent, AgentSetup, Stack},
};

const SAMPLE_EVERY: Duration = Duration::from_secs(10);
const SECONDS_PER_HOUR: f64 = 3_600.0;

/// The size of the benchmark.
#[derive(Clone, Copy, Debug)]
pub struct SoakOptions {
    pub length: Duration,
    /// New conversations per second.
    pub runs_per_second: f64,
}

/// The report of the benchmark.
#[derive(Clone, Debug, Serialize)]
pub struct SoakReport {
    pub minutes: f64,
    pub runs: usize,
    /// Runs that did not complete, in words.
    pub problems: Vec<String>,
    /// By part: `gateway`, `worker`, `temporal`, `redis`.
    pub parts: BTreeMap<String, Memory>,
}

/// The resident memory of one part.
#[derive(Clone, Debug, Serialize)]
pub struct Memory {
    pub first_megabytes: f64,
    pub last_megabytes: f64,
    pub largest_megabytes: f64,
    /// The slope of the line through the samples after the first tenth, in which caches fill.
    pub megabytes_per_hour: f64,
    /// Second and megabytes.
    pub samples: Vec<(f64, f64)>,
}

impl Memory {
    /// `None` without samples.
    fn of(samples: Vec<(f64, f64)>) -> Option<Self> {
        let (first, last) = (samples.first()?.1, samples.last()?.1);
        let settled = &samples[samples.len() / 10..];
        Some(Self {
            first_megabytes: rounded(first),
            last_megabytes: rounded(last),
            largest_megabytes: rounded(samples.iter().map(|(_, size)| *size).fold(0.0, f64::max)),
            megabytes_per_hour: rounded(slope(settled) * SECONDS_PER_HOUR),
            samples: samples
                .into_iter()
                .map(|(at, size)| (rounded(at), rounded(size)))
                .collect(),
        })
    }
}

/// Runs the benchmark on an unused stack.
pub async fn run(stack: &Stack, options: SoakOptions) -> anyhow::Result<SoakReport> {
    let model = PacedModel::start()?;
    let base_url = model.base_url();
    let setup = AgentSetup::new("soak", |_| Reply::text("The model of the bench answers instead."))
        .configure(move |spec| spec.model.base_url = base_url);
    let agent = stack.agent(setup).await?;
    let began = Instant::now();
    let parts: [(&str, &Service); 4] = [
        ("gateway", stack.gateway().service()),
        ("worker", agent.worker().service()),
        ("temporal", stack.temporal().service()),
        ("redis", stack.redis().service()),
    ];
    let ((runs, problems), samples) = tokio::try_join!(
        async { anyhow::Ok(converse(&agent, options).await) },
        sample(&parts, options.length)
    )?;
    let parts = samples.into_iter();
    Ok(SoakReport {
        minutes: rounded(began.elapsed().as_secs_f64() / 60.0),
        runs,
        problems,
        parts: parts
            .filter_map(|(part, samples)| Some((part, Memory::of(samples)?)))
            .collect(),
    })
}

/// Starts conversations at the rate until the time is over, then waits for the last. Returns how many there were.
async fn converse(agent: &Agent, options: SoakOptions) -> (usize, Vec<String>) {
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / options.runs_per_second));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let began = Instant::now();
    let mut open = FuturesUnordered::new();
    let (mut runs, mut problems) = (0, Vec::new());
    while began.elapsed() < options.length {
        tokio::select! {
            _ = ticks.tick() => {
                runs += 1;
                open.push(conversation(agent, runs));
            }
            Some(ended) = open.next() => problems.extend(ended),
        }
    }
    while let Some(ended) = open.next().await {
        problems.extend(ended);
    }
    (runs, problems)
}

/// Two turns, then the end of the task. Returns the problem, if there was one.
async fn conversation(agent: &Agent, number: usize) -> Option<String> {
    let outcome = async {
        let task = agent.task().await?;
        for turn in 1..=2 {
            let work = Work {
                run: format!("soak-{number}-{turn}"),
                calls: 0,
                result_bytes: 0,
                deltas: 20,
                pace_ms: 20,
            };
            task.complete_turn(turn, &work.to_string()).await?;
        }
        task.complete().await
    };
    outcome.await.err().map(|error| format!("run {number}: {error:#}"))
}

type Samples = BTreeMap<String, Vec<(f64, f64)>>;

async fn sample(parts: &[(&str, &Service)], length: Duration) -> anyhow::Result<Samples> {
    let began = Instant::now();
    let mut ticks = tokio::time::interval(SAMPLE_EVERY.min(length / 10));
    let mut samples = Samples::new();
    while began.elapsed() < length {
        ticks.tick().await;
        for (part, service) in parts {
            let size = process_usage::resident_megabytes(service)?;
            let of_part = samples.entry((*part).to_owned()).or_default();
            of_part.push((began.elapsed().as_secs_f64(), size));
        }
        if let Some(worker) = samples.get("worker").and_then(|samples| samples.last()) {
            tracing::info!("after {:.0} s the worker has {:.1} MB", worker.0, worker.1);
        }
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_leaves_out_the_time_in_which_caches_fill() {
        let mut samples: Vec<(f64, f64)> = (0..100).map(|second| (f64::from(second), 50.0)).collect();
        samples[0].1 = 20.0;
        let memory = Memory::of(samples).unwrap();
        assert!(memory.megabytes_per_hour.abs() < 1e-9);
        assert_eq!(
            (memory.first_megabytes, memory.last_megabytes, memory.largest_megabytes),
            (20.0, 50.0, 50.0)
        );
        assert!(Memory::of(Vec::new()).is_none());
    }
}
