//! One conversation at the terminal: lines in, turns out. Decides when a turn
//! belongs to a message that was sent from here and when the program may end,
//! and asks the person what the agent asks.

mod lines;
mod progress;
mod questions;
mod remarks;

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use steadfast_events::{Approval, Event, EventKind, Fold, Message, TurnStatus};
use tokio::sync::mpsc;

use crate::args::ChatArguments;
use crate::connect::{self, Connection};
use crate::gateway::{self, Gateway, Item, Ruling, Wanted, stream_task};
use crate::screen::{Screen, Style};
use lines::Lines;
use progress::{Progress, Step};
use questions::{Heard, Questions};
use remarks::Remarks;

const PROMPT: &str = "> ";
/// An approval is asked when the log has been silent for this long: one that
/// was decided long since is followed by its decision.
const QUIET: Duration = Duration::from_millis(300);

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
        questions: Questions::default(),
        remarks: Remarks::default(),
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
    questions: Questions,
    remarks: Remarks,
    outcome: Outcome,
    /// Whether turns from before this program's first message are shown.
    shows_history: bool,
}

impl Conversation {
    async fn send_and_wait(mut self, text: &str) -> anyhow::Result<Outcome> {
        note(&format!("task {}", self.task_id))?;
        let mut items = stream_task(self.gateway.clone(), &self.task_id);
        let mut lines = Lines::of_a_person();
        self.send(text).await?;
        while !self.progress.is_idle() {
            match self.next(&mut items, &mut lines).await? {
                // Nothing but answers is heard here.
                Next::Line(_) | Next::Handled => {}
                Next::StreamEnded => break,
            }
        }
        Ok(self.outcome)
    }

    async fn talk(mut self) -> anyhow::Result<Outcome> {
        note(&format!("task {} (leave with Ctrl-D; the task stays)", self.task_id))?;
        let mut items = stream_task(self.gateway.clone(), &self.task_id);
        let mut lines = Lines::of_standard_input();
        loop {
            if self.progress.is_idle() && self.questions.prompt().is_none() {
                lines.prompt(Some(PROMPT))?;
            }
            match self.next(&mut items, &mut lines).await? {
                Next::Line(line) if line.trim().is_empty() => {}
                Next::Line(line) => self.send(&line).await?,
                Next::Handled => {}
                Next::StreamEnded => return Ok(self.outcome),
            }
            if (lines.ended() && self.progress.is_idle()) || self.progress.task_ended() {
                return Ok(self.outcome);
            }
        }
    }

    /// Waits for the next thing that happens, and handles it unless it is a line to send.
    async fn next(&mut self, items: &mut mpsc::Receiver<Item>, lines: &mut Lines) -> anyhow::Result<Next> {
        if let Some(prompt) = self.questions.prompt() {
            print(&self.screen.end_line())?;
            lines.prompt(Some(prompt))?;
        }
        tokio::select! {
            item = items.recv() => {
                let Some(item) = item else { return Ok(Next::StreamEnded) };
                lines.clear_prompt()?;
                self.take(item).await?;
            }
            () = tokio::time::sleep(QUIET), if self.questions.wants_to_ask() => {
                lines.clear_prompt()?;
                self.ask(lines)?;
            }
            line = lines.next(), if !lines.ended() => match line {
                Some(line) if self.questions.prompt().is_some() => self.hear(&line).await?,
                Some(line) => return Ok(Next::Line(line)),
                None => self.questions.close(),
            },
        }
        Ok(Next::Handled)
    }

    /// Asks the person, or says how somebody can be asked elsewhere.
    fn ask(&mut self, lines: &Lines) -> anyhow::Result<()> {
        if lines.can_ask() {
            return match self.questions.ask() {
                Some(approval) => print(&self.screen.show_approval(approval)),
                None => Ok(()),
            };
        }
        for approval in self.questions.take_all() {
            print(&self.screen.show_approval(&approval))?;
            self.leave(&approval)?;
        }
        Ok(())
    }

    async fn hear(&mut self, line: &str) -> anyhow::Result<()> {
        match self.questions.hear(line) {
            Heard::More => Ok(()),
            Heard::Unclear(why) => note(&why),
            Heard::Later(approval) => self.leave(&approval),
            Heard::Decides(approval, ruling) => self.decide(*approval, &ruling).await,
        }
    }

    /// What comes of it is told by the log.
    async fn decide(&mut self, approval: Approval, ruling: &Ruling) -> anyhow::Result<()> {
        match self.gateway.decide(&approval.id, ruling).await {
            Ok(gateway::Outcome::Decided) => Ok(()),
            Ok(gateway::Outcome::OnItsWay) => note("the decision is on its way"),
            Ok(gateway::Outcome::TooLate { text, .. }) => note(&text),
            Ok(gateway::Outcome::Unfit(text)) => {
                self.questions.again(approval);
                note(&text)
            }
            // The conversation goes on all the same.
            Err(error) => {
                note(&format!("{error:#}"))?;
                self.leave(&approval)
            }
        }
    }

    fn leave(&mut self, approval: &Approval) -> anyhow::Result<()> {
        let id = &approval.id;
        let answer = if approval.form.is_null() { "" } else { " --answer JSON" };
        let text = format!(
            "approval {id} waits; decide it with\n  steadfast approvals approve {id}{answer}\n  steadfast approvals reject {id} --reason WHY"
        );
        print(&self.screen.show_note(&text))
    }

    async fn send(&mut self, text: &str) -> anyhow::Result<()> {
        let message_id = uuid::Uuid::new_v4().to_string();
        self.screen.skip(&message_id);
        self.progress.sent(&message_id);
        self.gateway
            .send_text(&self.agent, &self.task_id, &message_id, text)
            .await
    }

    async fn take(&mut self, item: Item) -> anyhow::Result<()> {
        match item {
            Item::Event(event) => self.take_event(&event),
            Item::Reset(messages) => self.reset(messages).await,
            Item::Interrupted(why) => note(&format!("connection lost ({why}); taking it up again")),
            Item::Resumed => note("connected again"),
            Item::Failed(error) => Err(error),
        }
    }

    fn take_event(&mut self, event: &Event) -> anyhow::Result<()> {
        self.fold.apply(event);
        let step = self.progress.take(event);
        match &event.kind {
            EventKind::ApprovalRequested { approval } => self.questions.add(approval),
            EventKind::ApprovalDecided { approval_id, .. } => self.questions.remove(approval_id),
            _ => {}
        }
        let mut text = self.new_text();
        if let Some(remark) = self.remarks.of(event).filter(|_| self.is_shown(event.turn)) {
            text.push_str(&self.screen.show_note(&remark));
        }
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
    async fn reset(&mut self, messages: Vec<Message>) -> anyhow::Result<()> {
        self.fold = Fold::default();
        for message in messages {
            self.progress.take_message(&message);
            self.fold.apply(&Event {
                turn: message.turn,
                attempt: 1,
                agent: message.agent.clone(),
                path: String::new(),
                time: message.updated_at,
                kind: EventKind::MessageDone { message },
            });
        }
        // The log that asked is gone. Who may not list approvals sees none, as before.
        let wanted = Wanted {
            task: Some(self.task_id.clone()),
            ..Wanted::default()
        };
        for waiting in self.gateway.approvals(&wanted).await.unwrap_or_default() {
            self.questions.add(&waiting.asked);
        }
        print(&self.new_text())
    }

    /// What the terminal does not show yet.
    fn new_text(&mut self) -> String {
        let first_shown_turn = self.first_shown_turn();
        let is_shown = |message: &&Message| first_shown_turn.is_some_and(|turn| message.turn >= turn);
        self.screen.show(self.fold.messages().filter(is_shown))
    }

    fn first_shown_turn(&self) -> Option<u32> {
        if self.shows_history {
            Some(0)
        } else {
            self.progress.first_turn()
        }
    }

    fn is_shown(&self, turn: u32) -> bool {
        self.first_shown_turn().is_some_and(|first| turn >= first)
    }

    fn turn_end(&mut self, event: &Event) -> String {
        match &event.kind {
            EventKind::TurnEnded { status, usage, error } => self.screen.show_turn_end(*status, *usage, error.as_ref()),
            _ => String::new(),
        }
    }
}

/// What happened next.
enum Next {
    /// A person said something that answers no question.
    Line(String),
    Handled,
    StreamEnded,
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
