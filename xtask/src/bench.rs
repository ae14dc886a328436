//! `cargo xtask bench NAME`: measures the real system and prints JSON. Never
//! part of a test run.

use std::io::Write as _;

use clap::Subcommand;
use steadfast_platform::{
    TemporalOptions,
    bench::history::{self, HistoryOptions},
    release::{Profile, build_programs},
    stack::{Programs, Stack},
    tools::{self, Kind},
};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// How a task's history in Temporal grows with each model call.
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
}

pub async fn run(command: Command) -> anyhow::Result<()> {
    tools::install(&[Kind::Go, Kind::Python]).await?;
    let packages = ["steadfast-gateway", "steadfast-worker"].map(str::to_owned);
    let programs = Programs::in_folder(build_programs(Profile::Ci, &packages).await?);
    let stack = Stack::start_with(TemporalOptions::default(), programs).await?;
    let report = match command {
        Command::History {
            model_calls,
            tool_result_bytes,
            starting_text_bytes,
        } => {
            let options = HistoryOptions {
                model_calls,
                tool_result_bytes,
                starting_text_bytes,
            };
            history::run(&stack, options).await?
        }
    };
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string_pretty(&report)?)?;
    Ok(())
}
