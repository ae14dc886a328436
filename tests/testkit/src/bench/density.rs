//! What idle Agents cost: many on one WorkerPool, beside Agents with pods of their own, of this build and of an earlier
//! one; and what idle tasks cost Temporal and Redis.
//!
//! The API server, the operator, Temporal, Redis, the gateway and the workers are real; the pods are processes of this
//! machine ([`LocalNode`](crate::LocalNode)).

mod idle_tasks;
mod memory;
mod report;

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use steadfast_crds::WorkerPool;

use self::memory::OwnWorkers;
use super::{
    Build,
    first_token::Waiting,
    local_cluster::{self, LocalCluster, agent, credentials},
    paced_model::PacedModel,
    random::Random,
    statistics::{milliseconds, rounded},
    turn::Latency,
};
use crate::{
    stack::{BinaryDir, Stack},
    temporal::{TemporalOptions, TemporalStorage},
};

pub use idle_tasks::{IdleTasks, Part};
pub use memory::{Extrapolated, PoolMemory};
pub use report::{DensityReport, Next, Ratios};

const POOL: &str = "shared";

/// The size of the benchmark.
#[derive(Clone, Copy, Debug)]
pub struct DensityOptions {
    /// Agents on the pool.
    pub agents: usize,
    /// Pods of the pool.
    pub workers: usize,
    /// Agents with a pod of their own, whose memory is multiplied up to the Agents of the pool.
    pub own_workers: usize,
    /// Messages to Agents that are chosen at random, one after the other.
    pub messages: usize,
    /// Tasks of the pool's Agents that wait for their next message; 0 leaves them out.
    pub idle_tasks: usize,
    /// Without work, before memory is read.
    pub rest: Duration,
}

impl Default for DensityOptions {
    fn default() -> Self {
        Self {
            agents: 1_000,
            workers: 2,
            own_workers: 20,
            messages: 50,
            idle_tasks: 10_000,
            rest: Duration::from_secs(30),
        }
    }
}

/// Runs the benchmark with the programs of this commit, and compares the memory with that of an earlier one.
pub async fn run(
    programs: &BinaryDir,
    before: Option<&Build>,
    options: DensityOptions,
) -> anyhow::Result<DensityReport> {
    let build = Build::of_this_commit(programs.clone());
    let control_plane = local_cluster::control_plane(&build).await?;
    let temporal = TemporalOptions {
        storage: TemporalStorage::File,
        ..TemporalOptions::default()
    };
    let stack = local_cluster::stack(programs, &control_plane.kubeconfig(), temporal).await?;
    let own_workers = own_workers(&stack, &build, options).await?;
    let before = match before {
        None => None,
        Some(earlier) => Some(self::own_workers(&stack, earlier, options).await?),
    };

    tracing::info!("{} Agents on a pool of {} workers", options.agents, options.workers);
    let model = PacedModel::start()?;
    let cluster = LocalCluster::start(control_plane, &stack, &build).await?;
    create_pool(&cluster, options.workers).await?;
    let agents: Vec<Value> = (0..options.agents)
        .map(|number| on_pool(number, &model.base_url()))
        .collect();
    cluster.create_agents(&agents, agents.len()).await?;
    tokio::time::sleep(options.rest).await;
    let pool = PoolMemory::of(&cluster.pods())?;

    let client = stack.client()?;
    let mut random = Random::new(1);
    let mut tokens = Vec::new();
    for number in 0..options.messages {
        let agent = random.below(u32::try_from(options.agents).unwrap_or(u32::MAX));
        let waiting = Waiting::new(&client, &name(usize::try_from(agent)?)).await?;
        tokens.push(waiting.first_token(&format!("message-{number}")).await?);
        waiting.completed().await?;
    }
    let next = next_agent(&cluster, &stack, &model, options.agents).await?;
    let idle_tasks = match options.idle_tasks {
        0 => None,
        tasks => Some(idle_tasks::measure(&stack, &cluster, tasks, options).await?),
    };
    Ok(DensityReport {
        processors: std::thread::available_parallelism().map_or(0, usize::from),
        agents: options.agents,
        messages: options.messages,
        pool,
        own_workers: own_workers.extrapolated(options.agents),
        before: before.map(|before| before.extrapolated(options.agents)),
        first_token: Latency::of(tokens),
        next_agent: next,
        idle_tasks,
    })
}

fn name(number: usize) -> String {
    format!("agent-{number}")
}

async fn create_pool(cluster: &LocalCluster, workers: usize) -> anyhow::Result<()> {
    let pool = json!({
        "apiVersion": "steadfast.dev/v1alpha1", "kind": "WorkerPool", "metadata": { "name": POOL },
        "spec": { "worker": { "replicas": workers }, "credentials": credentials() },
    });
    cluster.create::<WorkerPool>(pool).await?;
    cluster.until_ready::<WorkerPool>(1).await
}

fn on_pool(number: usize, base_url: &str) -> Value {
    agent(&name(number), base_url, &json!({ "workerPool": { "name": POOL } }))
}

/// One Agent more: which pods it restarts, and how soon it answers.
async fn next_agent(cluster: &LocalCluster, stack: &Stack, model: &PacedModel, number: usize) -> anyhow::Result<Next> {
    let before = cluster.processes();
    cluster
        .create_agents(&[on_pool(number, &model.base_url())], number + 1)
        .await?;
    let client = stack.client()?;
    let agent = name(number);
    let path = format!("/agents/name/{agent}");
    crate::wait::until("the gateway to list the next Agent", local_cluster::LIMIT, async || {
        client.get(&path).await?.success()
    })
    .await?;
    let waiting = Waiting::new(&client, &agent).await?;
    let token = waiting.first_token("next").await?;
    let after = cluster.processes();
    Ok(Next {
        other_processes: before.symmetric_difference(&after).count(),
        first_token_milliseconds: rounded(milliseconds(token)),
    })
}

/// The memory of workers that serve one Agent each.
async fn own_workers(stack: &Stack, build: &Build, options: DensityOptions) -> anyhow::Result<OwnWorkers> {
    let agents = options.own_workers;
    tracing::info!("{agents} Agents with a worker each");
    let control_plane = local_cluster::control_plane(build).await?;
    let cluster = LocalCluster::start(control_plane, stack, build).await?;
    let agents: Vec<Value> = (0..agents)
        .map(|number| {
            let spec = json!({ "credentials": credentials(), "worker": { "replicas": 1 } });
            agent(&format!("own-{number}"), "http://127.0.0.1:1/v1", &spec)
        })
        .collect();
    cluster.create_agents(&agents, agents.len()).await?;
    tokio::time::sleep(options.rest).await;
    OwnWorkers::of(&cluster.pods()).context("read the memory of the workers")
}
