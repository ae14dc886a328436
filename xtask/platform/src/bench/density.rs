//! `cargo xtask bench density`: idle Agents on a pool, and with workers of their own, of this build and of an earlier
//! commit.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use steadfast_testkit::{
    bench::{
        Goal,
        density::{self, DensityOptions, DensityReport, Ratios},
    },
    release::Profile,
    stack::BinaryDir,
};

use super::before;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Idle Agents on the pool.
    #[arg(long, default_value_t = DensityOptions::default().agents)]
    agents: usize,
    /// Pods of the pool.
    #[arg(long, default_value_t = DensityOptions::default().workers)]
    workers: usize,
    /// Agents with a worker of their own, whose memory is multiplied up to the Agents of the pool.
    #[arg(long, default_value_t = DensityOptions::default().own_workers)]
    own_workers: usize,
    /// Messages to Agents that are chosen at random.
    #[arg(long, default_value_t = DensityOptions::default().messages)]
    messages: usize,
    /// Tasks that wait for their next message; 0 leaves them out.
    #[arg(long, default_value_t = DensityOptions::default().idle_tasks)]
    idle_tasks: usize,
    /// Seconds without work, before memory is read.
    #[arg(long, default_value_t = DensityOptions::default().rest.as_secs())]
    rest_seconds: u64,
    /// Also measures workers of this commit, and builds them and their operator first.
    #[arg(long, value_name = "COMMIT")]
    before: Option<String>,
    /// Records the report in `docs/benchmarks`.
    #[arg(long)]
    pub(super) write: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Report {
    profile: &'static str,
    /// The earlier commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit_before: Option<String>,
    figures: DensityReport,
    ratios: Ratios,
    goals: Vec<Goal>,
}

impl Report {
    pub(super) fn missed_goals(&self) -> Vec<String> {
        Goal::missed(&self.goals)
    }

    /// The name of its file in `docs/benchmarks`.
    pub(super) fn name(&self) -> String {
        format!("density-{}-agents", self.figures.agents)
    }
}

pub(super) async fn run(arguments: &Arguments, profile: Profile, programs: BinaryDir) -> anyhow::Result<Report> {
    let before = match arguments.before.as_deref() {
        Some(commit) => Some(before::build(
            commit,
            profile,
            &["steadfast-operator", "steadfast-worker"],
        )?),
        None => None,
    };
    let earlier = before.as_ref().map(before::Before::build).transpose()?;
    let options = DensityOptions {
        agents: arguments.agents.max(1),
        workers: arguments.workers.max(1),
        own_workers: arguments.own_workers.max(1),
        messages: arguments.messages,
        idle_tasks: arguments.idle_tasks,
        rest: Duration::from_secs(arguments.rest_seconds),
    };
    let figures = Box::pin(density::run(&programs, earlier.as_ref(), options)).await?;
    Ok(Report {
        profile: profile.name(),
        commit_before: before.map(|before| before.commit),
        ratios: figures.ratios(),
        goals: figures.goals(),
        figures,
    })
}
