//! The benches of whole clusters. Each prints its figures with their goals, and fails when one is missed.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use serde::Serialize;
use steadfast_testkit::{
    bench::{
        Goal,
        rotation::{self, RotationOptions},
        storms::{self, StormsOptions},
        wake::{self, WakeOptions},
    },
    release::Profile,
    stack::BinaryDir,
    tools::{files, progress},
    workspace,
};

use super::{density, fleet, print};

#[derive(Debug, Subcommand)]
pub(super) enum Bench {
    /// Idle Agents on a WorkerPool of two pods, beside Agents with pods of their own.
    Density(density::Arguments),
    /// What thousands of Agents cost: the operator and an API server, with pods that are played.
    Fleet(fleet::Arguments),
    /// A Secret that is rotated while turns stream: what is lost, and when the new pods run.
    Rotation(Rotation),
    /// What many Agents at once make of a change or of a loss: a rotated Secret, an edited AgentTool, a killed operator.
    Storms(Storms),
    /// From zero: sleeping Agents that get a message each at once, and others that a schedule starts.
    Wake(Wake),
}

pub(super) async fn run(bench: Bench, profile: Profile, programs: BinaryDir) -> anyhow::Result<()> {
    match bench {
        Bench::Density(arguments) => {
            let report = Box::pin(density::run(&arguments, profile, programs)).await?;
            finish(&report, arguments.write.then(|| report.name()), &report.missed_goals())
        }
        Bench::Fleet(arguments) => {
            let report = Box::pin(fleet::run(&arguments, profile, programs)).await?;
            finish(&report, arguments.write.then(|| report.name()), &report.missed_goals())
        }
        Bench::Rotation(arguments) => {
            let report = Box::pin(arguments.run(profile, programs)).await?;
            finish(&report, arguments.write.then(|| report.name()), &report.missed_goals())
        }
        Bench::Storms(arguments) => {
            let report = Box::pin(arguments.run(profile, programs)).await?;
            finish(&report, arguments.write.then(|| report.name()), &report.missed_goals())
        }
        Bench::Wake(arguments) => {
            let report = Box::pin(arguments.run(profile, programs)).await?;
            finish(&report, arguments.write.then(|| report.name()), &report.missed_goals())
        }
    }
}

/// Prints a report, records it under this name if there is one, and fails if it misses a goal.
fn finish(report: &impl Serialize, name: Option<String>, missed: &[String]) -> anyhow::Result<()> {
    print(report)?;
    if let Some(name) = name {
        let path = workspace::root().join("docs/benchmarks").join(format!("{name}.json"));
        let text = serde_json::to_string_pretty(report).context("write a report as JSON")?;
        files::write(&path, &format!("{text}\n"))?;
        progress::print(&format!("recorded in {}", path.display()));
    }
    ensure!(missed.is_empty(), "{}", missed.join("; "));
    Ok(())
}

#[derive(Debug, Args)]
pub(super) struct Wake {
    /// Sleeping Agents that get a message at once.
    #[arg(long, default_value_t = WakeOptions::default().agents)]
    agents: usize,
    /// Sleeping Agents that are started by a schedule, all in the same minute.
    #[arg(long, default_value_t = WakeOptions::default().schedules)]
    schedules: usize,
    /// Records the report in `docs/benchmarks`.
    #[arg(long)]
    write: bool,
}

#[derive(Debug, Args)]
pub(super) struct Rotation {
    /// Turns that stream while the Secret is rotated.
    #[arg(long, default_value_t = RotationOptions::default().turns)]
    turns: usize,
    /// How long each answer streams.
    #[arg(long, default_value_t = RotationOptions::default().answer.as_secs(), value_parser = clap::value_parser!(u64).range(1..))]
    answer_seconds: u64,
    /// Records the report in `docs/benchmarks`.
    #[arg(long)]
    write: bool,
}

#[derive(Debug, Args)]
pub(super) struct Storms {
    /// Agents, all in one namespace.
    #[arg(long, default_value_t = StormsOptions::default().agents)]
    agents: usize,
    /// Agents of a namespace that is deleted.
    #[arg(long, default_value_t = StormsOptions::default().deleted)]
    deleted: usize,
    /// How long Temporal is away.
    #[arg(long, default_value_t = StormsOptions::default().away.as_secs())]
    away_seconds: u64,
    /// Real workers from which Temporal is away.
    #[arg(long, default_value_t = StormsOptions::default().workers)]
    workers: usize,
    /// Records the report in `docs/benchmarks`.
    #[arg(long)]
    write: bool,
}

/// The figures of this build, and their goals.
#[derive(Debug, Serialize)]
pub(super) struct Report<F> {
    profile: &'static str,
    figures: F,
    goals: Vec<Goal>,
    #[serde(skip)]
    name: String,
}

impl<F> Report<F> {
    pub(super) fn missed_goals(&self) -> Vec<String> {
        Goal::missed(&self.goals)
    }

    /// The name of its file in `docs/benchmarks`.
    pub(super) fn name(&self) -> String {
        self.name.clone()
    }
}

impl Wake {
    pub(super) async fn run(&self, profile: Profile, programs: BinaryDir) -> anyhow::Result<Report<impl Serialize>> {
        let options = WakeOptions {
            agents: self.agents.max(1),
            schedules: self.schedules.max(1),
        };
        let figures = wake::run(&programs, options).await?;
        Ok(Report {
            profile: profile.name(),
            goals: figures.goals(),
            name: format!("wake-{}-agents", self.agents),
            figures,
        })
    }
}

impl Rotation {
    pub(super) async fn run(&self, profile: Profile, programs: BinaryDir) -> anyhow::Result<Report<impl Serialize>> {
        let options = RotationOptions {
            turns: self.turns.max(1),
            answer: Duration::from_secs(self.answer_seconds),
        };
        let figures = rotation::run(&programs, options).await?;
        Ok(Report {
            profile: profile.name(),
            goals: figures.goals(),
            name: format!("rotation-{}-turns", self.turns),
            figures,
        })
    }
}

impl Storms {
    pub(super) async fn run(&self, profile: Profile, programs: BinaryDir) -> anyhow::Result<Report<impl Serialize>> {
        let options = StormsOptions {
            // Three of them are edited by themselves.
            agents: self.agents.max(3),
            deleted: self.deleted.max(1),
            away: Duration::from_secs(self.away_seconds),
            workers: self.workers.max(1),
        };
        let figures = Box::pin(storms::run(&programs, options)).await?;
        Ok(Report {
            profile: profile.name(),
            goals: figures.goals(),
            name: format!("storms-{}-agents", self.agents),
            figures,
        })
    }
}
