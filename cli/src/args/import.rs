//! `steadfast import`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::output::OutputFormat;

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Import the manifest.yaml of an Agentex agent.
    ///
    /// Name, description, credentials, replicas and resources become an Agent. The prompt, the model and the tools are
    /// in the Python program and are written by hand.
    Agentex(ImportArguments),
    /// Import Agents of kagent 0.10 (kagent.dev/v1alpha2), with the ModelConfigs, RemoteMCPServers, MCPServers and
    /// ConfigMaps of the same files.
    Kagent(ImportArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// Files to import.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Write the manifests to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
    /// Format of the output. With text, the manifests go to standard output and the report to standard error; the
    /// others hold both, and every field.
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: OutputFormat,
}
