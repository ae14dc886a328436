//! From zero: Agents whose workers were scaled to zero get a message each at once, and others start by a schedule.
//!
//! The pods are processes of this machine ([`LocalNode`](crate::LocalNode)), so what a container runtime adds is missing.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use kube::api::{DynamicObject, ListParams};
use serde::Serialize;
use serde_json::{Value, json};
use steadfast_crds::Agent;

use super::{
    Build, Goal,
    first_token::{Waiting, message},
    local_cluster::{self, LIMIT, LocalCluster, agent, credentials},
    paced_model::PacedModel,
    statistics::{milliseconds, percentile, rounded},
    turn::Latency,
};
use crate::{
    stack::{BinaryDir, Stack},
    temporal::TemporalOptions,
    wait,
};

/// The shortest that an Agent can have.
const COOLDOWN: &str = "1m";
/// The Agent that gets a message while nobody else does.
const ALONE: &str = "alone";
const MINUTE: u64 = 60;
/// A schedule is edited so long before it is due, at least.
const NOTICE: u64 = 20;

/// The size of the benchmark.
#[derive(Clone, Copy, Debug)]
pub struct WakeOptions {
    /// Sleeping Agents that get a message at once.
    pub agents: usize,
    /// Sleeping Agents that are started by a schedule, all in the same minute.
    pub schedules: usize,
}

impl Default for WakeOptions {
    fn default() -> Self {
        Self {
            agents: 50,
            schedules: 10,
        }
    }
}

/// The report of the benchmark.
#[derive(Clone, Debug, Serialize)]
pub struct WakeReport {
    pub processors: usize,
    pub agents: usize,
    /// From the request with a message to one sleeping Agent until a viewer has the first text.
    pub alone_milliseconds: f64,
    /// The same of all Agents at once.
    pub first_token: Latency,
    pub schedules: usize,
    /// From the time of the schedule until the request at the model.
    pub schedule_seconds_p50: f64,
    pub schedule_seconds_most: f64,
}

impl WakeReport {
    /// Every figure that has a goal.
    pub fn goals(&self) -> Vec<Goal> {
        vec![
            Goal::new("alone_milliseconds", self.alone_milliseconds, 5_000.0),
            Goal::new("schedule_seconds_most", self.schedule_seconds_most, 60.0),
        ]
    }
}

/// Runs the benchmark with the programs of this commit.
pub async fn run(programs: &BinaryDir, options: WakeOptions) -> anyhow::Result<WakeReport> {
    let build = Build::of_this_commit(programs.clone());
    let control_plane = local_cluster::control_plane(&build).await?;
    let stack = local_cluster::stack(programs, &control_plane.kubeconfig(), TemporalOptions::default()).await?;
    let model = PacedModel::start()?;
    let cluster = LocalCluster::start(control_plane, &stack, &build).await?;
    let agents: Vec<Value> = names(options).map(|name| that_sleeps(&name, &model)).collect();
    cluster.create_agents(&agents, agents.len()).await?;
    tracing::info!("{} Agents run; now they fall asleep", agents.len());
    // A new task would wake its Agent.
    let waiting = tasks(&stack, options).await?;
    asleep(&cluster).await?;

    let alone = waiting.first().context("there is no Agent")?;
    let alone_time = alone.first_token(ALONE).await?;
    let runs = waiting.iter().skip(1).enumerate();
    let tokens =
        try_join_all(runs.map(async |(number, one)| one.first_token(&format!("awake-{number}")).await)).await?;
    tracing::info!("all {} have answered", tokens.len());
    asleep(&cluster).await?;
    let late = schedules(&cluster, &model, options.schedules).await?;
    let seconds = |percent| rounded(percentile(late.clone(), percent).unwrap_or_default());
    Ok(WakeReport {
        processors: std::thread::available_parallelism().map_or(0, usize::from),
        agents: tokens.len(),
        alone_milliseconds: rounded(milliseconds(alone_time)),
        first_token: Latency::of(tokens),
        schedules: late.len(),
        schedule_seconds_p50: seconds(50),
        schedule_seconds_most: seconds(100),
    })
}

fn scheduled(number: usize) -> String {
    format!("scheduled-{number}")
}

/// All Agents: the one that is alone first, those with schedules last.
fn names(options: WakeOptions) -> impl Iterator<Item = String> {
    let at_once = (0..options.agents).map(|number| format!("agent-{number}"));
    let by_schedule = (0..options.schedules).map(scheduled);
    std::iter::once(ALONE.to_owned()).chain(at_once).chain(by_schedule)
}

fn that_sleeps(name: &str, model: &PacedModel) -> Value {
    let autoscaling = json!({ "minReplicas": 0, "maxReplicas": 1, "cooldownPeriod": COOLDOWN });
    let spec = json!({ "credentials": credentials(), "worker": { "autoscaling": autoscaling } });
    agent(name, &model.base_url(), &spec)
}

/// A task of each Agent that gets a message.
async fn tasks(stack: &Stack, options: WakeOptions) -> anyhow::Result<Vec<Waiting>> {
    let client = stack.client()?;
    let mut tasks = Vec::new();
    for name in names(options).take(1 + options.agents) {
        tasks.push(Waiting::new(&client, &name).await?);
    }
    Ok(tasks)
}

/// Waits until no worker is left, and until every Agent says so.
async fn asleep(cluster: &LocalCluster) -> anyhow::Result<()> {
    wait::until("the Agents to fall asleep", LIMIT, async || {
        let pods = cluster.pods().len();
        ensure!(pods == 0, "{pods} pods are left");
        let agents = cluster.api::<Agent>().list(&ListParams::default()).await?;
        let awake = agents.iter().filter(|agent| !is_asleep(agent)).count();
        ensure!(awake == 0, "{awake} Agents are not asleep");
        Ok(())
    })
    .await
}

fn is_asleep(agent: &DynamicObject) -> bool {
    let conditions = agent.data["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|one| one["type"] == "Ready" && one["reason"] == "ScaledToZero")
}

/// Gives sleeping Agents a schedule for one of the next minutes. Returns how many seconds late each has asked its model.
async fn schedules(cluster: &LocalCluster, model: &PacedModel, count: usize) -> anyhow::Result<Vec<f64>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("read the clock")?;
    let due = (now.as_secs() + NOTICE).div_ceil(MINUTE) * MINUTE;
    let due_at = Instant::now() + Duration::from_secs(due).saturating_sub(now);
    let (minute, hour) = (due / MINUTE % 60, due / MINUTE / 60 % 24);
    for number in 0..count {
        let schedule = json!({
            "name": "once", "cron": format!("{minute} {hour} * * *"), "timeZone": "UTC",
            "message": message(&scheduled(number)),
        });
        let change = json!({ "spec": { "schedules": [schedule] } });
        cluster.edit::<Agent>(&scheduled(number), &change).await?;
    }
    let mut late = Vec::new();
    for number in 0..count {
        let run = scheduled(number);
        let asked = wait::until(format!("{run} to ask its model"), LIMIT, async || {
            model.arrivals(&run).first().copied().context("it has not")
        })
        .await?;
        late.push(asked.saturating_duration_since(due_at).as_secs_f64());
    }
    Ok(late)
}
