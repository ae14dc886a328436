//! From the events of a turn to items as OpenAI's APIs show them: each is added, grows, and is done
//! once, at an index of its own. Pure, and the same for the same log: a client that asks again for
//! the events after the last one it has gets exactly the rest.

use std::collections::HashMap;

use serde_json::Value;
use steadfast_events::{
    Approval, Author, Content, Decision, Event, EventKind, Message, MessageStatus, TextFormat, TurnError, TurnStatus,
    Usage,
};

/// An item of a turn, as far as it has come.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) status: ItemStatus,
    pub(crate) body: ItemBody,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ItemStatus {
    InProgress,
    Completed,
    /// The turn ended before it was complete.
    Incomplete,
    /// Its attempt failed: it is no part of the answer.
    Retracted,
    /// A call with an error.
    Failed,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ItemBody {
    Text {
        text: String,
        phase: Option<Phase>,
    },
    Reasoning {
        summary: Vec<String>,
        content: Vec<String>,
    },
    /// A call of a tool, which the worker runs.
    Call {
        name: String,
        /// JSON text.
        arguments: String,
        /// The arguments are whole.
        is_called: bool,
        output: Option<String>,
        error: Option<String>,
    },
}

impl ItemStatus {
    /// Its name in OpenAI's APIs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete | Self::Retracted => "incomplete",
            Self::Failed => "failed",
        }
    }
}

/// Whether a text is the answer, or was written on the way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Commentary,
    FinalAnswer,
}

impl Phase {
    /// Its name in OpenAI's APIs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Commentary => "commentary",
            Self::FinalAnswer => "final_answer",
        }
    }
}

/// What an event changes. Indexes are those of items.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// The message was accepted: it has its turn, now or later.
    Accepted,
    Started,
    Added(usize),
    TextDelta {
        index: usize,
        delta: String,
    },
    /// A piece of a part of a summary; the first one of a part begins it.
    SummaryDelta {
        index: usize,
        part: usize,
        delta: String,
        is_first: bool,
    },
    /// The same of the reasoning itself.
    ReasoningDelta {
        index: usize,
        part: usize,
        delta: String,
    },
    ArgumentsDelta {
        index: usize,
        delta: String,
    },
    /// The arguments of a call are whole, and it runs.
    Called(usize),
    Done(usize),
    /// A person is asked.
    Asked(Box<Approval>),
    /// The approval with this id has an outcome.
    Decided(String, Box<Decision>),
    Ended {
        status: TurnStatus,
        usage: Usage,
        error: Option<TurnError>,
    },
}

/// The items of the turn that answers a message.
#[derive(Clone, Debug)]
pub(crate) struct TurnItems {
    message_id: String,
    /// Known once the task has accepted the message.
    turn: Option<u32>,
    items: Vec<Item>,
    /// By the id of the message.
    places: HashMap<String, Place>,
    /// By the id that the model gave the call.
    calls: HashMap<String, usize>,
    /// Texts that are whole, and of which the next event tells whether they are the answer.
    held: Vec<usize>,
    has_ended: bool,
}

#[derive(Clone, Debug)]
struct Place {
    /// `None` after the message was retracted.
    index: Option<usize>,
    attempt: u32,
    /// How often the message began.
    beginnings: u32,
}

impl TurnItems {
    pub(crate) fn of_message(message_id: impl Into<String>) -> Self {
        Self {
            message_id: message_id.into(),
            turn: None,
            items: Vec::new(),
            places: HashMap::new(),
            calls: HashMap::new(),
            held: Vec::new(),
            has_ended: false,
        }
    }

    /// The items of a turn whose messages are all that is known of it.
    pub(crate) fn of_messages(messages: &[Message]) -> Self {
        let mut items = Self {
            turn: messages.first().map(|message| message.turn),
            ..Self::of_message("")
        };
        items.catch_up(messages, None);
        items.release(Phase::FinalAnswer, &mut Vec::new());
        items
    }

    /// The number of the turn, once the task has accepted the message.
    pub(crate) fn turn(&self) -> Option<u32> {
        self.turn
    }

    pub(crate) fn item(&self, index: usize) -> Option<&Item> {
        self.items.get(index)
    }

    /// All items, in the order of their indexes.
    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }

    /// Takes in the next event of the log. Those of other turns, and of agents that run as tools, change nothing.
    pub(crate) fn apply(&mut self, event: &Event) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.has_ended || !event.path.is_empty() {
            return changes;
        }
        match &event.kind {
            EventKind::MessageAccepted { message_id, .. } if *message_id == self.message_id => {
                self.turn = Some(event.turn);
                changes.push(Change::Accepted);
            }
            // The message had no turn, or the task ended before it got to the message.
            EventKind::MessageRejected { message_id, reason, .. } if *message_id == self.message_id => {
                let error = TurnError {
                    category: "message_rejected".to_owned(),
                    message: reason.clone(),
                };
                self.end(TurnStatus::Failed, Usage::default(), Some(error), &mut changes);
            }
            _ if self.turn == Some(event.turn) => self.apply_to_turn(event, &mut changes),
            _ => {}
        }
        changes
    }

    fn apply_to_turn(&mut self, event: &Event, changes: &mut Vec<Change>) {
        match &event.kind {
            EventKind::TurnStarted {} => changes.push(Change::Started),
            EventKind::MessageStarted { message_id, content } => {
                self.start(message_id, event.attempt, content, changes);
            }
            EventKind::TextDelta { message_id, delta } => {
                if let Some(index) = self.open(message_id, event.attempt) {
                    self.text_delta(index, delta, changes);
                }
            }
            EventKind::ReasoningSummaryDelta {
                message_id,
                index: part,
                delta,
            } => {
                if let Some(index) = self.open(message_id, event.attempt) {
                    self.summary_delta(index, *part as usize, delta, changes);
                }
            }
            EventKind::ReasoningDelta {
                message_id,
                index: part,
                delta,
            } => {
                if let Some(index) = self.open(message_id, event.attempt) {
                    self.reasoning_delta(index, *part as usize, delta, changes);
                }
            }
            EventKind::ToolArgumentsDelta { message_id, delta } => {
                if let Some(index) = self.open(message_id, event.attempt) {
                    self.arguments_delta(index, delta, changes);
                }
            }
            EventKind::MessageDone { message } => self.finish(message, event.attempt, changes),
            EventKind::MessageReset { message_id } => self.retract(message_id, event.attempt, changes),
            EventKind::ModelStarted { .. } | EventKind::ToolStarted { .. } | EventKind::Handoff { .. } => {
                self.release(Phase::Commentary, changes);
            }
            EventKind::ApprovalRequested { approval } => {
                self.release(Phase::Commentary, changes);
                changes.push(Change::Asked(Box::new(approval.clone())));
            }
            EventKind::ApprovalDecided { approval_id, decision } => {
                changes.push(Change::Decided(approval_id.clone(), Box::new(decision.clone())));
            }
            EventKind::TurnEnded { status, usage, error } => {
                self.end(*status, *usage, error.clone(), changes);
            }
            EventKind::LogOpened { .. }
            | EventKind::TaskUpdated { .. }
            | EventKind::MessageAccepted { .. }
            | EventKind::MessageRejected { .. }
            | EventKind::ModelAttemptFailed { .. }
            | EventKind::ModelEnded { .. }
            | EventKind::ToolEnded { .. }
            | EventKind::AgentStarted { .. }
            | EventKind::AgentEnded { .. }
            | EventKind::GuardrailTripped { .. }
            | EventKind::ContextCompacted { .. }
            | EventKind::ToolsUnavailable { .. }
            | EventKind::Unknown => {}
        }
    }

    /// Takes in all messages of the task, where entries of the log were lost, and the latest end of a turn.
    pub(crate) fn catch_up(&mut self, messages: &[Message], turn_end: Option<&Event>) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.turn.is_none() {
            let accepted = messages
                .iter()
                .find(|message| message.author == Author::User && message.id == self.message_id);
            if let Some(message) = accepted {
                self.turn = Some(message.turn);
                changes.push(Change::Accepted);
                let is_answer = |other: &Message| other.turn == message.turn && other.author == Author::Agent;
                if messages.iter().any(is_answer) {
                    changes.push(Change::Started);
                }
            }
        }
        let Some(turn) = self.turn.filter(|_| !self.has_ended) else {
            return changes;
        };
        for message in messages.iter().filter(|message| message.turn == turn) {
            let attempt = self.places.get(&message.id).map_or(1, |place| place.attempt);
            if message.status.is_final() {
                self.finish(message, attempt, &mut changes);
            } else {
                self.start(&message.id, attempt, &empty(&message.content), &mut changes);
                if let Some(index) = self.open(&message.id, attempt) {
                    self.extend_to(index, &message.content, &mut changes);
                }
            }
        }
        if let Some(event) = turn_end {
            changes.extend(self.apply(event));
        }
        // A later turn has begun: this one has ended.
        if messages.iter().any(|message| message.turn > turn) {
            changes.extend(self.end_unseen(TurnStatus::Completed));
        }
        changes
    }

    /// An answer that no agent gives.
    pub(crate) fn tell(&mut self, answer: &str) -> Vec<Change> {
        let mut changes = Vec::new();
        let content = Content::text("", TextFormat::Plain);
        self.begin("", 1, &content, &mut changes);
        self.text_delta(0, answer, &mut changes);
        if let Some(item) = self.items.first_mut() {
            item.status = ItemStatus::Completed;
        }
        changes.push(Change::Done(0));
        self.end(TurnStatus::Completed, Usage::default(), None, &mut changes);
        changes
    }

    /// Ends the turn whose end the log lacks.
    pub(crate) fn end_unseen(&mut self, status: TurnStatus) -> Vec<Change> {
        let mut changes = Vec::new();
        if !self.has_ended {
            self.end(status, Usage::default(), None, &mut changes);
        }
        changes
    }

    /// The index of a message that this attempt has begun and not ended.
    fn open(&self, message_id: &str, attempt: u32) -> Option<usize> {
        let place = self.places.get(message_id)?;
        let index = place.index.filter(|_| attempt >= place.attempt)?;
        (!self.is_whole(index)).then_some(index)
    }

    /// Whether no more text of an item will come.
    fn is_whole(&self, index: usize) -> bool {
        let item = &self.items[index];
        item.status != ItemStatus::InProgress
            || self.held.contains(&index)
            || matches!(item.body, ItemBody::Call { is_called: true, .. })
    }

    fn start(&mut self, message_id: &str, attempt: u32, content: &Content, changes: &mut Vec<Change>) {
        if let Some(place) = self.places.get(message_id) {
            // A message starts anew only for a later attempt, or after it was retracted.
            if attempt < place.attempt || (attempt == place.attempt && place.index.is_some()) {
                return;
            }
            if let Some(index) = place.index {
                self.abandon(index, changes);
            }
        }
        self.begin(message_id, attempt, content, changes);
    }

    fn begin(&mut self, message_id: &str, attempt: u32, content: &Content, changes: &mut Vec<Change>) {
        if matches!(content, Content::ToolRequest { .. }) {
            self.release(Phase::Commentary, changes);
        }
        let Some(body) = begun(content) else { return };
        let place = self.places.entry(message_id.to_owned()).or_insert(Place {
            index: None,
            attempt,
            beginnings: 0,
        });
        place.attempt = attempt;
        place.beginnings += 1;
        place.index = Some(self.items.len());
        let id = item_id(&body, message_id, place.beginnings);
        if let Content::ToolRequest { tool_call_id, .. } = content {
            self.calls.insert(tool_call_id.clone(), self.items.len());
        }
        changes.push(Change::Added(self.items.len()));
        self.items.push(Item {
            id,
            status: ItemStatus::InProgress,
            body,
        });
    }

    fn finish(&mut self, message: &Message, attempt: u32, changes: &mut Vec<Change>) {
        if message.author == Author::User {
            return;
        }
        if let Content::ToolResponse {
            tool_call_id,
            name,
            content,
            is_error,
            ..
        } = &message.content
        {
            self.answer(&message.id, tool_call_id, name, content, *is_error, changes);
            return;
        }
        let mut is_begun = false;
        if let Some(place) = self.places.get(&message.id) {
            if attempt < place.attempt {
                return;
            }
            if let Some(index) = place.index {
                if self.is_whole(index) {
                    return;
                }
                is_begun = is_continued(&self.items[index], &message.content);
                if !is_begun {
                    // What was shown is not what the message became.
                    self.abandon(index, changes);
                }
            }
        }
        if !is_begun {
            self.begin(&message.id, attempt, &empty(&message.content), changes);
        }
        let Some(index) = self.open(&message.id, attempt) else {
            return;
        };
        self.extend_to(index, &message.content, changes);
        let is_whole = message.status == MessageStatus::Done;
        match &mut self.items[index].body {
            _ if !is_whole => self.close(index, ItemStatus::Incomplete, changes),
            ItemBody::Text { .. } => self.held.push(index),
            ItemBody::Call { is_called, .. } => {
                *is_called = true;
                changes.push(Change::Called(index));
            }
            ItemBody::Reasoning { .. } => self.close(index, ItemStatus::Completed, changes),
        }
    }

    /// The result of a call.
    fn answer(
        &mut self,
        message_id: &str,
        tool_call_id: &str,
        name: &str,
        content: &Value,
        is_error: bool,
        changes: &mut Vec<Change>,
    ) {
        self.release(Phase::Commentary, changes);
        let index = if let Some(index) = self.calls.get(tool_call_id) {
            *index
        } else {
            // The request is not shown.
            let index = self.items.len();
            let body = ItemBody::Call {
                name: name.to_owned(),
                arguments: String::new(),
                is_called: true,
                output: None,
                error: None,
            };
            self.calls.insert(tool_call_id.to_owned(), index);
            changes.push(Change::Added(index));
            self.items.push(Item {
                id: item_id(&body, message_id, 1),
                status: ItemStatus::InProgress,
                body,
            });
            index
        };
        let item = &mut self.items[index];
        if item.status != ItemStatus::InProgress {
            return;
        }
        let text = text_of(content);
        if let ItemBody::Call { output, error, .. } = &mut item.body {
            *(if is_error { error } else { output }) = Some(text);
        }
        let status = if is_error {
            ItemStatus::Failed
        } else {
            ItemStatus::Completed
        };
        self.close(index, status, changes);
    }

    fn retract(&mut self, message_id: &str, attempt: u32, changes: &mut Vec<Change>) {
        let Some(place) = self.places.get_mut(message_id) else {
            return;
        };
        place.attempt = place.attempt.max(attempt);
        if let Some(index) = place.index.take() {
            self.abandon(index, changes);
        }
    }

    /// The item is no part of the answer: its attempt failed.
    fn abandon(&mut self, index: usize, changes: &mut Vec<Change>) {
        self.held.retain(|held| *held != index);
        let was_open = self.items[index].status == ItemStatus::InProgress;
        self.items[index].status = ItemStatus::Retracted;
        if was_open {
            changes.push(Change::Done(index));
        }
    }

    fn close(&mut self, index: usize, status: ItemStatus, changes: &mut Vec<Change>) {
        self.items[index].status = status;
        changes.push(Change::Done(index));
    }

    /// The texts that waited are answers, or not.
    fn release(&mut self, decided: Phase, changes: &mut Vec<Change>) {
        for index in std::mem::take(&mut self.held) {
            if let ItemBody::Text { phase, .. } = &mut self.items[index].body {
                *phase = Some(decided);
            }
            self.close(index, ItemStatus::Completed, changes);
        }
    }

    fn end(&mut self, status: TurnStatus, usage: Usage, error: Option<TurnError>, changes: &mut Vec<Change>) {
        self.release(Phase::FinalAnswer, changes);
        for index in 0..self.items.len() {
            if self.items[index].status == ItemStatus::InProgress {
                self.close(index, ItemStatus::Incomplete, changes);
            }
        }
        self.has_ended = true;
        changes.push(Change::Ended { status, usage, error });
    }

    fn text_delta(&mut self, index: usize, delta: &str, changes: &mut Vec<Change>) {
        if let ItemBody::Text { text, .. } = &mut self.items[index].body
            && !delta.is_empty()
        {
            text.push_str(delta);
            changes.push(Change::TextDelta {
                index,
                delta: delta.to_owned(),
            });
        }
    }

    fn summary_delta(&mut self, index: usize, part: usize, delta: &str, changes: &mut Vec<Change>) {
        if let ItemBody::Reasoning { summary, .. } = &mut self.items[index].body {
            // Parts come one after the other; a later one than the next counts as the next.
            let part = part.min(summary.len());
            let is_first = part == summary.len();
            if is_first {
                summary.push(String::new());
            }
            summary[part].push_str(delta);
            changes.push(Change::SummaryDelta {
                index,
                part,
                delta: delta.to_owned(),
                is_first,
            });
        }
    }

    fn reasoning_delta(&mut self, index: usize, part: usize, delta: &str, changes: &mut Vec<Change>) {
        if let ItemBody::Reasoning { content, .. } = &mut self.items[index].body {
            let part = part.min(content.len());
            if part == content.len() {
                content.push(String::new());
            }
            content[part].push_str(delta);
            changes.push(Change::ReasoningDelta {
                index,
                part,
                delta: delta.to_owned(),
            });
        }
    }

    fn arguments_delta(&mut self, index: usize, delta: &str, changes: &mut Vec<Change>) {
        if let ItemBody::Call { arguments, .. } = &mut self.items[index].body
            && !delta.is_empty()
        {
            arguments.push_str(delta);
            changes.push(Change::ArgumentsDelta {
                index,
                delta: delta.to_owned(),
            });
        }
    }

    /// The deltas that an item lacks of a content that continues it.
    fn extend_to(&mut self, index: usize, content: &Content, changes: &mut Vec<Change>) {
        match content {
            Content::Text { text, .. } => {
                let rest = self.rest_of_text(index, text);
                self.text_delta(index, &rest, changes);
            }
            Content::Data { data } => {
                let rest = self.rest_of_text(index, &data.to_string());
                self.text_delta(index, &rest, changes);
            }
            Content::ToolRequest { arguments, .. } => {
                let whole = text_of(arguments);
                let rest = match &self.items[index].body {
                    ItemBody::Call { arguments, .. } => whole.strip_prefix(arguments.as_str()).map(str::to_owned),
                    _ => None,
                };
                match (rest, &mut self.items[index].body) {
                    (Some(rest), _) => self.arguments_delta(index, &rest, changes),
                    // The pieces were spaced otherwise than the whole; a client takes the whole.
                    (None, ItemBody::Call { arguments, .. }) => *arguments = whole,
                    (None, _) => {}
                }
            }
            Content::Reasoning { summary, content } => {
                for (part, text) in summary.iter().enumerate() {
                    let rest = match &self.items[index].body {
                        ItemBody::Reasoning { summary, .. } => rest_of(summary.get(part), text),
                        _ => None,
                    };
                    if let Some(rest) = rest {
                        self.summary_delta(index, part, &rest, changes);
                    }
                }
                for (part, text) in content.iter().enumerate() {
                    let rest = match &self.items[index].body {
                        ItemBody::Reasoning { content, .. } => rest_of(content.get(part), text),
                        _ => None,
                    };
                    if let Some(rest) = rest {
                        self.reasoning_delta(index, part, &rest, changes);
                    }
                }
            }
            Content::ToolResponse { .. } => {}
        }
    }

    fn rest_of_text(&self, index: usize, whole: &str) -> String {
        match &self.items[index].body {
            ItemBody::Text { text, .. } => whole.strip_prefix(text.as_str()).unwrap_or_default().to_owned(),
            ItemBody::Reasoning { .. } | ItemBody::Call { .. } => String::new(),
        }
    }
}

/// What of a part was not shown yet; `None` for nothing.
fn rest_of(shown: Option<&String>, whole: &str) -> Option<String> {
    match shown {
        None => Some(whole.to_owned()),
        Some(shown) => whole
            .strip_prefix(shown.as_str())
            .filter(|rest| !rest.is_empty())
            .map(str::to_owned),
    }
}

/// Whether what was shown of an item is the beginning of a content.
fn is_continued(item: &Item, content: &Content) -> bool {
    match (&item.body, content) {
        (ItemBody::Text { text: shown, .. }, Content::Text { text, .. }) => text.starts_with(shown.as_str()),
        (ItemBody::Text { text: shown, .. }, Content::Data { data }) => data.to_string().starts_with(shown.as_str()),
        (ItemBody::Reasoning { summary: shown, .. }, Content::Reasoning { summary, .. }) => {
            shown.len() <= summary.len()
                && shown
                    .iter()
                    .zip(summary)
                    .all(|(shown, whole)| whole.starts_with(shown.as_str()))
        }
        (ItemBody::Call { .. }, Content::ToolRequest { .. }) => true,
        _ => false,
    }
}

/// The body of an item that begins; `None` for what is no item of its own.
fn begun(content: &Content) -> Option<ItemBody> {
    match content {
        Content::Text { text, .. } => Some(ItemBody::Text {
            text: text.clone(),
            phase: None,
        }),
        Content::Data { .. } => Some(ItemBody::Text {
            text: String::new(),
            phase: None,
        }),
        Content::Reasoning { .. } => Some(ItemBody::Reasoning {
            summary: Vec::new(),
            content: Vec::new(),
        }),
        Content::ToolRequest { name, .. } => Some(ItemBody::Call {
            name: name.clone(),
            arguments: String::new(),
            is_called: false,
            output: None,
            error: None,
        }),
        Content::ToolResponse { .. } => None,
    }
}

/// A content as it begins: without text.
fn empty(content: &Content) -> Content {
    match content {
        Content::Text { format, .. } => Content::text("", *format),
        Content::Reasoning { .. } => Content::Reasoning {
            summary: Vec::new(),
            content: Vec::new(),
        },
        other => other.clone(),
    }
}

/// A JSON value as text: a string as it is, anything else as JSON.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn item_id(body: &ItemBody, message_id: &str, beginning: u32) -> String {
    let prefix = match body {
        ItemBody::Text { .. } => "msg",
        ItemBody::Reasoning { .. } => "rs",
        ItemBody::Call { .. } => "mcp",
    };
    let id = message_id.replace('-', "");
    if beginning == 1 {
        format!("{prefix}_{id}")
    } else {
        format!("{prefix}_{id}_{beginning}")
    }
}

#[cfg(test)]
mod tests;
