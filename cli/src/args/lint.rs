//! `steadfast lint`.

use std::path::PathBuf;

use clap::Args;

use super::output::OutputFormat;

#[derive(Debug, Args)]
pub(crate) struct LintArguments {
    /// Files and directories with manifests (*.yaml, *.yml, *.json); - is standard input.
    #[arg(required = true, value_name = "FILE|DIRECTORY")]
    pub(crate) paths: Vec<PathBuf>,
    /// Read directories inside of directories too.
    #[arg(long, short = 'R')]
    pub(crate) recursive: bool,
    /// Namespace of the objects that have none.
    #[arg(long, short, default_value = "default")]
    pub(crate) namespace: String,
    /// Warnings count as errors.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Format of the output.
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: OutputFormat,
}
