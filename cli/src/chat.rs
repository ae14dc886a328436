//! One conversation at the terminal: lines in, turns out. Decides when a turn
//! belongs to a message that was sent from here and when the program may end.

mod lines;
mod progress;

use std::io::{IsTerminal as _, Write as _};

use steadfast_log::{Event, EventKind, Fold, Message, TurnStatus};

use crate::args::ChatArguments;
use crate::connect::{self, Connection};
use crate::gateway::{Gateway, Item, stream_task};
use crate::screen::{Screen, Style};
use lines::Lines;
use progress::{Progress, Step};

/// How a conversation at the terminal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answered,
    Failed,
}

/// Talks until the turn (`--message`) or the input has ended.
pub async fn run(arguments: ChatArguments) -> anyhow::Result<Outcome> {
    let connection = connect::connect(&arguments.connection, arguments.namespace.as_deref()).await?;
    let agent = connection.agent_name(&arguments.agent);
    let Connection { gateway, .. } = &connection;
    let task_id = match arguments.task {
        Some(task_id) => task_id,
        None => gateway.create_task(&agent).await?,
    };
    let style = if arguments.no_color || !std::io::stdout().is_terminal() {
        Style::Plain
    } else {
        Style::Ansi
    };
    let conversation = Conversation {
        gateway: gateway.clone(),
        agent,
        task_id: task_id.clone(),
        fold: Fold::default(),
        screen: Screen::new(style),
        progress: Progress::default(),
        outcome: Outcome::Answered,
        shows_history: arguments.message.is_none(),
    };
    if let Some(message) = arguments.message {
        return conversation.send_and_wait(&message).await;
    }
    let outcome = conversation.talk().await?;
    note(&format!(
        "go on with: steadfast chat {} --task {task_id}",
        arguments.agent
    ))?;
    Ok(outcome)
}

struct Conversation {
    gateway: Gateway,
    agent: String,
    task_id: String,
    fold: Fold,
    screen: Screen,
    progress: Progress,
    outcome: Outcome,
    /// Whether turns from before this program's first message are shown.
    shows_history: bool,
}

impl Conversation {
    async fn send_and_wait(mut self, text: &str) -> anyhow::Result<Outcome> {
        note(&format!("task {}", self.task_id))?;
        let mut items = stream_task(self.gateway.clone(), &self.task_id);
        self.send(text).await?;
        while let Some(item) = items.recv().await {
            self.take(item)?;
            if self.progress.is_idle() {
                break;
            }
        }
        Ok(self.outcome)
    }

    async fn talk(mut self) -> anyhow::Result<Outcome> {
        note(&format!("task {} (leave with Ctrl-D; the task stays)", self.task_id))?;
        let mut items = stream_task(self.gateway.clone(), &self.task_id);
        let mut lines = Lines::of_standard_input();
        loop {
            lines.prompt(self.progress.is_idle())?;
            tokio::select! {
                item = items.recv() => {
                    let Some(item) = item else { return Ok(self.outcome) };
                    lines.clear_prompt()?;
                    self.take(item)?;
                }
                line = lines.next(), if !lines.ended() => match line {
                    Some(line) if line.trim().is_empty() => {}
                    Some(line) => self.send(&line).await?,
                    None => {}
                },
            }
            if (lines.ended() && self.progress.is_idle()) || self.progress.task_ended() {
                return Ok(self.outcome);
            }
        }
    }

    async fn send(&mut self, text: &str) -> anyhow::Result<()> {
        let message_id = uuid::Uuid::new_v4().to_string();
        self.screen.skip(&message_id);
        self.progress.sent(&message_id);
        self.gateway
            .send_text(&self.agent, &self.task_id, &message_id, text)
            .await
    }

    fn take(&mut self, item: Item) -> anyhow::Result<()> {
        match item {
            Item::Event(event) => self.take_event(&event),
            Item::Reset(messages) => self.reset(messages),
            Item::Interrupted(why) => note(&format!("connection lost ({why}); taking it up again")),
            Item::Resumed => note("connected again"),
            Item::Failed(error) => Err(error),
        }
    }

    fn take_event(&mut self, event: &Event) -> anyhow::Result<()> {
        self.fold.apply(event);
        let step = self.progress.take(event);
        let mut text = self.new_text();
        match step {
            Step::OwnTurnEnded => {
                text.push_str(&self.turn_end(event));
                if !matches!(
                    event.kind,
                    EventKind::TurnEnded {
                        status: TurnStatus::Completed,
                        ..
                    }
                ) {
                    self.outcome = Outcome::Failed;
                }
            }
            Step::OtherTurnEnded if self.shows_history => text.push_str(&self.turn_end(event)),
            Step::None | Step::OtherTurnEnded => {}
            Step::Rejected(reason) => {
                text.push_str(&self.screen.show_note(&format!("the message was rejected: {reason}")));
                self.outcome = Outcome::Failed;
            }
            Step::TaskEnded(status) => text.push_str(&self.screen.show_note(&format!("the task is {status}"))),
        }
        print(&text)
    }

    /// The log starts anew; what it holds is compared with what was printed.
    fn reset(&mut self, messages: Vec<Message>) -> anyhow::Result<()> {
        self.fold = Fold::default();
        for message in messages {
            self.progress.take_message(&message);
            self.fold.apply(&Event {
                turn: message.turn,
                attempt: 1,
                agent: message.agent.clone(),
                time: message.updated_at,
                kind: EventKind::MessageDone { message },
            });
        }
        print(&self.new_text())
    }

    /// What the terminal does not show yet.
    fn new_text(&mut self) -> String {
        let first_shown_turn = if self.shows_history {
            Some(0)
        } else {
            self.progress.first_turn()
        };
        let is_shown = |message: &&Message| first_shown_turn.is_some_and(|turn| message.turn >= turn);
        self.screen.show(self.fold.messages().filter(is_shown))
    }

    fn turn_end(&mut self, event: &Event) -> String {
        match &event.kind {
            EventKind::TurnEnded { status, usage, error } => self.screen.show_turn_end(*status, *usage, error.as_ref()),
            _ => String::new(),
        }
    }
}

/// The conversation goes to standard output …
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// … and what is said about it to standard error.
fn note(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stderr().lock(), "{text}")?)
}
