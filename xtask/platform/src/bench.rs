//! `cargo xtask bench NAME`: measures the real system and prints JSON. Never
//! part of a test run.
//!
//! What measures is compiled as what is measured: an unoptimised driver would be
//! slower than the system it drives.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use steadfast_testkit::{
    TemporalOptions,
    bench::{
        history_growth::{self, HistoryOptions},
        interrupt_latency::{self, InterruptOptions},
    },
    release::{Profile, build_programs},
    stack::{BinaryDir, Stack},
    tools::{self, Kind},
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
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Some(programs) = arguments.programs {
        return measure(arguments.bench, BinaryDir::new(programs)).await;
    }
    tools::install(&[Kind::Temporal, Kind::Valkey, Kind::Python])?;
    let packages = ["steadfast-gateway", "steadfast-worker", "xtask-platform"].map(str::to_owned);
    let programs = build_programs(Profile::from(arguments.profile), &packages).await?;
    let error = process::Command::new(programs.join("xtask-platform"))
        .args(["bench", "--programs"])
        .arg(&programs)
        // What follows `xtask bench` on our own command line.
        .args(std::env::args_os().skip(2))
        .exec();
    Err(error).context("start the bench")
}

async fn measure(bench: Bench, programs: BinaryDir) -> anyhow::Result<()> {
    let stack = Stack::start_with(TemporalOptions::default(), programs).await?;
    let report = match bench {
        Bench::History {
            model_calls,
            tool_result_bytes,
            starting_text_bytes,
        } => {
            let options = HistoryOptions {
                model_calls,
                tool_result_bytes,
                starting_text_bytes,
            };
            serde_json::to_string_pretty(&history_growth::run(&stack, options).await?)?
        }
        Bench::Interrupt { turns } => {
            serde_json::to_string_pretty(&interrupt_latency::run(&stack, InterruptOptions { turns }).await?)?
        }
    };
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{report}")?;
    Ok(())
}
