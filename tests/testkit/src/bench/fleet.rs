//! What thousands of Agents cost: an API server with a node that is played, and the operator.
//!
//! The pods run nothing, so all that is measured is the operator and what it asks of the API server. What the API server
//! and the controllers of Kubernetes take by themselves is measured in the same run, with Deployments whose pods are equal.

pub(super) mod arena;
pub(super) mod manifests;
mod paced;
mod report;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod, Secret, ServiceAccount},
    rbac::v1::{Role, RoleBinding},
};
use steadfast_crds::{Agent, AgentRevision, AgentTool};

use self::{
    arena::{Arena, by_kind},
    manifests::{Member, TOOLS_PER_AGENT},
};
use super::{
    Build,
    arrivals::{Arrivals, State, has_condition, state},
    process_usage,
    statistics::{float, milliseconds, rounded},
};
use crate::cluster::Write;

pub use paced::{PacedReport, Rate};
pub use report::{FleetReport, Idle, Memory, Restart, Writes};

const LIMIT: Duration = Duration::from_hours(1);
/// Places in the states that are watched.
const ACCEPTED: usize = 0;
const READY: usize = 1;

/// The size of the benchmark.
#[derive(Clone, Copy, Debug)]
pub struct FleetOptions {
    /// Agents, each with three AgentTools and a Secret.
    pub agents: usize,
    pub agents_per_namespace: usize,
    /// Agents and Deployments that are created at one pace; 0 leaves the comparison out.
    pub paced: usize,
    /// How long nothing happens while writes are counted.
    pub idle: Duration,
}

impl Default for FleetOptions {
    fn default() -> Self {
        Self {
            agents: 5_100,
            agents_per_namespace: 100,
            paced: 200,
            idle: Duration::from_mins(10),
        }
    }
}

/// Runs the benchmark with the operator of this build.
pub async fn run(build: &Build, options: FleetOptions) -> anyhow::Result<FleetReport> {
    let arena = Arena::start(build).await?;
    let paced = match options.paced {
        0 => None,
        objects => {
            tracing::info!("{objects} Agents and {objects} Deployments at the same pace");
            let compared = paced::compare(&arena, objects).await?;
            // Its memory is measured with nothing but the fleet.
            arena.restart(0).await?;
            Some(compared)
        }
    };
    let empty = arena.mebibytes()?;

    tracing::info!("{} Agents at once", options.agents);
    let members: Vec<Member> = (0..options.agents)
        .map(|number| Member::of_fleet(number, options.agents_per_namespace))
        .collect();
    let namespaces: BTreeSet<&str> = members.iter().map(|member| member.namespace.as_str()).collect();
    for namespace in &namespaces {
        arena.create_namespace(namespace).await?;
    }
    let mut arrivals = Arrivals::watch(arena.all::<Agent>(), ["Accepted", "Ready"].map(is).to_vec());
    let (mark, cpu) = (arena.mark()?, process_usage::cpu(arena.process())?);
    let began = Instant::now();
    let created = arena.create_fleet(&members).await?;
    let accepted = arrivals.until(ACCEPTED, members.len(), LIMIT).await?;
    let ready = arrivals.until(READY, members.len(), LIMIT).await?;
    arena.until_idle(members.len()).await?;
    drop(arrivals);
    let cpu = process_usage::cpu(arena.process())?.saturating_sub(cpu);
    let written = arena.writes_since(mark)?;
    let memory = Memory::of(empty, arena.mebibytes()?, watched_objects(&arena).await?);
    let after_creation = |last: Option<&Instant>| {
        let last = last.context("nothing has arrived")?;
        anyhow::Ok(rounded(last.saturating_duration_since(created).as_secs_f64()))
    };

    tracing::info!("{:?} without any change", options.idle);
    let idle = rest(&arena, options.idle).await?;
    tracing::info!("a restart");
    let restart = restart(&arena, members.len()).await?;
    Ok(FleetReport {
        processors: std::thread::available_parallelism().map_or(0, usize::from),
        agents: members.len(),
        tools: members.len() * TOOLS_PER_AGENT,
        namespaces: namespaces.len(),
        paced,
        creates_per_second: rounded(
            float(members.len() * (TOOLS_PER_AGENT + 2)) / created.saturating_duration_since(began).as_secs_f64(),
        ),
        seconds_to_last_accepted: after_creation(accepted.values().max())?,
        seconds_to_last_ready: after_creation(ready.values().max())?,
        cpu_milliseconds_per_agent: rounded(milliseconds(cpu) / float(members.len())),
        writes: writes(&written, members.len()),
        memory,
        idle,
        restart,
    })
}

fn is(condition: &'static str) -> State {
    state(move |agent| has_condition(agent, condition))
}

/// What creating the fleet has cost the API server.
fn writes(written: &[Write], agents: usize) -> Writes {
    let is_of_tool = |write: &&Write| write.resource.starts_with("agenttools");
    let of_tools = written.iter().filter(is_of_tool).count();
    Writes {
        per_agent: rounded(float(written.len() - of_tools) / float(agents)),
        per_tool: rounded(float(of_tools) / float(agents * TOOLS_PER_AGENT)),
        failed: written.iter().filter(|write| write.code >= 400).count(),
        by_kind: by_kind(written),
    }
}

/// The objects that the operator watches.
async fn watched_objects(arena: &Arena) -> anyhow::Result<usize> {
    let user_made = [
        arena.count::<Agent>().await?,
        arena.count::<AgentTool>().await?,
        arena.count::<Secret>().await?,
        arena.count::<ConfigMap>().await?,
    ];
    let made_of_them = [
        arena.count::<AgentRevision>().await?,
        arena.count::<Deployment>().await?,
        arena.count::<Pod>().await?,
        arena.count::<ServiceAccount>().await?,
        arena.count::<Role>().await?,
        arena.count::<RoleBinding>().await?,
    ];
    Ok(user_made.into_iter().chain(made_of_them).sum())
}

async fn rest(arena: &Arena, length: Duration) -> anyhow::Result<Idle> {
    let (mark, cpu) = (arena.mark()?, process_usage::cpu(arena.process())?);
    tokio::time::sleep(length).await;
    let cpu = process_usage::cpu(arena.process())?.saturating_sub(cpu);
    let written = arena.writes_since(mark)?;
    Ok(Idle {
        minutes: rounded(length.as_secs_f64() / 60.0),
        writes: written.len(),
        by_kind: by_kind(&written),
        cpu_percent: rounded(100.0 * cpu.as_secs_f64() / length.as_secs_f64()),
        mebibytes: rounded(arena.mebibytes()?),
    })
}

async fn restart(arena: &Arena, agents: usize) -> anyhow::Result<Restart> {
    let mark = arena.mark()?;
    let seconds = arena.restart(agents).await?.as_secs_f64();
    let written = arena.writes_since(mark)?;
    Ok(Restart {
        seconds_to_idle: rounded(seconds),
        writes: written.len(),
        by_kind: by_kind(&written),
        mebibytes: rounded(arena.mebibytes()?),
    })
}
