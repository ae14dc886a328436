//! Renders the messages of a task as text for a terminal, while they grow. A
//! terminal cannot remove text that was printed: when a repeated model call
//! returns another text, the whole message is printed again. Pure: it returns the
//! text to print.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::Value;
use steadfast_events::{Approval, ApprovalKind, Author, Content, Message, MessageStatus, TurnError, TurnStatus, Usage};

use crate::printable::printable;

/// Longer tool arguments and results are cut.
const MAX_CARD_CHARACTERS: usize = 4_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Ansi,
}

#[derive(Clone, Copy)]
enum Paint {
    Dim,
    Bold,
    Red,
}

/// The text that was printed.
#[derive(Debug)]
pub(super) struct Screen {
    style: Style,
    /// Printed text by message id.
    printed: HashMap<String, Printed>,
    /// The message that ends in the line of the cursor.
    open: Option<String>,
}

#[derive(Debug, Default)]
struct Printed {
    body: String,
    done: bool,
}

impl Screen {
    pub(super) fn new(style: Style) -> Self {
        Self {
            style,
            printed: HashMap::new(),
            open: None,
        }
    }

    /// Marks a message as printed, because the person typed it on this terminal: by its idempotency key as long as its
    /// id is not known.
    pub(super) fn mark_printed(&mut self, key: &str) {
        self.printed.insert(
            key.to_owned(),
            Printed {
                body: String::new(),
                done: true,
            },
        );
    }

    /// Marks the id of a message as printed if its key is.
    pub(super) fn recognise(&mut self, message: &Message) {
        if let Some(key) = &message.idempotency_key
            && self.printed.contains_key(key)
        {
            self.mark_printed(&message.id);
        }
    }

    /// The text to print so that the terminal shows all `messages`.
    pub(super) fn render_messages<'a>(&mut self, messages: impl IntoIterator<Item = &'a Message>) -> String {
        let mut out = String::new();
        for message in messages {
            if !self.printed.get(&message.id).is_some_and(|printed| printed.done) {
                self.render_message(message, &mut out);
            }
        }
        out
    }

    /// The last line of a turn: its usage or its error.
    pub(super) fn render_turn_end(&mut self, status: TurnStatus, usage: Usage, error: Option<&TurnError>) -> String {
        let mut out = self.close_line();
        let line = match (status, error) {
            (TurnStatus::Completed, _) => self.paint(Paint::Dim, &usage_text(usage)),
            (TurnStatus::Interrupted, _) => self.paint(Paint::Dim, "(interrupted)"),
            (TurnStatus::Canceled, _) => self.paint(Paint::Dim, "(canceled)"),
            (TurnStatus::Failed, Some(error)) => {
                let text = format!(
                    "the turn failed: {} ({})",
                    printable(&error.message),
                    printable(&error.category)
                );
                self.paint(Paint::Red, &text)
            }
            (TurnStatus::Failed, None) => self.paint(Paint::Red, "the turn failed"),
        };
        out.push_str(&line);
        out.push('\n');
        out
    }

    /// A line that is not part of the conversation.
    pub(super) fn render_notice(&mut self, text: &str) -> String {
        let mut out = self.close_line();
        out.push_str(&self.paint(Paint::Dim, &printable(text)));
        out.push('\n');
        out
    }

    /// A pending approval, with all arguments of the call.
    pub(super) fn render_approval(&mut self, approval: &Approval) -> String {
        let mut out = self.close_line();
        let (agent, tool) = (printable(&approval.agent), printable(&approval.tool));
        let title = match approval.kind {
            ApprovalKind::ToolCall => format!("{agent} wants to call {tool}"),
            ApprovalKind::Question => format!("{agent} asks ({tool})"),
            ApprovalKind::Elicitation => format!("{tool} asks for input during its call"),
        };
        let _ = writeln!(out, "╭ {}", self.paint(Paint::Bold, &title));
        let mut lines = printable(&approval.prompt);
        if !approval.arguments.is_null() {
            // Never cut: a person must see everything that the approval covers.
            let _ = write!(lines, "\n{}", printable(&approval.arguments.to_string()));
        }
        if !approval.form.is_null() {
            let _ = write!(lines, "\nanswer: {}", card_text(&approval.form));
        }
        if let Some(expires_at) = approval.expires_at {
            let _ = write!(lines, "\nexpires {}", expires_at.strftime("%Y-%m-%d %H:%M:%S UTC"));
        }
        for line in lines.lines().filter(|line| !line.is_empty()) {
            let _ = writeln!(out, "│ {line}");
        }
        out.push_str("╰\n");
        out
    }

    fn render_message(&mut self, message: &Message, out: &mut String) {
        let done = message.status.is_final();
        let ending = match message.status {
            MessageStatus::InProgress => None,
            MessageStatus::Done => Some(""),
            MessageStatus::Interrupted => Some(" (interrupted)"),
        };
        match &message.content {
            Content::Text { text, attachments, .. } => {
                let labels = attachments
                    .iter()
                    .map(|attachment| format!("\n[{}]", attachment.label()));
                let text = labels.fold(text.clone(), |text, label| text + &label);
                let head = match message.author {
                    Author::User => self.paint(Paint::Bold, "you: "),
                    Author::Agent => self.paint(Paint::Bold, &format!("{}: ", printable(&message.agent))),
                };
                self.extend(&message.id, &head, &printable(&text), ending, out);
            }
            Content::Reasoning { summary, content } => {
                let parts = if summary.is_empty() { content } else { summary };
                let head = self.paint(Paint::Dim, "thinking: ");
                self.extend(&message.id, &head, &printable(&parts.join("\n")), ending, out);
            }
            // Incomplete arguments are not valid JSON: a card is printed when it is complete.
            Content::ToolRequest { .. } | Content::ToolResponse { .. } | Content::Data { .. } if !done => {}
            Content::ToolRequest { name, arguments, .. } => {
                self.card(
                    &message.id,
                    &format!("call {}{}", printable(name), ending.unwrap_or_default()),
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
                    &format!("{} answered", printable(name)),
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
                    &format!("{} failed", printable(name)),
                    content,
                    Paint::Red,
                    out,
                );
            }
            Content::Data { data } => self.card(&message.id, "data", data, Paint::Bold, out),
        }
    }

    /// Appends the part of `body` that was not printed yet, and the ending of a complete message.
    fn extend(&mut self, id: &str, head: &str, body: &str, ending: Option<&str>, out: &mut String) {
        let done = ending.is_some();
        let shown = self.printed.get(id).map_or("", |printed| printed.body.as_str());
        if !done && shown.starts_with(body) {
            // Nothing new, or a repeated model call whose text is still shorter than that of the first attempt.
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
                let notice = self.paint(Paint::Dim, "(the model call was repeated)");
                format!("{}{notice}\n{head}{body}", self.close_line())
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

    /// Whether the cursor stands behind the text of a message.
    pub(super) fn has_open_line(&self) -> bool {
        self.open.is_some()
    }

    /// A line break, if the cursor is in the line of a message.
    pub(super) fn close_line(&mut self) -> String {
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

/// A text as it is, any other value as compact JSON. Long ones are cut.
fn card_text(content: &Value) -> String {
    let text = match content {
        Value::String(text) => printable(text),
        other => other.to_string(),
    };
    match text.char_indices().nth(MAX_CARD_CHARACTERS) {
        Some((cut, _)) => format!("{}… ({} bytes in total)", &text[..cut], text.len()),
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
mod tests;
