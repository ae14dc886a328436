//! `steadfast chat`: one conversation in a terminal or a script. And `steadfast
//! tasks follow`, which shows a conversation of others.

mod conversation;
mod input;
mod notices;
mod prompt;
mod screen;
pub(crate) mod sent_messages;
mod terminal;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use url::Url;

use crate::api::GatewayClient;
use crate::args::{ChatArguments, FollowTaskArguments};
use crate::connect;
use crate::progress;
use conversation::Conversation;
use screen::{Screen, Style};

/// Chats until the turn (with `--message`) or the input has ended. Fails when a turn failed or a message was rejected.
pub(crate) async fn run(arguments: ChatArguments) -> anyhow::Result<ExitCode> {
    let connection = connect::connect(&arguments.connection).await?;
    let client = &connection.client;
    let agent = connection.agent_name(&arguments.agent);
    let task_id = match arguments.task {
        Some(task_id) => task_id,
        None => client.create_task(&agent).await?,
    };
    let screen = screen(arguments.color.is_off());
    if let Some(message) = arguments.message {
        let conversation = Conversation::from_first_message(client.clone(), agent, task_id, screen);
        return conversation.send_one(&message).await;
    }
    let conversation = Conversation::from_first_turn(client.clone(), agent, task_id.clone(), screen);
    let exit_code = conversation.send_lines().await?;
    print_status(&format!(
        "continue with: steadfast chat {} --task {task_id}",
        arguments.agent
    ))?;
    Ok(exit_code)
}

/// A chat with a gateway on this machine, which asks for no token.
pub(crate) struct Local {
    pub(crate) server: Url,
    pub(crate) agent: String,
    /// The task to continue; a new one if there is none, or if that one has ended.
    pub(crate) task: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) no_color: bool,
}

/// Like [`run`]. `remember` gets the id of the task.
pub(crate) async fn run_local(
    local: Local,
    remember: impl FnOnce(&str) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let client = GatewayClient::new(local.server, None)?;
    let known = match local.task {
        Some(id) => client.get_task(&id).await.ok().filter(|task| task.status == "RUNNING"),
        None => None,
    };
    let task_id = match known {
        Some(task) => task.id,
        None => client.create_task(&local.agent).await?,
    };
    remember(&task_id)?;
    let screen = screen(local.no_color);
    if let Some(message) = local.message {
        let conversation = Conversation::from_first_message(client, local.agent, task_id, screen);
        return conversation.send_one(&message).await;
    }
    let conversation = Conversation::from_first_turn(client, local.agent, task_id, screen);
    conversation.send_lines().await
}

/// Prints a task from its first turn on, until it ends. At a terminal, its approvals can be decided.
pub(crate) async fn follow(arguments: FollowTaskArguments) -> anyhow::Result<ExitCode> {
    let task = arguments.task;
    let connection = connect::connect(&task.connection).await?;
    let screen = screen(arguments.color.is_off());
    let client = connection.client.clone();
    // The agent's name is needed to send messages only.
    let conversation = Conversation::from_first_turn(client, String::new(), task.id, screen);
    conversation.follow().await
}

fn screen(no_color: bool) -> Screen {
    Screen::new(if no_color || !std::io::stdout().is_terminal() {
        Style::Plain
    } else {
        Style::Ansi
    })
}

/// Prints a line that is not part of the conversation to standard error, above the prompt or the growing text.
pub(crate) fn print_beside(line: &str) -> std::io::Result<()> {
    progress::above(|| terminal::print_above(line))
}

/// Prints a line about the conversation, to standard error.
fn print_status(text: &str) -> anyhow::Result<()> {
    Ok(terminal::print_above(text)?)
}
