//! `steadfast init`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// Directory to make. Its name is the name of the Agent, unless --name says another.
    #[arg(value_name = "DIRECTORY")]
    pub(crate) directory: PathBuf,
    /// Name of the Agent.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The tool of the Agent.
    #[arg(long, value_enum, default_value = "python")]
    pub(crate) tool: ToolTemplate,
}

/// The tool of a new Agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ToolTemplate {
    /// A Temporal activity in Python, in a worker of its own.
    Python,
    /// A function in Rust, inside the worker of the Agent.
    Rust,
    /// None.
    None,
}
