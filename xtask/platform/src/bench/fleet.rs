//! `cargo xtask bench fleet`: the operator of this build and that of an earlier commit, one after the other, each with an
//! unused API server.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use steadfast_testkit::{
    bench::{
        Build, Goal,
        fleet::{self, FleetOptions, FleetReport},
    },
    release::Profile,
    stack::BinaryDir,
    tools::progress,
};

use super::before;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Agents, each with three AgentTools and a Secret.
    #[arg(long, default_value_t = FleetOptions::default().agents)]
    agents: usize,
    /// Agents in each namespace.
    #[arg(long, default_value_t = FleetOptions::default().agents_per_namespace)]
    agents_per_namespace: usize,
    /// Agents, and Deployments with equal pods, that are created at one pace; 0 leaves the comparison out.
    #[arg(long, default_value_t = FleetOptions::default().paced)]
    paced: usize,
    /// Minutes without any change, in which writes are counted.
    #[arg(long, default_value_t = FleetOptions::default().idle.as_secs() / 60)]
    idle_minutes: u64,
    /// Also measures the operator of this commit, and builds it first; its idle time is one minute at most.
    #[arg(long, value_name = "COMMIT")]
    before: Option<String>,
    /// Records the report in `docs/benchmarks`.
    #[arg(long)]
    pub(super) write: bool,
}

/// The figures of each build, and their goals.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    profile: &'static str,
    this_build: FleetReport,
    goals: Vec<Goal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Earlier>,
}

#[derive(Debug, Serialize)]
struct Earlier {
    commit: String,
    figures: FleetReport,
    /// This build to the earlier one.
    memory_ratio: f64,
}

impl Report {
    pub(super) fn missed_goals(&self) -> Vec<String> {
        Goal::missed(&self.goals)
    }

    /// The name of its file in `docs/benchmarks`.
    pub(super) fn name(&self) -> String {
        format!("fleet-{}-agents", self.this_build.agents)
    }
}

pub(super) async fn run(arguments: &Arguments, profile: Profile, programs: BinaryDir) -> anyhow::Result<Report> {
    let options = FleetOptions {
        agents: arguments.agents.max(1),
        agents_per_namespace: arguments.agents_per_namespace.max(1),
        paced: arguments.paced,
        idle: Duration::from_mins(arguments.idle_minutes),
    };
    let before = match arguments.before.as_deref() {
        Some(commit) => Some(before::build(commit, profile, &["steadfast-operator"])?),
        None => None,
    };
    let this_build = fleet::run(&Build::of_this_commit(programs), options).await?;
    let before = match before {
        None => None,
        Some(before) => {
            progress::print(&format!("now {}", before.commit));
            let options = FleetOptions {
                paced: 0,
                idle: options.idle.min(Duration::from_mins(1)),
                ..options
            };
            let figures = fleet::run(&before.build()?, options).await?;
            let ratio = this_build.memory.fleet_mebibytes / figures.memory.fleet_mebibytes;
            Some(Earlier {
                commit: before.commit,
                memory_ratio: (ratio * 1000.0).round() / 1000.0,
                figures,
            })
        }
    };
    Ok(Report {
        profile: profile.name(),
        goals: this_build.goals(),
        this_build,
        before,
    })
}
