//! `steadfast tasks`.

use std::num::NonZeroUsize;

use clap::{Args, Subcommand, ValueEnum};

use super::{
    color::ColorArguments,
    connection::ConnectionArguments,
    output::{ListFormat, OutputFormat},
};

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
    /// Erase a task: end it, and delete its messages everywhere. This cannot be undone.
    Delete(DeleteTaskArguments),
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
    pub(crate) output: ListFormat,
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
    #[command(flatten)]
    pub(crate) color: ColorArguments,
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

#[derive(Debug, Args)]
pub(crate) struct DeleteTaskArguments {
    #[command(flatten)]
    pub(crate) task: TaskArguments,
    /// Do not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// One task.
#[derive(Debug, Args)]
pub(crate) struct TaskArguments {
    /// Id of the task, as `steadfast tasks list` prints it.
    pub(crate) id: String,
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
