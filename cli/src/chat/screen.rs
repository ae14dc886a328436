//! Turns the messages of a task into terminal text, growing with them. A
//! terminal cannot take back what it printed: text is printed as it arrives,
//! and when a repeated model call says something else, all of it is said again.
//! Pure: it returns what to print and prints nothing.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::Value;
use steadfast_events::{Approval, ApprovalKind, Author, Content, Message, MessageStatus, TurnError, TurnStatus, Usage};

/// Longest tool argument or result that is shown whole.
const MAX_CARD_CHARACTERS: usize = 4_000;

/// Whether to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Ansi,
}

#[derive(Clone, Copy)]
enum Paint {
    Dim,
    Bold,
    Red,
}

/// What stands on the terminal already.
#[derive(Debug)]
pub struct Screen {
    style: Style,
    /// Printed bodies by message id.
    printed: HashMap<String, Printed>,
    /// The message whose line the cursor stands in.
    open: Option<String>,
}

#[derive(Debug, Default)]
struct Printed {
    body: String,
    done: bool,
}

impl Screen {
    pub fn new(style: Style) -> Self {
        Self {
            style,
            printed: HashMap::new(),
            open: None,
        }
    }

    /// Marks a message as visible already, because the person typed it here.
    pub fn skip(&mut self, message_id: &str) {
        self.printed.insert(
            message_id.to_owned(),
            Printed {
                body: String::new(),
                done: true,
            },
        );
    }

    /// What to print so that the terminal shows `messages`.
    pub fn show<'a>(&mut self, messages: impl IntoIterator<Item = &'a Message>) -> String {
        let mut out = String::new();
        for message in messages {
            if !self.printed.get(&message.id).is_some_and(|printed| printed.done) {
                self.show_message(message, &mut out);
            }
        }
        out
    }

    /// What to print when a turn has ended.
    pub fn show_turn_end(&mut self, status: TurnStatus, usage: Usage, error: Option<&TurnError>) -> String {
        let mut out = self.close_line();
        let line = match (status, error) {
            (TurnStatus::Completed, _) => self.paint(Paint::Dim, &usage_text(usage)),
            (TurnStatus::Interrupted, _) => self.paint(Paint::Dim, "(interrupted)"),
            (TurnStatus::Canceled, _) => self.paint(Paint::Dim, "(canceled)"),
            (TurnStatus::Failed, Some(error)) => {
                let text = format!(
                    "the turn failed: {} ({})",
                    visible(&error.message),
                    visible(&error.category)
                );
                self.paint(Paint::Red, &text)
            }
            (TurnStatus::Failed, None) => self.paint(Paint::Red, "the turn failed"),
        };
        out.push_str(&line);
        out.push('\n');
        out
    }

    /// What to print to say something that is not part of the conversation.
    pub fn show_note(&mut self, text: &str) -> String {
        let mut out = self.close_line();
        out.push_str(&self.paint(Paint::Dim, &visible(text)));
        out.push('\n');
        out
    }

    /// What to print to ask a person: exactly what will run.
    pub fn show_approval(&mut self, approval: &Approval) -> String {
        let mut out = self.close_line();
        let (agent, tool) = (visible(&approval.agent), visible(&approval.tool));
        let title = match approval.kind {
            ApprovalKind::ToolCall => format!("{agent} wants to call {tool}"),
            ApprovalKind::Question => format!("{agent} asks ({tool})"),
            ApprovalKind::Elicitation => format!("{tool} asks in the middle of its call"),
        };
        let _ = writeln!(out, "╭ {}", self.paint(Paint::Bold, &title));
        let mut lines = visible(&approval.prompt);
        if !approval.arguments.is_null() {
            // A part of it would be approved unseen if it were cut.
            let _ = write!(lines, "\n{}", visible(&approval.arguments.to_string()));
        }
        if !approval.form.is_null() {
            let _ = write!(lines, "\nanswer: {}", card_text(&approval.form));
        }
        if let Some(expires_at) = approval.expires_at {
            let _ = write!(lines, "\nuntil {}", expires_at.strftime("%Y-%m-%d %H:%M:%S UTC"));
        }
        for line in lines.lines().filter(|line| !line.is_empty()) {
            let _ = writeln!(out, "│ {line}");
        }
        out.push_str("╰\n");
        out
    }

    /// What to print so that a prompt has a line of its own.
    pub fn end_line(&mut self) -> String {
        self.close_line()
    }

    fn show_message(&mut self, message: &Message, out: &mut String) {
        let done = message.status.is_final();
        let ending = match message.status {
            MessageStatus::InProgress => None,
            MessageStatus::Done => Some(""),
            MessageStatus::Interrupted => Some(" (interrupted)"),
        };
        match &message.content {
            Content::Text { text, .. } => {
                let head = match message.author {
                    Author::User => self.paint(Paint::Bold, "you: "),
                    Author::Agent => self.paint(Paint::Bold, &format!("{}: ", visible(&message.agent))),
                };
                self.grow(&message.id, &head, &visible(text), ending, out);
            }
            Content::Reasoning { summary, content } => {
                let parts = if summary.is_empty() { content } else { summary };
                let head = self.paint(Paint::Dim, "thinking: ");
                self.grow(&message.id, &head, &visible(&parts.join("\n")), ending, out);
            }
            // Arguments that are still arriving are half a JSON text: a card is shown once it is whole.
            Content::ToolRequest { .. } | Content::ToolResponse { .. } | Content::Data { .. } if !done => {}
            Content::ToolRequest { name, arguments, .. } => {
                self.card(
                    &message.id,
                    &format!("call {}{}", visible(name), ending.unwrap_or_default()),
                    arguments,
                    Paint::Bold,
                    out,
                );
            }
            Content::ToolResponse {
                name,
                content,
                is_error: false,
                ..
            } => {
                self.card(
                    &message.id,
                    &format!("{} answered", visible(name)),
                    content,
                    Paint::Bold,
                    out,
                );
            }
            Content::ToolResponse {
                name,
                content,
                is_error: true,
                ..
            } => {
                self.card(
                    &message.id,
                    &format!("{} failed", visible(name)),
                    content,
                    Paint::Red,
                    out,
                );
            }
            Content::Data { data } => self.card(&message.id, "data", data, Paint::Bold, out),
        }
    }

    /// Prints what of `body` is not on the terminal yet, and its ending once it has one.
    fn grow(&mut self, id: &str, head: &str, body: &str, ending: Option<&str>, out: &mut String) {
        let done = ending.is_some();
        let shown = self.printed.get(id).map_or("", |printed| printed.body.as_str());
        if !done && shown.starts_with(body) {
            // Nothing new; or a repeated call that has not caught up with what its first attempt said.
            return;
        }
        let is_open = self.open.as_deref() == Some(id);
        let addition = match body.strip_prefix(shown) {
            Some(rest) if shown.is_empty() && rest.is_empty() => String::new(),
            Some(rest) if shown.is_empty() => format!("{}{head}{rest}", self.close_line()),
            Some(rest) if is_open => rest.to_owned(),
            Some("") => String::new(),
            Some(rest) => format!("{}{head}… {rest}", self.close_line()),
            None => {
                let note = self.paint(Paint::Dim, "(the model call was repeated)");
                format!("{}{note}\n{head}{body}", self.close_line())
            }
        };
        if !addition.is_empty() {
            out.push_str(&addition);
            self.open = Some(id.to_owned());
        }
        if let Some(ending) = ending
            && self.open.as_deref() == Some(id)
        {
            if !ending.is_empty() {
                out.push_str(&self.paint(Paint::Dim, ending));
            }
            out.push_str(&self.close_line());
        }
        self.printed.insert(
            id.to_owned(),
            Printed {
                body: body.to_owned(),
                done,
            },
        );
    }

    fn card(&mut self, id: &str, title: &str, content: &Value, paint: Paint, out: &mut String) {
        out.push_str(&self.close_line());
        let _ = writeln!(out, "╭ {}", self.paint(paint, title));
        for line in card_text(content).lines() {
            let _ = writeln!(out, "│ {line}");
        }
        out.push_str("╰\n");
        self.printed.insert(
            id.to_owned(),
            Printed {
                body: String::new(),
                done: true,
            },
        );
    }

    /// Ends the line the cursor stands in, if it stands in one.
    fn close_line(&mut self) -> String {
        self.open.take().map_or_else(String::new, |_| "\n".to_owned())
    }

    fn paint(&self, paint: Paint, text: &str) -> String {
        let code = match (self.style, paint) {
            (Style::Plain, _) => return text.to_owned(),
            (Style::Ansi, Paint::Dim) => 2,
            (Style::Ansi, Paint::Bold) => 1,
            (Style::Ansi, Paint::Red) => 31,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Text as it may be printed: a model or a tool must not steer the terminal.
pub fn visible(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\n' | '\t' => character,
            control if control.is_control() => '\u{fffd}',
            other => other,
        })
        .collect()
}

/// A tool's text as it is, everything else as compact JSON; long ones are cut.
fn card_text(content: &Value) -> String {
    let text = match content {
        Value::String(text) => visible(text),
        other => other.to_string(),
    };
    match text.char_indices().nth(MAX_CARD_CHARACTERS) {
        Some((cut, _)) => format!("{}… ({} bytes in all)", &text[..cut], text.len()),
        None => text,
    }
}

fn usage_text(usage: Usage) -> String {
    let calls = if usage.model_calls == 1 {
        "model call"
    } else {
        "model calls"
    };
    format!(
        "({} {calls}, {} tokens in, {} out)",
        usage.model_calls, usage.input_tokens, usage.output_tokens
    )
}

#[cfg(test)]
#[path = "screen_tests.rs"]
mod tests;
