//! `steadfast tasks`: lists tasks, shows and follows one, and ends it.

mod table;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::api::{TaskAction, TaskFilter};
use crate::args::{
    ChangeTaskArguments, DeleteTaskArguments, ListTasksArguments, ShowTaskArguments, TaskStatusArgument, TasksCommand,
};
use crate::chat;
use crate::columns::Width;
use crate::connect;
use crate::progress::during;
use crate::stdout::{print, print_structured};

pub(crate) async fn run(command: TasksCommand) -> anyhow::Result<ExitCode> {
    match command {
        TasksCommand::List(arguments) => list(arguments).await?,
        TasksCommand::Show(arguments) => show(&arguments).await?,
        TasksCommand::Follow(arguments) => return chat::follow(arguments).await,
        TasksCommand::Interrupt(arguments) => change(&arguments, TaskAction::Interrupt).await?,
        TasksCommand::Complete(arguments) => change(&arguments, TaskAction::Complete).await?,
        TasksCommand::Cancel(arguments) => change(&arguments, TaskAction::Cancel).await?,
        TasksCommand::Delete(arguments) => delete(&arguments).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(arguments: ListTasksArguments) -> anyhow::Result<()> {
    let connection = connect::connect(&arguments.connection).await?;
    let filter = TaskFilter {
        agent: arguments.agent.map(|agent| connection.agent_name(&agent)),
        status: arguments.status.map(TaskStatusArgument::wire_name),
        limit: arguments.limit.get(),
    };
    let tasks = during("list the tasks", connection.client.list_tasks(&filter)).await?;
    if let Some(format) = arguments.output.structured() {
        return print_structured(format, &tasks);
    }
    let width = if arguments.output.is_wide() {
        Width::Wide
    } else {
        Width::Narrow
    };
    print(&table::table(&tasks, width, jiff::Timestamp::now()))
}

async fn show(arguments: &ShowTaskArguments) -> anyhow::Result<()> {
    let connection = connect::connect(&arguments.task.connection).await?;
    let task = during("read the task", connection.client.get_task(&arguments.task.id)).await?;
    match arguments.output.structured() {
        None => print(&table::description(&task)),
        Some(format) => print_structured(format, &task),
    }
}

async fn change(arguments: &ChangeTaskArguments, action: TaskAction) -> anyhow::Result<()> {
    let connection = connect::connect(&arguments.task.connection).await?;
    let reason = arguments.reason.as_deref();
    let changed = connection.client.change_task(&arguments.task.id, action, reason);
    let task = during("change the task", changed).await?;
    if let Some(format) = arguments.output.structured() {
        return print_structured(format, &task);
    }
    // An interrupt keeps the task; the others need a worker to end it.
    print(match (action, task.status.as_str()) {
        (TaskAction::Interrupt, _) => "the running turn is interrupted; the task continues\n",
        (_, "RUNNING") => "the request is saved; the task ends as soon as a worker of the agent runs\n",
        _ => "the task has ended\n",
    })
}

async fn delete(arguments: &DeleteTaskArguments) -> anyhow::Result<()> {
    let id = &arguments.task.id;
    if !arguments.yes && !confirmed(id)? {
        bail!("nothing is erased");
    }
    let connection = connect::connect(&arguments.task.connection).await?;
    during("erase the task", connection.client.delete_task(id)).await?;
    print("the task is erased\n")
}

/// Asks the person at the terminal.
fn confirmed(id: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("this erases the messages of {id} for good: pass --yes");
    }
    write!(
        std::io::stderr().lock(),
        "Erase the task {id} and all its messages for good? [y/N] "
    )?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
