//! How long a model call goes on after its turn was interrupted: with Redis,
//! whose channel brings the word to all workers, and without, by heartbeats.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::json;
use steadfast_crds::agent::HandoffInput;
use steadfast_crds::agent_revision::RevisionHandoff;
use steadfast_crds::names::agent_task_queue;

use crate::scripted_model::{Call, Gate, Outcome, Reply};
use crate::stack::{Agent, AgentSetup, INSTALL, NAMESPACE, PATIENCE, Stack, Task};
use crate::wait;

/// How big it is to be.
#[derive(Clone, Copy, Debug)]
pub struct InterruptOptions {
    /// Turns that are interrupted, with Redis and once more without.
    pub turns: usize,
}

impl Default for InterruptOptions {
    fn default() -> Self {
        Self { turns: 20 }
    }
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct InterruptReport {
    pub turns: usize,
    /// `model.timeouts.heartbeat` of the agent, which is the default.
    pub heartbeat_timeout: String,
    pub with_redis: Milliseconds,
    pub without_redis: Milliseconds,
}

/// From the request to interrupt until the model sees its client go.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Milliseconds {
    pub median: f64,
    pub longest: f64,
}

/// Runs it on a stack with nothing else on it; its Redis is gone afterwards.
pub async fn run(stack: &Stack, options: InterruptOptions) -> anyhow::Result<InterruptReport> {
    // Never opened: each answer hangs in its first word until its client goes.
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new("interrupted", move |_| Reply::stream().and_text("Well").and_hold(&held));
    let interrupted = stack.agent(setup).await?;
    // The workflow stands in another process than the model call, as it mostly does where there are many workers.
    let transfer = "transfer_to_interrupted";
    let setup = AgentSetup::new("home", move |_| Reply::call(transfer, &json!({}))).configure(|spec| {
        spec.handoffs = vec![RevisionHandoff {
            name: transfer.to_owned(),
            agent: "interrupted".to_owned(),
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
        heartbeat_timeout: steadfast_crds::model::ModelTimeouts::default().heartbeat.to_string(),
        with_redis,
        without_redis,
    })
}

async fn measure(home: &Agent, interrupted: &Agent, gate: &Gate, turns: usize) -> anyhow::Result<Milliseconds> {
    let mut took = Vec::new();
    for _ in 0..turns {
        let calls = interrupted.model().journal().len();
        let task = home.task().await?;
        task.send("Think.").await?;
        gate.reached_by(calls + 1, PATIENCE).await?;
        took.push(interrupt(interrupted, &task, calls).await?);
    }
    took.sort_unstable();
    let milliseconds = |took: Option<&Duration>| took.map_or(0.0, |took| took.as_secs_f64() * 1_000.0);
    Ok(Milliseconds {
        median: milliseconds(took.get(took.len() / 2)),
        longest: milliseconds(took.last()),
    })
}

/// How long the call goes on.
async fn interrupt(agent: &Agent, task: &Task, call: usize) -> anyhow::Result<Duration> {
    let asked = Instant::now();
    task.rpc("task/interrupt", json!({}), None).await?.result()?;
    let ended = wait::until("the model call to be given up", PATIENCE, async || {
        let journal = agent.model().journal();
        let call: &Call = journal.get(call).context("the call is in the journal")?;
        ensure!(call.outcome == Outcome::Abandoned, "it is {:?}", call.outcome);
        call.ended_at.context("a call that was given up has ended")
    })
    .await?;
    Ok(ended.saturating_duration_since(asked))
}
