//! `cargo xtask bench viewers`: this build and an earlier commit, one after the other, each with an unused stack.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use steadfast_testkit::{
    TemporalOptions,
    bench::viewers::{self, ViewersOptions, ViewersReport},
    release::Profile,
    stack::{BinaryDir, Stack},
    tools::progress,
};

use super::before::{self, Before};

/// What clients read: Agentex's frames, and the events of the log.
const FORMATS: [&str; 2] = ["agentex", "events"];

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Tasks that stream at once.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    tasks: u32,
    /// Viewers of each task.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    viewers_per_task: u32,
    /// Deltas of each task per second.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=50))]
    deltas_per_second: u32,
    /// How long is measured, in seconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Also measures the gateway and the worker of this commit, and builds them first.
    #[arg(long, value_name = "COMMIT")]
    before: Option<String>,
}

/// The figures of each build by format of the stream, and their ratios.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    this_build: BTreeMap<&'static str, ViewersReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Earlier>,
}

#[derive(Debug, Serialize)]
struct Earlier {
    commit: String,
    figures: BTreeMap<&'static str, ViewersReport>,
    /// This build to the earlier one.
    ratios: BTreeMap<&'static str, Ratios>,
}

#[derive(Debug, Serialize)]
struct Ratios {
    p99: f64,
    processor_time_per_delivery: f64,
    memory_per_viewer: f64,
}

pub(super) async fn run(arguments: &Arguments, profile: Profile, programs: BinaryDir) -> anyhow::Result<Report> {
    let count = |number: u32| usize::try_from(number).context("convert a number");
    let options = ViewersOptions {
        tasks: count(arguments.tasks)?,
        viewers_per_task: count(arguments.viewers_per_task)?,
        pace: Duration::from_secs(1) / arguments.deltas_per_second,
        length: Duration::from_secs(arguments.seconds),
    };
    let before = match arguments.before.as_deref() {
        Some(commit) => Some(before::build(
            commit,
            profile,
            &["steadfast-worker", "steadfast-gateway"],
        )?),
        None => None,
    };
    let this_build = measure(&programs, options, "this build").await?;
    let before = match before {
        None => None,
        Some(Before { commit, programs, .. }) => {
            let figures = measure(&BinaryDir::new(programs), options, &commit).await?;
            let pairs = this_build
                .iter()
                .filter_map(|(format, now)| Some((*format, ratios(now, figures.get(format)?))));
            Some(Earlier {
                ratios: pairs.collect(),
                commit,
                figures,
            })
        }
    };
    Ok(Report { this_build, before })
}

async fn measure(
    programs: &BinaryDir,
    options: ViewersOptions,
    name: &str,
) -> anyhow::Result<BTreeMap<&'static str, ViewersReport>> {
    let mut reports = BTreeMap::new();
    for format in FORMATS {
        progress::print(&format!(
            "{name}: {} viewers, {format}",
            options.tasks * options.viewers_per_task
        ));
        let stack = Stack::start_with(TemporalOptions::default(), programs.clone()).await?;
        let report = viewers::run(&stack, options, format).await?;
        progress::print(&format!(
            "{name}, {format}: {} deliveries/s, p99 {} ms, {} us each, {} KB per viewer",
            report.deliveries_per_second,
            report.p99_milliseconds,
            report.gateway_microseconds_per_delivery,
            report.kilobytes_per_viewer
        ));
        reports.insert(format, report);
    }
    Ok(reports)
}

fn ratios(now: &ViewersReport, before: &ViewersReport) -> Ratios {
    let ratio = |of: fn(&ViewersReport) -> f64| (of(now) / of(before) * 1000.0).round() / 1000.0;
    Ratios {
        p99: ratio(|report| report.p99_milliseconds),
        processor_time_per_delivery: ratio(|report| report.gateway_microseconds_per_delivery),
        memory_per_viewer: ratio(|report| report.kilobytes_per_viewer),
    }
}
