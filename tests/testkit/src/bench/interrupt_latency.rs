//! The time from an interrupt until the model call ends: with Redis, whose channel
//! broadcasts the interrupt to all workers, and without, by heartbeats.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::json;
use steadfast_crds::{
    agent::HandoffInput, agent_revision::RevisionHandoff, model::ModelTimeouts, names::agent_task_queue,
};

use super::statistics::milliseconds;
use crate::{
    scripted_model::{Gate, ModelCall, Reply, ResponseOutcome},
    stack::{Agent, AgentSetup, INSTALL, NAMESPACE, Stack, TIMEOUT, Task},
    wait,
};

/// The size of the benchmark.
#[derive(Clone, Copy, Debug)]
pub struct InterruptOptions {
    /// Interrupted turns with Redis, and again without.
    pub turns: usize,
}

impl Default for InterruptOptions {
    fn default() -> Self {
        Self { turns: 20 }
    }
}

/// The report of the benchmark.
#[derive(Clone, Debug, Serialize)]
pub struct InterruptReport {
    pub turns: usize,
    /// The agent's `model.timeouts.heartbeat`, which is the default.
    pub heartbeat_timeout: String,
    pub with_redis: Milliseconds,
    pub without_redis: Milliseconds,
}

/// From the interrupt request until the model server sees the client disconnect.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Milliseconds {
    pub median: f64,
    pub longest: f64,
}

/// Runs the benchmark on an unused stack. Kills the stack's Redis.
pub async fn run(stack: &Stack, options: InterruptOptions) -> anyhow::Result<InterruptReport> {
    // Never opened: each response hangs after its first word until the client disconnects.
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new("interrupted", move |_| Reply::stream().and_text("Well").and_hold(&held));
    let interrupted = stack.agent(setup).await?;
    // Workflow and model call run in different processes, as they mostly do with many workers.
    let transfer = "transfer_to_interrupted";
    let setup = AgentSetup::new("home", move |_| Reply::call(transfer, &json!({}))).configure(|spec| {
        spec.handoffs = vec![RevisionHandoff {
            name: transfer.to_owned(),
            agent: "interrupted".to_owned(),
            namespace: None,
            description: String::new(),
            task_queue: agent_task_queue(INSTALL, NAMESPACE, "interrupted"),
            input: HandoffInput::All,
        }];
    });
    let home = stack.agent(setup).await?;
    let with_redis = measure(&home, &interrupted, &gate, options.turns).await?;
    stack.redis().kill().await?;
    let without_redis = measure(&home, &interrupted, &gate, options.turns).await?;
    Ok(InterruptReport {
        turns: options.turns,
        heartbeat_timeout: ModelTimeouts::default().heartbeat.to_string(),
        with_redis,
        without_redis,
    })
}

async fn measure(home: &Agent, interrupted: &Agent, gate: &Gate, turns: usize) -> anyhow::Result<Milliseconds> {
    let mut latencies = Vec::new();
    for _ in 0..turns {
        let calls = interrupted.model().journal().len();
        let task = home.task().await?;
        task.send("Think.").await?;
        gate.reached_by(calls + 1, TIMEOUT).await?;
        latencies.push(interrupt(interrupted, &task, calls).await?);
    }
    latencies.sort_unstable();
    let at = |index: usize| latencies.get(index).copied().map_or(0.0, milliseconds);
    Ok(Milliseconds {
        median: at(latencies.len() / 2),
        longest: at(latencies.len().saturating_sub(1)),
    })
}

/// Interrupts the task and returns how long its model call continues.
async fn interrupt(agent: &Agent, task: &Task, call: usize) -> anyhow::Result<Duration> {
    let requested = Instant::now();
    task.interrupt().await?;
    let ended = wait::until("the model call to be abandoned", TIMEOUT, async || {
        let journal = agent.model().journal();
        let call: &ModelCall = journal.get(call).context("find the call in the journal")?;
        ensure!(
            call.outcome == ResponseOutcome::Abandoned,
            "its outcome is {:?}",
            call.outcome
        );
        call.ended_at.context("find the end of the call")
    })
    .await?;
    Ok(ended.saturating_duration_since(requested))
}
