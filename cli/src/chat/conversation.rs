//! The loop of a conversation: sends messages, prints events, and asks a person
//! to decide approvals. It decides when the program may end.

use std::process::ExitCode;
use std::time::Duration;

use steadfast_events::{Approval, Event, EventKind, Fold, Message, TurnStatus};
use tokio::sync::mpsc;

use super::input::Input;
use super::notices::Notices;
use super::print_status;
use super::prompt::{ApprovalPrompt, Reply};
use super::screen::Screen;
use super::sent_messages::{Effect, SentMessages};
use super::terminal::print;
use crate::api::{DecisionOutcome, DecisionRequest, Filter, GatewayClient, StreamItem, follow_task};

const MESSAGE_PROMPT: &str = "> ";
/// An approval is opened when no event came for this long. In a log of the past, the
/// decision of an approval follows at once, and the approval is never opened.
const QUIET: Duration = Duration::from_millis(300);

pub(super) struct Conversation {
    client: GatewayClient,
    agent: String,
    task_id: String,
    fold: Fold,
    screen: Screen,
    sent: SentMessages,
    prompt: ApprovalPrompt,
    notices: Notices,
    /// A turn failed, or a message was rejected.
    failed: bool,
    /// Whether turns before the first message of this program are printed.
    shows_history: bool,
}

/// The next thing that happened.
enum Next {
    /// A line that is not input for an approval.
    Line(String),
    Handled,
    StreamEnded,
}

impl Conversation {
    /// A conversation that prints all turns of the task.
    pub(super) fn from_first_turn(client: GatewayClient, agent: String, task_id: String, screen: Screen) -> Self {
        Self {
            client,
            agent,
            task_id,
            fold: Fold::default(),
            screen,
            sent: SentMessages::default(),
            prompt: ApprovalPrompt::default(),
            notices: Notices::default(),
            failed: false,
            shows_history: true,
        }
    }

    /// A conversation that prints only turns from the first message of this program on.
    pub(super) fn from_first_message(client: GatewayClient, agent: String, task_id: String, screen: Screen) -> Self {
        Self {
            shows_history: false,
            ..Self::from_first_turn(client, agent, task_id, screen)
        }
    }

    /// Sends one message and waits for the end of its turn.
    pub(super) async fn send_one(mut self, text: &str) -> anyhow::Result<ExitCode> {
        print_status(&format!("task {}", self.task_id))?;
        let mut items = follow_task(self.client.clone(), &self.task_id);
        let mut input = Input::from_terminal();
        self.send(text).await?;
        while !self.sent.all_answered() {
            match self.next(&mut items, &mut input).await? {
                // A line that is not input for an approval is ignored.
                Next::Line(_) | Next::Handled => {}
                Next::StreamEnded => break,
            }
        }
        Ok(self.exit_code())
    }

    /// Sends each line of standard input as a message, until the input or the task ends.
    pub(super) async fn send_lines(mut self) -> anyhow::Result<ExitCode> {
        print_status(&format!("task {} (Ctrl-D leaves; the task is kept)", self.task_id))?;
        let mut items = follow_task(self.client.clone(), &self.task_id);
        let mut input = Input::from_stdin();
        loop {
            // In the line of a text that still grows, the prompt would be removed with the text.
            if self.sent.all_answered() && self.prompt.text().is_none() && !self.screen.has_open_line() {
                input.show_prompt(MESSAGE_PROMPT)?;
            }
            match self.next(&mut items, &mut input).await? {
                Next::Line(line) if line.trim().is_empty() => {}
                Next::Line(line) => self.send(&line).await?,
                Next::Handled => {}
                Next::StreamEnded => return Ok(self.exit_code()),
            }
            if (input.is_at_end() && self.sent.all_answered()) || self.sent.task_ended() {
                return Ok(self.exit_code());
            }
        }
    }

    /// Prints everything until the task ends; sends nothing but decisions.
    pub(super) async fn follow(mut self) -> anyhow::Result<ExitCode> {
        let mut items = follow_task(self.client.clone(), &self.task_id);
        let mut input = Input::from_terminal();
        while !self.sent.task_ended() {
            match self.next(&mut items, &mut input).await? {
                Next::Line(_) | Next::Handled => {}
                Next::StreamEnded => break,
            }
        }
        Ok(self.exit_code())
    }

    fn exit_code(&self) -> ExitCode {
        if self.failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }

    /// Waits for the next item or line, and handles it unless it is a message to send.
    async fn next(&mut self, items: &mut mpsc::Receiver<StreamItem>, input: &mut Input) -> anyhow::Result<Next> {
        if let Some(prompt) = self.prompt.text() {
            print(&self.screen.close_line())?;
            input.show_prompt(prompt)?;
        }
        tokio::select! {
            item = items.recv() => {
                let Some(item) = item else { return Ok(Next::StreamEnded) };
                input.clear_prompt()?;
                self.apply_item(item).await?;
            }
            () = tokio::time::sleep(QUIET), if self.prompt.can_open() => {
                input.clear_prompt()?;
                self.open_approval(input)?;
            }
            line = input.next_line(), if !input.is_at_end() => match line? {
                Some(line) if self.prompt.text().is_some() => self.read_reply(&line).await?,
                Some(line) => return Ok(Next::Line(line)),
                None => self.prompt.close(),
            },
        }
        Ok(Next::Handled)
    }

    /// Asks the person at the terminal. Without one, prints the commands that decide the approvals.
    fn open_approval(&mut self, input: &Input) -> anyhow::Result<()> {
        if input.can_prompt() {
            return match self.prompt.open() {
                Some(approval) => print(&self.screen.render_approval(approval)),
                None => Ok(()),
            };
        }
        for approval in self.prompt.take_all() {
            print(&self.screen.render_approval(&approval))?;
            self.print_decide_commands(&approval)?;
        }
        Ok(())
    }

    async fn read_reply(&mut self, line: &str) -> anyhow::Result<()> {
        match self.prompt.read(line) {
            Reply::Incomplete => Ok(()),
            Reply::Invalid(reason) => print_status(&reason),
            Reply::Deferred(approval) => self.print_decide_commands(&approval),
            Reply::Decided(approval, request) => self.decide(*approval, &request).await,
        }
    }

    /// Sends a decision. The log tells its effect.
    async fn decide(&mut self, approval: Approval, request: &DecisionRequest) -> anyhow::Result<()> {
        match self.client.decide(&approval.id, request).await {
            Ok(DecisionOutcome::Recorded) => Ok(()),
            Ok(DecisionOutcome::Pending) => {
                print_status("the decision is saved; the task continues as soon as a worker of the agent runs")
            }
            Ok(DecisionOutcome::AlreadyClosed { message, .. }) => print_status(&message),
            Ok(DecisionOutcome::InvalidAnswer(message)) => {
                self.prompt.put_back(approval);
                print_status(&message)
            }
            // The conversation continues without this decision.
            Err(error) => {
                print_status(&format!("{error:#}"))?;
                self.print_decide_commands(&approval)
            }
        }
    }

    fn print_decide_commands(&mut self, approval: &Approval) -> anyhow::Result<()> {
        let id = &approval.id;
        let answer = if approval.form.is_null() { "" } else { " --answer JSON" };
        let text = format!(
            "approval {id} is pending; decide it with\n  steadfast approvals approve {id}{answer}\n  steadfast approvals reject {id} --reason WHY"
        );
        print(&self.screen.render_notice(&text))
    }

    async fn send(&mut self, text: &str) -> anyhow::Result<()> {
        let key = uuid::Uuid::new_v4().to_string();
        self.screen.mark_printed(&key);
        self.sent.add(&key);
        self.client.send_text(&self.agent, &self.task_id, &key, text).await
    }

    async fn apply_item(&mut self, item: StreamItem) -> anyhow::Result<()> {
        match item {
            StreamItem::Event(event) => self.apply_event(&event),
            StreamItem::Reset(messages) => self.reset(messages).await,
            StreamItem::Disconnected(reason) => print_status(&format!("connection lost ({reason}); reconnecting")),
            StreamItem::Reconnected => print_status("connected again"),
            StreamItem::Failed(error) => Err(error),
        }
    }

    fn apply_event(&mut self, event: &Event) -> anyhow::Result<()> {
        self.fold.apply(event);
        let effect = self.sent.apply(event);
        if let EventKind::MessageDone { message } = &event.kind {
            self.screen.recognise(message);
        }
        match &event.kind {
            EventKind::ApprovalRequested { approval } => self.prompt.add(approval),
            EventKind::ApprovalDecided { approval_id, .. } => self.prompt.remove(approval_id),
            _ => {}
        }
        let mut text = self.new_text();
        if let Some(notice) = self.notices.for_event(event).filter(|_| self.shows_turn(event.turn)) {
            text.push_str(&self.screen.render_notice(&notice));
        }
        text.push_str(&self.render_effect(effect, event));
        print(&text)
    }

    fn render_effect(&mut self, effect: Effect, event: &Event) -> String {
        match effect {
            Effect::OwnTurnEnded => {
                self.failed |= !matches!(
                    event.kind,
                    EventKind::TurnEnded {
                        status: TurnStatus::Completed,
                        ..
                    }
                );
                self.render_turn_end(event)
            }
            Effect::OtherTurnEnded if self.shows_history => self.render_turn_end(event),
            Effect::None | Effect::OtherTurnEnded => String::new(),
            Effect::MessageRejected(reason) => {
                self.failed = true;
                self.screen
                    .render_notice(&format!("the message was rejected: {reason}"))
            }
            Effect::TaskEnded(status) => self.screen.render_notice(&format!("the task is {status}")),
        }
    }

    /// Starts again from the messages of a new log. Only text that was not printed yet is printed.
    async fn reset(&mut self, messages: Vec<Message>) -> anyhow::Result<()> {
        self.fold = Fold::default();
        for message in messages {
            self.sent.apply_message(&message);
            self.screen.recognise(&message);
            self.fold.apply(&Event {
                turn: message.turn,
                attempt: 1,
                agent: message.agent.clone(),
                path: String::new(),
                time: message.updated_at,
                kind: EventKind::MessageDone { message },
            });
        }
        // The new log does not contain the old requests. A user who may not list approvals gets none, as before.
        let filter = Filter {
            task: Some(self.task_id.clone()),
            ..Filter::default()
        };
        for pending in self.client.list_approvals(&filter).await.unwrap_or_default() {
            self.prompt.add(&pending.approval);
        }
        print(&self.new_text())
    }

    /// The text of messages that was not printed yet.
    fn new_text(&mut self) -> String {
        let first_turn = self.first_shown_turn();
        let is_shown = |message: &&Message| first_turn.is_some_and(|turn| message.turn >= turn);
        self.screen.render_messages(self.fold.messages().filter(is_shown))
    }

    fn first_shown_turn(&self) -> Option<u32> {
        if self.shows_history {
            Some(0)
        } else {
            self.sent.first_turn()
        }
    }

    fn shows_turn(&self, turn: u32) -> bool {
        self.first_shown_turn().is_some_and(|first| turn >= first)
    }

    fn render_turn_end(&mut self, event: &Event) -> String {
        match &event.kind {
            EventKind::TurnEnded { status, usage, error } => {
                self.screen.render_turn_end(*status, *usage, error.as_ref())
            }
            _ => String::new(),
        }
    }
}
