//! Real workers from which Temporal is away for a time: what becomes of them, and what the operator writes about it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use steadfast_crds::Agent;

use super::{fleet::most_status_writes, report::WorkersAway};
use crate::{
    bench::{
        Build,
        first_token::Waiting,
        local_cluster::{self, LIMIT, LocalCluster, agent, credentials},
        paced_model::PacedModel,
        statistics::rounded,
    },
    stack::BinaryDir,
    temporal::TemporalOptions,
    wait,
};

pub(super) async fn away(programs: &BinaryDir, workers: usize, length: Duration) -> anyhow::Result<WorkersAway> {
    let build = Build::of_this_commit(programs.clone());
    let control_plane = local_cluster::control_plane(&build).await?;
    let stack = local_cluster::stack(programs, &control_plane.kubeconfig(), TemporalOptions::default()).await?;
    let model = PacedModel::start()?;
    let cluster = LocalCluster::start(control_plane, &stack, &build).await?;
    let spec = json!({ "credentials": credentials(), "worker": { "replicas": 1 } });
    let agents: Vec<Value> = (0..workers)
        .map(|number| agent(&name(number), &model.base_url(), &spec))
        .collect();
    cluster.create_agents(&agents, agents.len()).await?;
    let waiting = Waiting::new(&stack.client()?, &name(0)).await?;

    let (mark, before) = (cluster.audit()?.mark()?, cluster.processes());
    stack.temporal().freeze()?;
    tokio::time::sleep(length).await;
    let mut unready = 0;
    for pod in cluster.pods() {
        unready += usize::from(pod.admin("readyz").await.is_err());
    }
    stack.temporal().thaw()?;
    let returned = Instant::now();
    waiting.first_token("back").await?;
    let answered = returned.elapsed();
    wait::until("all workers to be ready again", LIMIT, async || {
        for pod in cluster.pods() {
            pod.admin("readyz").await?;
        }
        Ok(())
    })
    .await?;
    cluster.until_ready::<Agent>(workers).await?;
    let writes = cluster.audit()?.since(mark)?;
    Ok(WorkersAway {
        workers,
        seconds: length.as_secs(),
        unready,
        most_status_writes: most_status_writes(&writes),
        other_processes: before.symmetric_difference(&cluster.processes()).count(),
        seconds_to_answer: rounded(answered.as_secs_f64()),
    })
}

fn name(number: usize) -> String {
    format!("worker-{number}")
}
