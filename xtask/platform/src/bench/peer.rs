//! `cargo xtask bench peer`: what is asked for, and where the report goes.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use steadfast_testkit::{
    bench::peer::{self, Contestant, PeerOptions, PeerReport},
    release::Profile,
    stack::{BinaryDir, Stack},
    tools::progress,
};

use super::before;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Runs of a burst.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Rounds; each measures every contestant once.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measures only this contestant; may be given several times.
    #[arg(long = "only", value_name = "NAME")]
    only: Vec<Contestant>,
    /// Seconds without work, before the memory of a worker is read once more.
    #[arg(long, default_value_t = 60)]
    rest_seconds: u64,
    /// Deltas of an answer whose latency is measured, one every 20 ms.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(20..))]
    deltas: u32,
    /// Tool calls of the conversation with a long text; 0 leaves it out.
    #[arg(long, default_value_t = 100)]
    long_calls: u32,
    /// Also measures the worker of this commit, and builds it first.
    #[arg(long, value_name = "COMMIT")]
    before: Option<String>,
    /// Records the report in docs/benchmarks and generates docs/benchmarks.md.
    #[arg(long)]
    write: bool,
}

/// Measures, and returns the report. The table goes to standard error.
pub(super) async fn run(arguments: &Arguments, profile: Profile, programs: BinaryDir) -> anyhow::Result<PeerReport> {
    let contestants = contestants(arguments)?;
    let write = arguments.write;
    let before = match arguments.before.as_deref() {
        Some(commit) => Some(before::build(
            commit,
            profile,
            &["steadfast-worker", "steadfast-gateway"],
        )?),
        None => None,
    };
    let options = PeerOptions {
        runs: usize::try_from(arguments.runs).context("convert the number of runs")?,
        rounds: usize::try_from(arguments.rounds).context("convert the number of rounds")?,
        contestants,
        rest: Duration::from_secs(arguments.rest_seconds),
        deltas: arguments.deltas,
        long_calls: arguments.long_calls,
        before: before.map(|before| (before.commit, before.programs)),
        profile: profile.name().to_owned(),
    };
    let stack = Stack::start_with(peer::temporal_options(), programs).await?;
    let report = peer::run(&stack, &options).await?;
    progress::print(&report.section());
    if write {
        let path = peer::record(&report)?;
        progress::print(&format!("recorded in {}", path.display()));
    }
    Ok(report)
}

/// Who takes part: those that were named, or all. An earlier commit takes part only if it is named.
fn contestants(arguments: &Arguments) -> anyhow::Result<Vec<Contestant>> {
    let mut contestants = arguments.only.clone();
    if contestants.is_empty() {
        contestants.extend(Contestant::ALL);
        contestants.retain(|contestant| *contestant != Contestant::Before || arguments.before.is_some());
    }
    ensure!(
        arguments.before.is_some() || !contestants.contains(&Contestant::Before),
        "--only before needs --before COMMIT"
    );
    Ok(contestants)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn of(arguments: &[&str]) -> anyhow::Result<Vec<Contestant>> {
        let line = Line::try_parse_from([&["bench"], arguments].concat())?;
        contestants(&line.arguments)
    }

    #[test]
    fn an_earlier_commit_takes_part_only_if_it_is_named() {
        assert_eq!(of(&[]).unwrap(), Contestant::ALL[..4]);
        assert_eq!(of(&["--before", "0da4cf3"]).unwrap(), Contestant::ALL);
        assert_eq!(of(&["--only", "python"]).unwrap(), [Contestant::Python]);
        assert!(
            of(&["--only", "before"])
                .unwrap_err()
                .to_string()
                .contains("--before COMMIT")
        );
        assert!(
            of(&["--only", "pytorch"])
                .unwrap_err()
                .to_string()
                .contains("workflow-stream")
        );
    }
}
