//! `steadfast agents`.

use clap::{Args, Subcommand};

use super::{
    connection::ConnectionArguments,
    output::{ListFormat, OutputFormat},
};

#[derive(Debug, Subcommand)]
pub(crate) enum AgentsCommand {
    /// List the agents that you may talk to.
    List(ListAgentsArguments),
    /// Print in one screen whether an Agent is ready, and why not. Reads the Agent and its Events from the cluster of
    /// the kubeconfig.
    Explain(ExplainAgentArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ListAgentsArguments {
    /// Format of the output.
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: ListFormat,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainAgentArguments {
    /// Name of the Agent.
    pub(crate) agent: String,
    /// Namespace of the Agent. Default: the namespace of the kubeconfig context.
    #[arg(long, short)]
    pub(crate) namespace: Option<String>,
    /// Context of the kubeconfig. Default: the current context.
    #[arg(long)]
    pub(crate) context: Option<String>,
    /// Format of the output; json and yaml are the Agent itself.
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: OutputFormat,
}
