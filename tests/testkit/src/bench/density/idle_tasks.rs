//! What tasks cost that wait for their next message: no pod, but memory and storage of Temporal and Redis.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;

use super::{DensityOptions, name};
use crate::{
    bench::{
        first_token::Waiting,
        local_cluster::LocalCluster,
        process_usage,
        statistics::{float, rounded},
    },
    local_node::RunningPod,
    process::Service,
    redis::Redis,
    stack::{Client, Stack},
};

/// Turns that run at once while the tasks are made.
const TURNS_AT_ONCE: usize = 16;
const BYTES_PER_KILOBYTE: f64 = 1e3;
const KILOBYTES_PER_MEGABYTE: f64 = 1e3;

/// Tasks of one completed turn each, which do nothing now.
#[derive(Clone, Debug, Serialize)]
pub struct IdleTasks {
    pub tasks: usize,
    /// More pods than before.
    pub pods: usize,
    pub temporal: Part,
    /// Kilobytes of 10^3 bytes that each task takes in Temporal's database file.
    pub temporal_database_kilobytes_per_task: f64,
    pub redis: Part,
    /// Kilobytes that each task takes in Redis by its own count.
    pub redis_data_kilobytes_per_task: f64,
    pub workers: Part,
}

/// One program, before and after. Memory is resident, in megabytes of 10^6 bytes; processor time is in percent of one
/// processor, while nothing happens.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Part {
    pub megabytes_before: f64,
    pub megabytes_after: f64,
    pub kilobytes_per_task: f64,
    pub cpu_percent_before: f64,
    pub cpu_percent_after: f64,
}

/// What is read before and after.
struct Reading {
    pods: usize,
    temporal: Load,
    redis: Load,
    workers: Load,
    database_bytes: f64,
    redis_bytes: f64,
}

#[derive(Clone, Copy)]
struct Load {
    megabytes: f64,
    cpu_percent: f64,
}

pub(super) async fn measure(
    stack: &Stack,
    cluster: &LocalCluster,
    tasks: usize,
    options: DensityOptions,
) -> anyhow::Result<IdleTasks> {
    let before = Reading::of(stack, cluster, options.rest).await?;
    tracing::info!("{tasks} tasks of one turn each");
    let client = stack.client()?;
    let mut done = stream::iter(0..tasks)
        .map(|number| one_turn(&client, number, options.agents))
        .buffer_unordered(TURNS_AT_ONCE);
    let mut ended = 0;
    while let Some(()) = done.try_next().await? {
        ended += 1;
        if ended % 1_000 == 0 {
            tracing::info!("{ended} tasks are idle");
        }
    }
    drop(done);
    tokio::time::sleep(options.rest).await;
    let after = Reading::of(stack, cluster, options.rest).await?;
    let per_task = |before: f64, after: f64| rounded((after - before) / BYTES_PER_KILOBYTE / float(tasks));
    let part = |of: fn(&Reading) -> Load| Part::of(of(&before), of(&after), tasks);
    Ok(IdleTasks {
        tasks,
        pods: after.pods.saturating_sub(before.pods),
        temporal: part(|reading| reading.temporal),
        temporal_database_kilobytes_per_task: per_task(before.database_bytes, after.database_bytes),
        redis: part(|reading| reading.redis),
        redis_data_kilobytes_per_task: per_task(before.redis_bytes, after.redis_bytes),
        workers: part(|reading| reading.workers),
    })
}

async fn one_turn(client: &Client, number: usize, agents: usize) -> anyhow::Result<()> {
    let waiting = Waiting::new(client, &name(number % agents.max(1))).await?;
    waiting.first_token(&format!("idle-{number}")).await?;
    waiting.completed().await
}

impl Reading {
    async fn of(stack: &Stack, cluster: &LocalCluster, length: Duration) -> anyhow::Result<Self> {
        let pods = cluster.pods();
        let services = || {
            pods.iter()
                .map(|pod: &Arc<RunningPod>| pod.service())
                .collect::<Vec<_>>()
        };
        let (temporal, redis) = (vec![stack.temporal().service()], vec![stack.redis().service()]);
        let cpu = [cpu(&temporal)?, cpu(&redis)?, cpu(&services())?];
        tokio::time::sleep(length).await;
        let load = |services: &[&Service], before: Duration| Load::of(services, before, length);
        Ok(Self {
            temporal: load(&temporal, cpu[0])?,
            redis: load(&redis, cpu[1])?,
            workers: load(&services(), cpu[2])?,
            pods: pods.len(),
            database_bytes: stack.temporal().database_bytes()?,
            redis_bytes: used_memory(stack.redis()).await?,
        })
    }
}

impl Load {
    fn of(services: &[&Service], cpu_before: Duration, length: Duration) -> anyhow::Result<Self> {
        let used = cpu(services)?.saturating_sub(cpu_before);
        let resident = services
            .iter()
            .map(|service| process_usage::resident_megabytes(service));
        Ok(Self {
            megabytes: resident.sum::<anyhow::Result<f64>>()?,
            cpu_percent: 100.0 * used.as_secs_f64() / length.as_secs_f64(),
        })
    }
}

impl Part {
    fn of(before: Load, after: Load, tasks: usize) -> Self {
        Self {
            megabytes_before: rounded(before.megabytes),
            megabytes_after: rounded(after.megabytes),
            kilobytes_per_task: rounded((after.megabytes - before.megabytes) * KILOBYTES_PER_MEGABYTE / float(tasks)),
            cpu_percent_before: rounded(before.cpu_percent),
            cpu_percent_after: rounded(after.cpu_percent),
        }
    }
}

fn cpu(services: &[&Service]) -> anyhow::Result<Duration> {
    services.iter().map(|service| process_usage::cpu(service)).sum()
}

/// The bytes that Redis has for its data, by its own count.
async fn used_memory(redis: &Redis) -> anyhow::Result<f64> {
    let answer = redis.command("INFO memory").await?;
    let line = answer.lines().find_map(|line| line.trim().strip_prefix("used_memory:"));
    line.and_then(|number| number.parse().ok())
        .with_context(|| format!("find the memory in use in {answer}"))
}
