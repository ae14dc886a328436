//! Storms: what many Agents at once make of a change or of a loss, with the API server, the played node and the
//! operators of [`fleet`](super::fleet).
//!
//! All Agents are in one namespace, and share a Secret and an AgentTool.

mod fleet;
mod report;
mod workers;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use steadfast_crds::Agent;

use self::fleet::{Fleet, most_status_writes};
use super::{
    Build,
    arrivals::{Arrivals, has_condition, state},
    fleet::{
        arena::{Arena, STANDBY},
        manifests::Member,
    },
    statistics::rounded,
};
use crate::{stack::BinaryDir, wait};

pub use report::{Change, Deletion, LeaderKilled, OperatorKilled, PodsAway, StormsReport, WorkersAway};

/// For everything that may take its time.
const LIMIT: Duration = Duration::from_mins(30);
/// The Agents that are edited while others are not.
const EDITED: [usize; 3] = [0, 1, 2];
/// The namespace that is deleted.
const DOOMED: &str = "doomed";

/// The size of the benchmark.
#[derive(Clone, Copy, Debug)]
pub struct StormsOptions {
    pub agents: usize,
    /// Agents of the namespace that is deleted.
    pub deleted: usize,
    /// How long Temporal is away.
    pub away: Duration,
    /// Real workers that are there when Temporal is away.
    pub workers: usize,
}

impl Default for StormsOptions {
    fn default() -> Self {
        Self {
            agents: 1_000,
            deleted: 100,
            away: Duration::from_mins(1),
            workers: 50,
        }
    }
}

/// Runs the benchmark with the programs of this commit.
pub async fn run(programs: &BinaryDir, options: StormsOptions) -> anyhow::Result<StormsReport> {
    tracing::info!("Temporal is away from {} real workers", options.workers);
    let workers_away = workers::away(programs, options.workers, options.away).await?;
    let arena = Arena::start(&Build::of_this_commit(programs.clone())).await?;
    tracing::info!("{} Agents in one namespace", options.agents);
    let fleet = Fleet::create(&arena, options.agents).await?;
    tracing::info!("Temporal is away");
    let pods_away = pods_away(&fleet, options.away).await?;
    tracing::info!("the Secret of all is rotated");
    let secret_rotated = fleet.change(fleet.rotate_secret(1)).await?;
    tracing::info!("the AgentTool of all is edited");
    let tool_edited = fleet.change(fleet.edit_tool()).await?;
    tracing::info!("the API server is restarted");
    let api_server_restarted = api_server_restarted(&fleet).await?;
    tracing::info!("a namespace is deleted");
    let namespace_deleted = namespace_deleted(&arena, options.deleted).await?;
    tracing::info!("the leader is killed");
    let leader_killed = leader_killed(&fleet).await?;
    tracing::info!("the operator is killed while the Secret of all is rotated");
    let operator_killed = operator_killed(&fleet).await?;
    Ok(StormsReport {
        processors: std::thread::available_parallelism().map_or(0, usize::from),
        agents: options.agents,
        workers_away,
        pods_away,
        secret_rotated,
        tool_edited,
        api_server_restarted,
        namespace_deleted,
        leader_killed,
        operator_killed,
    })
}

/// Temporal answers nothing, every pod becomes unready and then ready again.
async fn pods_away(fleet: &Fleet<'_>, length: Duration) -> anyhow::Result<PodsAway> {
    let arena = fleet.arena();
    let mark = arena.mark()?;
    arena.temporal().freeze()?;
    let mut unready = fleet.watch(|agent| !has_condition(agent, "Ready"));
    fleet.set_pods("False").await?;
    unready.until(0, fleet.len(), LIMIT).await?;
    tokio::time::sleep(length).await;
    let away = most_status_writes(&arena.writes_since(mark)?);
    let mark = arena.mark()?;
    arena.temporal().thaw()?;
    let mut ready = fleet.watch(|agent| has_condition(agent, "Ready"));
    fleet.set_pods("True").await?;
    ready.until(0, fleet.len(), LIMIT).await?;
    arena.until_idle(0).await?;
    let back = most_status_writes(&arena.writes_since(mark)?);
    Ok(PodsAway {
        seconds: length.as_secs(),
        most_status_writes_while_away: away,
        most_status_writes_when_back: back,
    })
}

/// One Agent is edited while the API server is away; nothing else is written.
async fn api_server_restarted(fleet: &Fleet<'_>) -> anyhow::Result<Change> {
    let control_plane = fleet.arena().control_plane();
    fleet
        .change(async {
            control_plane.apiserver().kill().await?;
            control_plane.restart().await?;
            fleet.edit_agent(EDITED[0]).await
        })
        .await
}

/// A namespace with Agents of its own goes, with everything in it.
async fn namespace_deleted(arena: &Arena, agents: usize) -> anyhow::Result<Deletion> {
    arena.create_namespace(DOOMED).await?;
    let ready = state(|agent| has_condition(agent, "Ready"));
    let mut arrivals = Arrivals::watch(arena.within::<Agent>(DOOMED), vec![ready]);
    let members: Vec<Member> = (0..agents)
        .map(|number| Member {
            namespace: DOOMED.to_owned(),
            name: format!("doomed-{number}"),
        })
        .collect();
    arena.create_fleet(&members).await?;
    arrivals.until(0, agents, LIMIT).await?;
    arena.until_idle(0).await?;
    let (mark, began) = (arena.mark()?, Instant::now());
    arena.delete_namespace(DOOMED).await?;
    let seconds = began.elapsed().as_secs_f64();
    arena.until_idle(0).await?;
    let writes = arena.writes_since(mark)?;
    Ok(Deletion {
        agents,
        seconds: rounded(seconds),
        writes_elsewhere: writes.iter().filter(|write| write.namespace != DOOMED).count(),
        refused_writes: writes.iter().filter(|write| write.code >= 400).count(),
    })
}

/// `kill -9` of the leader with a replica that waits.
async fn leader_killed(fleet: &Fleet<'_>) -> anyhow::Result<LeaderKilled> {
    let arena = fleet.arena();
    let mark = arena.mark()?;
    let standby = arena.standby().await?;
    standby.launch().await?;
    // The leader acts, the other one not.
    fleet.edit_agent(EDITED[1]).await?.converged(fleet).await?;
    let writes_of_standby = arena.writes_of(STANDBY, mark)?.len();
    arena.operator.kill().await?;
    let killed = Instant::now();
    fleet.edit_agent(EDITED[2]).await?.reached_by(1).await?;
    let seconds = killed.elapsed().as_secs_f64();
    // The first one is the only one again.
    standby.stop().await?;
    arena.operator.launch().await?;
    arena.until_idle(fleet.len()).await?;
    Ok(LeaderKilled {
        seconds_to_first_revision: rounded(seconds),
        writes_of_standby,
    })
}

/// `kill -9` of the operator when a third of the Agents have the new value.
async fn operator_killed(fleet: &Fleet<'_>) -> anyhow::Result<OperatorKilled> {
    let arena = fleet.arena();
    let began = Instant::now();
    let mut expected = fleet.rotate_secret(2).await?;
    expected.reached_by(fleet.len() / 3).await?;
    arena.operator.kill().await?;
    let done = expected.count();
    arena.operator.launch().await?;
    expected.converged(fleet).await?;
    arena.until_idle(fleet.len()).await?;
    let seconds = began.elapsed().as_secs_f64();
    wait::until("the end of what is left over", LIMIT, async || {
        let leftovers = fleet.leftovers().await?;
        ensure!(leftovers.is_empty(), "{}", leftovers.join(", "));
        Ok(())
    })
    .await
    .context("after the operator was killed")?;
    Ok(OperatorKilled {
        agents_done_when_killed: done,
        seconds_to_converge: rounded(seconds),
    })
}
