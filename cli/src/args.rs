//! The command line: the only place that reads the environment.

use clap::{Args, Parser, Subcommand};
use url::Url;

/// Talk to agents that run on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "steadfast", version, about)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Talk with an agent; its words and tool calls appear as they happen.
    ///
    /// The conversation lives in the cluster: leave at any time and go on later
    /// with --task.
    Chat(ChatArguments),
    /// See what agents ask people, and decide it.
    #[command(subcommand)]
    Approvals(ApprovalsCommand),
}

#[derive(Debug, Subcommand)]
pub enum ApprovalsCommand {
    /// List what waits for a person, the longest wait first.
    List(ListApprovalsArguments),
    /// Let a call run as it stands, or answer a question.
    Approve(ApproveArguments),
    /// Refuse; the agent is told and goes on.
    Reject(DecideArguments),
}

#[derive(Debug, Args)]
pub struct ListApprovalsArguments {
    /// Only what this Agent asks.
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// Only what this task asks.
    #[arg(long, value_name = "ID")]
    pub task: Option<String>,
    /// Namespace of the Agent; the kubeconfig's when absent.
    #[arg(long, short)]
    pub namespace: Option<String>,
    #[command(flatten)]
    pub connection: ConnectionArguments,
}

#[derive(Debug, Args)]
pub struct ApproveArguments {
    #[command(flatten)]
    pub decide: DecideArguments,
    /// What is filled in, where the approval has a form.
    #[arg(long, value_name = "JSON")]
    pub answer: Option<String>,
}

#[derive(Debug, Args)]
pub struct DecideArguments {
    /// Id of the approval, from `steadfast approvals list`.
    pub id: String,
    /// Why; the agent is told.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Namespace of the service account; the kubeconfig's when absent.
    #[arg(long, short)]
    pub namespace: Option<String>,
    #[command(flatten)]
    pub connection: ConnectionArguments,
}

#[derive(Debug, Args)]
pub struct ChatArguments {
    /// Name of the Agent.
    pub agent: String,
    /// Namespace of the Agent; the kubeconfig's when absent.
    #[arg(long, short)]
    pub namespace: Option<String>,
    /// Goes on with this task instead of creating one.
    #[arg(long, value_name = "ID")]
    pub task: Option<String>,
    /// Sends this one message, prints the turn and exits; otherwise messages are read line by line.
    #[arg(long, short, value_name = "TEXT")]
    pub message: Option<String>,
    /// Plain output, without colours.
    #[arg(long, env = "NO_COLOR", value_parser = clap::builder::FalseyValueParser::new())]
    pub no_color: bool,
    #[command(flatten)]
    pub connection: ConnectionArguments,
}

/// How to reach the gateway, and as whom.
#[derive(Debug, Args)]
pub struct ConnectionArguments {
    /// URL of the gateway; when absent, a port-forward through the kubeconfig.
    #[arg(long, value_name = "URL", env = "STEADFAST_SERVER")]
    pub server: Option<Url>,
    /// Bearer token; when absent, the kubeconfig's, else one requested for --service-account.
    #[arg(long, env = "STEADFAST_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Kubeconfig context to use.
    #[arg(long)]
    pub context: Option<String>,
    /// Service account, in the Agent's namespace, to request a token for.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub service_account: String,
    /// Namespace in which Steadfast is installed; all are searched when absent.
    #[arg(long, value_name = "NAMESPACE", env = "STEADFAST_GATEWAY_NAMESPACE")]
    pub gateway_namespace: Option<String>,
}
