//! A Secret that is rotated while turns stream: what is lost, and when the new pods have its value.
//!
//! The pods are processes of this machine ([`LocalNode`](crate::LocalNode)).

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use serde::Serialize;
use serde_json::json;

use super::{
    Build, Goal,
    local_cluster::{self, LIMIT, LocalCluster, SECRET, SECRET_KEY, agent, credentials},
    paced_model::{PacedModel, Work},
    statistics::{float, rounded},
};
use crate::{
    stack::{BinaryDir, Client, Task, Viewer},
    temporal::TemporalOptions,
    wait,
};

const AGENT: &str = "rotated";
/// Pods of the Agent.
const WORKERS: usize = 2;
/// Requests of the bench that are in flight at once.
const REQUESTS_AT_ONCE: usize = 16;
const PACE_MS: u32 = 200;

/// The size of the benchmark.
#[derive(Clone, Copy, Debug)]
pub struct RotationOptions {
    /// Turns that stream while the Secret is rotated.
    pub turns: usize,
    /// How long the answer of each turn is.
    pub answer: Duration,
}

impl Default for RotationOptions {
    fn default() -> Self {
        Self {
            turns: 200,
            answer: Duration::from_mins(1),
        }
    }
}

/// The report of the benchmark.
#[derive(Clone, Debug, Serialize)]
pub struct RotationReport {
    pub processors: usize,
    pub turns: usize,
    /// Turns that streamed when the Secret was rotated.
    pub live: usize,
    /// Turns that have not completed, or whose viewer missed an entry of the log.
    pub lost: usize,
    /// What became of them.
    pub problems: Vec<String>,
    /// Requests to the model beyond one per turn: calls that were begun again in another pod.
    pub repeated_model_calls: usize,
    /// From the edit of the Secret until all pods are new and ready.
    pub seconds_to_new_pods: f64,
    /// From the edit of the Secret until no process of an old pod is left.
    pub seconds_to_end_of_old_pods: f64,
}

impl RotationReport {
    /// Every figure that has a goal.
    pub fn goals(&self) -> Vec<Goal> {
        vec![
            Goal::new("lost", float(self.lost), 0.0),
            Goal::new("seconds_to_new_pods", self.seconds_to_new_pods, 30.0),
        ]
    }
}

/// Runs the benchmark with the programs of this commit.
pub async fn run(programs: &BinaryDir, options: RotationOptions) -> anyhow::Result<RotationReport> {
    let build = Build::of_this_commit(programs.clone());
    let control_plane = local_cluster::control_plane(&build).await?;
    let stack = local_cluster::stack(programs, &control_plane.kubeconfig(), TemporalOptions::default()).await?;
    let model = PacedModel::start()?;
    let cluster = LocalCluster::start(control_plane, &stack, &build).await?;
    let spec = json!({ "credentials": credentials(), "worker": { "replicas": WORKERS } });
    cluster
        .create_agents(&[agent(AGENT, &model.base_url(), &spec)], 1)
        .await?;

    let client = stack.client()?;
    let mut turns = Vec::new();
    let mut begun = stream::iter(0..options.turns)
        .map(|number| begin(&client, number, options.answer))
        .buffer_unordered(REQUESTS_AT_ONCE);
    while let Some(turn) = begun.next().await {
        turns.push(turn?);
    }
    drop(begun);
    let live = turns.iter().filter(|(_, viewer)| is_live(viewer)).count();
    tracing::info!("{live} turns stream; now the Secret is rotated");
    let before = cluster.processes();
    let rotated = Instant::now();
    let change = json!({ "stringData": { SECRET_KEY: "sk-rotated" } });
    cluster.edit::<Secret>(SECRET, &change).await?;
    let new_pods = wait::until("new pods", LIMIT, async || {
        let mut ready = 0;
        for pod in cluster.pods() {
            let process = pod.service().process().map(|process| process.to_string());
            let is_new = !before.contains(&(pod.name().to_owned(), process.unwrap_or_default()));
            if is_new && pod.admin("readyz").await.is_ok() {
                ready += 1;
            }
        }
        ensure!(ready == WORKERS, "{ready} new pods are ready");
        Ok(rotated.elapsed())
    });
    let old_pods = wait::until("the end of the old pods", LIMIT, async || {
        let left = cluster.processes().intersection(&before).count();
        ensure!(left == 0, "{left} old pods are left");
        Ok(rotated.elapsed())
    });
    let ends = async {
        let mut problems = Vec::new();
        for (task, viewer) in &turns {
            if let Err(error) = whole(viewer).await {
                problems.push(format!("{}: {error:#}", task.id()));
            }
        }
        anyhow::Ok(problems)
    };
    let (new_pods, old_pods, problems) = tokio::try_join!(new_pods, old_pods, ends)?;
    Ok(RotationReport {
        processors: std::thread::available_parallelism().map_or(0, usize::from),
        turns: turns.len(),
        live,
        lost: problems.len(),
        problems,
        repeated_model_calls: model.requests().saturating_sub(turns.len()),
        seconds_to_new_pods: rounded(new_pods.as_secs_f64()),
        seconds_to_end_of_old_pods: rounded(old_pods.as_secs_f64()),
    })
}

/// Begins a turn, and waits until its answer streams.
async fn begin(client: &Client, number: usize, answer: Duration) -> anyhow::Result<(Task, Viewer)> {
    let deltas = answer.as_millis() / u128::from(PACE_MS);
    let work = Work {
        run: format!("turn-{number}"),
        calls: 0,
        result_bytes: 0,
        deltas: u32::try_from(deltas).context("the answer is too long")?,
        pace_ms: PACE_MS,
    };
    let task = client.task(AGENT).await?;
    let viewer = task.watch().await?;
    task.send(&work.to_string()).await?;
    viewer
        .until("the first text", |seen| !seen.last_text().is_empty())
        .await?;
    Ok((task, viewer))
}

fn is_live(viewer: &Viewer) -> bool {
    viewer.state().of_turn("turn_ended", 1).is_none()
}

/// Waits until the turn has completed with every entry of its log.
async fn whole(viewer: &Viewer) -> anyhow::Result<()> {
    let state = wait::until("the end of the turn", LIMIT, async || {
        let state = viewer.state();
        let ended = state.closed.is_some() || state.of_turn("turn_ended", 1).is_some();
        ensure!(ended, "it has not ended");
        Ok(state)
    })
    .await?;
    let end = state.of_turn("turn_ended", 1);
    let end = end.with_context(|| format!("the stream ended before the turn: {:?}", state.closed))?;
    ensure!(end.data["status"] == "completed", "it has not completed: {}", end.data);
    state.check_gapless()
}
