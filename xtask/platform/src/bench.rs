//! `cargo xtask bench NAME`: measures the real system and prints JSON. Never
//! part of a test run.
//!
//! What measures is compiled as what is measured: an unoptimised driver would be
//! slower than the system it drives.

mod before;
mod clusters;
mod density;
mod fleet;
mod peer;
mod viewers;

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use serde::Serialize;
use steadfast_testkit::{
    TemporalOptions, TemporalStorage,
    bench::{
        chaos::{self, ChaosOptions, Fault, Operator},
        console,
        dev_memory::{self, DevMemoryOptions},
        history_growth::{self, HistoryOptions},
        interrupt_latency::{self, InterruptOptions},
        peer::generate_page,
        polls::{self, PollsOptions},
        resume::{self, ResumeOptions},
        soak::{self, SoakOptions},
        turn::{self, TurnOptions},
    },
    release::{Profile, build_programs},
    stack::{BinaryDir, Stack},
    tools::{self, Kind, progress},
};

use crate::image::ProfileArgument;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How much the compiler shall optimise what is measured.
    #[arg(long, value_enum, default_value = "release")]
    profile: ProfileArgument,
    /// Where the programs are, this one among them.
    #[arg(long, hide = true)]
    programs: Option<PathBuf>,
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Faults at random while conversations go on: what is lost, what happens twice, how long nothing moves.
    Chaos(ChaosArguments),
    /// What the console costs a browser: how soon it is there, how it scrolls, whether it keeps up, what it keeps.
    Console {
        /// Records the report in docs/benchmarks/console.json.
        #[arg(long)]
        write: bool,
    },
    #[command(flatten)]
    Clusters(clusters::Bench),
    /// The memory of all of `steadfast dev` with three agents that do nothing.
    DevMemory {
        /// Seconds without any work before the memory is read.
        #[arg(long, default_value_t = DevMemoryOptions::default().idle_seconds)]
        idle_seconds: u64,
    },
    /// How a task's history in Temporal, and the time of a model call, grow with each model call.
    History {
        /// Model calls that ask for a tool.
        #[arg(long, default_value_t = HistoryOptions::default().model_calls)]
        model_calls: usize,
        /// Size of each tool result.
        #[arg(long, default_value_t = HistoryOptions::default().tool_result_bytes)]
        tool_result_bytes: usize,
        /// Size of the message the conversation starts with.
        #[arg(long, default_value_t = HistoryOptions::default().starting_text_bytes)]
        starting_text_bytes: usize,
    },
    /// How long a model call goes on after its turn was interrupted, with Redis and without.
    Interrupt {
        /// Turns that are interrupted, with Redis and once more without.
        #[arg(long, default_value_t = InterruptOptions::default().turns)]
        turns: usize,
    },
    /// Generates docs/benchmarks.md from the recorded reports. Measures nothing.
    Page,
    /// Other workers and ours side by side: the same work, Temporal, Redis and model.
    Peer(peer::Arguments),
    /// Many idle workers at one frontend of Temporal: what they cost, and whether turns still begin at once.
    Polls {
        /// Idle workers, each with a task queue of its own; 20 MB of memory each.
        #[arg(long, default_value_t = PollsOptions::default().workers)]
        workers: usize,
        /// Workers that start at the same time.
        #[arg(long, default_value_t = PollsOptions::default().at_once)]
        at_once: usize,
        /// Turns of another worker, without and with the idle ones.
        #[arg(long, default_value_t = PollsOptions::default().turns)]
        turns: usize,
        /// How long the processor time is measured, in seconds.
        #[arg(long, default_value_t = PollsOptions::default().length.as_secs(), value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
    },
    /// Viewers that lose their connection at random and resume, on every surface: gaps, duplicates, other contents.
    Resume {
        /// At least so many lost connections.
        #[arg(long, default_value_t = ResumeOptions::default().disconnects)]
        disconnects: usize,
        /// The same seed gives connections that are lost after as many events.
        #[arg(long, default_value_t = ResumeOptions::default().seed)]
        seed: u64,
    },
    /// The memory of every part under a constant load over a long time.
    Soak {
        /// How long.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
        minutes: u64,
        /// New conversations of two turns per second.
        #[arg(long, default_value_t = 2.0)]
        runs_per_second: f64,
    },
    /// What a turn with a tool call costs, how late a viewer gets what happens, and the memory of the worker.
    Turn(TurnArguments),
    /// What many viewers of live tasks cost the gateway, and how late they get what happens.
    Viewers(viewers::Arguments),
}

#[derive(Debug, Args)]
struct TurnArguments {
    /// Turns that begin at once.
    #[arg(long, default_value_t = TurnOptions::default().turns)]
    turns: usize,
    /// Answers that stream at once; 0 leaves out what viewers see.
    #[arg(long, default_value_t = TurnOptions::default().streams)]
    streams: usize,
    /// Deltas of each answer.
    #[arg(long, default_value_t = TurnOptions::default().deltas)]
    deltas: usize,
    /// Seconds without work, before the memory of the worker is read once more.
    #[arg(long, default_value_t = TurnOptions::default().rest.as_secs())]
    rest_seconds: u64,
    /// An environment variable of the worker; may be given several times.
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[derive(Debug, Args)]
struct ChaosArguments {
    /// At least so many conversations.
    #[arg(long, default_value_t = ChaosOptions::default().runs)]
    runs: usize,
    /// At least so many faults of each kind; conversations go on until then.
    #[arg(long, default_value_t = ChaosOptions::default().faults_per_kind)]
    faults_per_kind: usize,
    /// Conversations at once.
    #[arg(long, default_value_t = ChaosOptions::default().concurrency)]
    concurrency: usize,
    /// Workers of the agent.
    #[arg(long, default_value_t = ChaosOptions::default().workers)]
    workers: usize,
    /// The mean time from one fault to the next, in seconds.
    #[arg(long, default_value_t = ChaosOptions::default().mean_pause.as_secs())]
    mean_pause_seconds: u64,
    /// Deltas of an answer, one every 50 ms.
    #[arg(long, default_value_t = ChaosOptions::default().deltas)]
    deltas: u32,
    /// The same seed gives the same faults at the same times.
    #[arg(long, default_value_t = ChaosOptions::default().seed)]
    seed: u64,
    /// Leaves out the operator and the API server that it needs.
    #[arg(long)]
    without_operator: bool,
    /// Only faults of this kind; may be given several times.
    #[arg(long, value_name = "FAULT")]
    only: Vec<Fault>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let profile = Profile::from(arguments.profile);
    if matches!(arguments.bench, Bench::Page) {
        progress::print(&format!("generated {}", generate_page()?.display()));
        return Ok(());
    }
    if let Bench::Console { write } = arguments.bench {
        return measure_console(profile, write).await;
    }
    if let Some(programs) = arguments.programs {
        return measure(arguments.bench, profile, BinaryDir::new(programs)).await;
    }
    tools::install(&[Kind::Temporal, Kind::Valkey, Kind::Python])?;
    let mut packages = vec!["steadfast", "steadfast-gateway", "steadfast-worker", "xtask-platform"];
    match &arguments.bench {
        Bench::Peer(_) => {
            tools::install(&[Kind::Peers])?;
        }
        Bench::Chaos(chaos) if chaos.operator() == Operator::Present => {
            tools::install(&[Kind::Debian, Kind::Go])?;
            packages.push("steadfast-operator");
        }
        Bench::Clusters(_) => {
            tools::install(&[Kind::Debian, Kind::Go])?;
            packages.push("steadfast-operator");
        }
        _ => {}
    }
    let packages: Vec<String> = packages.into_iter().map(str::to_owned).collect();
    let programs = build_programs(profile, &packages).await?;
    let error = process::Command::new(programs.join("xtask-platform"))
        .args(["bench", "--programs"])
        .arg(&programs)
        // What follows `xtask bench` on our own command line.
        .args(std::env::args_os().skip(2))
        .exec();
    Err(error).context("start the bench")
}

async fn measure(bench: Bench, profile: Profile, programs: BinaryDir) -> anyhow::Result<()> {
    match bench {
        Bench::Chaos(arguments) => measure_chaos(&arguments, programs).await,
        Bench::Clusters(bench) => clusters::run(bench, profile, programs).await,
        Bench::DevMemory { idle_seconds } => {
            let report = dev_memory::run(&programs, DevMemoryOptions { idle_seconds }).await?;
            print(&report)?;
            ensure!(
                report.megabytes <= report.at_most_megabytes,
                "steadfast dev has {:.0} MB, more than {:.0}",
                report.megabytes,
                report.at_most_megabytes
            );
            Ok(())
        }
        Bench::History {
            model_calls,
            tool_result_bytes,
            starting_text_bytes,
        } => {
            let stack = Stack::start_with(TemporalOptions::default(), programs).await?;
            let options = HistoryOptions {
                model_calls,
                tool_result_bytes,
                starting_text_bytes,
            };
            print(&history_growth::run(&stack, options).await?)
        }
        Bench::Interrupt { turns } => {
            let stack = Stack::start_with(TemporalOptions::default(), programs).await?;
            print(&interrupt_latency::run(&stack, InterruptOptions { turns }).await?)
        }
        Bench::Page | Bench::Console { .. } => Ok(()),
        Bench::Peer(arguments) => print(&peer::run(&arguments, profile, programs).await?),
        Bench::Polls {
            workers,
            at_once,
            turns,
            seconds,
        } => {
            let stack = Stack::start_with(polls::temporal_options(), programs).await?;
            let options = PollsOptions {
                workers,
                at_once: at_once.max(1),
                turns,
                length: Duration::from_secs(seconds),
            };
            print(&polls::run(&stack, options).await?)
        }
        Bench::Resume { disconnects, seed } => measure_resume(ResumeOptions { disconnects, seed }, programs).await,
        Bench::Soak {
            minutes,
            runs_per_second,
        } => {
            ensure!(
                runs_per_second.is_finite() && runs_per_second > 0.0,
                "--runs-per-second must be greater than 0"
            );
            let options = SoakOptions {
                length: Duration::from_mins(minutes),
                runs_per_second,
            };
            measure_soak(options, programs).await
        }
        Bench::Viewers(arguments) => print(&viewers::run(&arguments, profile, programs).await?),
        Bench::Turn(arguments) => {
            let stack = Stack::start_with(TemporalOptions::default(), programs).await?;
            let options = TurnOptions {
                turns: arguments.turns,
                streams: arguments.streams,
                deltas: arguments.deltas,
                rest: Duration::from_secs(arguments.rest_seconds),
                variables: arguments.variables,
            };
            print(&turn::run(&stack, &options).await?)
        }
    }
}

/// Fails after the report if the page did not hold a promise.
async fn measure_console(profile: Profile, write: bool) -> anyhow::Result<()> {
    tools::install(&[
        Kind::Debian,
        Kind::Temporal,
        Kind::Valkey,
        Kind::Python,
        Kind::FakeModel,
        Kind::NodeClients,
    ])?;
    let packages = ["steadfast-gateway", "steadfast-worker"].map(str::to_owned);
    build_programs(profile, &packages).await?;
    let (report, held) = console::run(profile).await?;
    print(&report)?;
    if write {
        progress::print(&format!("recorded in {}", console::record()?.display()));
    }
    held
}

/// Fails after the report if a viewer did not get each event once.
async fn measure_resume(options: ResumeOptions, programs: BinaryDir) -> anyhow::Result<()> {
    let stack = Stack::start_with(TemporalOptions::default(), programs).await?;
    let report = resume::run(&stack, options).await?;
    print(&report)?;
    let broken = report.broken_promises();
    ensure!(broken.is_empty(), "{}", broken.join("; "));
    Ok(())
}

async fn measure_soak(options: SoakOptions, programs: BinaryDir) -> anyhow::Result<()> {
    let stack = durable_stack(programs).await?;
    let report = soak::run(&stack, options).await?;
    for (part, memory) in &report.parts {
        progress::print(&format!(
            "{part}: {} MB at first, {} MB at last, {} MB per hour",
            memory.first_megabytes, memory.last_megabytes, memory.megabytes_per_hour
        ));
    }
    print(&report)
}

impl ChaosArguments {
    fn operator(&self) -> Operator {
        if self.without_operator {
            Operator::Absent
        } else {
            Operator::Present
        }
    }
}

/// Fails after the report if a promise did not hold.
async fn measure_chaos(arguments: &ChaosArguments, programs: BinaryDir) -> anyhow::Result<()> {
    let options = ChaosOptions {
        runs: arguments.runs,
        faults_per_kind: arguments.faults_per_kind,
        concurrency: arguments.concurrency.max(1),
        workers: arguments.workers.max(1),
        mean_pause: Duration::from_secs(arguments.mean_pause_seconds),
        deltas: arguments.deltas,
        seed: arguments.seed,
        operator: arguments.operator(),
        only: arguments.only.clone(),
    };
    let stack = durable_stack(programs).await?;
    let report = chaos::run(&stack, &options).await?;
    print(&report)?;
    let broken = report.broken_promises();
    ensure!(broken.is_empty(), "{}", broken.join("; "));
    Ok(())
}

/// A stack whose Temporal keeps its state when it is killed.
async fn durable_stack(programs: BinaryDir) -> anyhow::Result<Stack> {
    let options = TemporalOptions {
        storage: TemporalStorage::File,
        ..TemporalOptions::default()
    };
    Stack::start_with(options, programs).await
}

fn print(report: &impl Serialize) -> anyhow::Result<()> {
    let report = serde_json::to_string_pretty(report).context("write a report as JSON")?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{report}")?;
    Ok(())
}
