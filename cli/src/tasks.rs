//! `steadfast tasks`: lists tasks, shows and follows one, and ends it.

mod table;

use std::process::ExitCode;

use crate::api::{TaskAction, TaskFilter};
use crate::args::{
    ChangeTaskArguments, ListTasksArguments, OutputFormat, ShowTaskArguments, TaskArguments, TaskStatusArgument,
    TasksCommand,
};
use crate::chat;
use crate::connect::{self, Connection};
use crate::stdout::{print, print_json};

pub(crate) async fn run(command: TasksCommand) -> anyhow::Result<ExitCode> {
    match command {
        TasksCommand::List(arguments) => list(arguments).await?,
        TasksCommand::Show(arguments) => show(&arguments).await?,
        TasksCommand::Follow(arguments) => return chat::follow(arguments).await,
        TasksCommand::Interrupt(arguments) => change(&arguments, TaskAction::Interrupt).await?,
        TasksCommand::Complete(arguments) => change(&arguments, TaskAction::Complete).await?,
        TasksCommand::Cancel(arguments) => change(&arguments, TaskAction::Cancel).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(arguments: ListTasksArguments) -> anyhow::Result<()> {
    let connection = connect::connect(&arguments.connection, arguments.namespace.as_deref()).await?;
    let filter = TaskFilter {
        agent: arguments.agent.map(|agent| connection.agent_name(&agent)),
        status: arguments.status.map(TaskStatusArgument::wire_name),
        limit: arguments.limit.get(),
    };
    let tasks = connection.client.list_tasks(&filter).await?;
    match arguments.output {
        OutputFormat::Text => print(&table::table(&tasks, jiff::Timestamp::now())),
        OutputFormat::Json => print_json(&tasks),
    }
}

async fn show(arguments: &ShowTaskArguments) -> anyhow::Result<()> {
    let connection = connect(&arguments.task).await?;
    let task = connection.client.get_task(&arguments.task.id).await?;
    match arguments.output {
        OutputFormat::Text => print(&table::description(&task)),
        OutputFormat::Json => print_json(&task),
    }
}

async fn change(arguments: &ChangeTaskArguments, action: TaskAction) -> anyhow::Result<()> {
    let connection = connect(&arguments.task).await?;
    let reason = arguments.reason.as_deref();
    let task = connection
        .client
        .change_task(&arguments.task.id, action, reason)
        .await?;
    if arguments.output == OutputFormat::Json {
        return print_json(&task);
    }
    // An interrupt keeps the task; the others need a worker to end it.
    print(match (action, task.status.as_str()) {
        (TaskAction::Interrupt, _) => "the running turn is interrupted; the task continues\n",
        (_, "RUNNING") => "the request is saved; the task ends as soon as a worker of the agent runs\n",
        _ => "the task has ended\n",
    })
}

async fn connect(task: &TaskArguments) -> anyhow::Result<Connection> {
    connect::connect(&task.connection, task.namespace.as_deref()).await
}
