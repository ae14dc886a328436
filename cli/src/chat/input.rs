//! Reads lines from standard input without blocking the conversation, and
//! keeps the prompt in a line of its own.

use std::{
    io::{BufRead as _, IsTerminal as _, Write as _},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::mpsc;

/// Moves the cursor to the first column and clears the line.
const CLEAR_LINE: &str = "\r\x1b[2K";

/// The prompt in the line of the cursor. There is one terminal, and others print lines above the prompt.
static SHOWN: Mutex<Option<String>> = Mutex::new(None);

pub(super) struct Input {
    lines: mpsc::Receiver<String>,
    at_end: bool,
    /// Standard input and output are terminals.
    interactive: bool,
}

impl Input {
    /// Lines of standard input, if it is a terminal; otherwise no lines.
    pub(super) fn from_terminal() -> Self {
        if is_interactive() {
            Self::from_stdin()
        } else {
            Self {
                lines: mpsc::channel(1).1,
                at_end: true,
                interactive: false,
            }
        }
    }

    /// Lines of standard input, which may be a terminal or a pipe.
    pub(super) fn from_stdin() -> Self {
        let (sender, lines) = mpsc::channel(1);
        // A thread of its own: a blocked read of the terminal must not keep the process alive.
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(line) = line else { return };
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            lines,
            at_end: false,
            interactive: is_interactive(),
        }
    }

    /// The next line. `None` at the end of the input.
    pub(super) async fn next_line(&mut self) -> Option<String> {
        let line = self.lines.recv().await;
        *shown() = None;
        self.at_end = line.is_none();
        line
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at_end
    }

    /// Whether a person can answer a prompt.
    pub(super) fn can_prompt(&self) -> bool {
        self.interactive && !self.at_end
    }

    /// Shows a prompt, unless one is shown already or nobody can answer it.
    pub(super) fn show_prompt(&mut self, text: &str) -> std::io::Result<()> {
        let mut shown = shown();
        if self.interactive && shown.is_none() {
            *shown = Some(text.to_owned());
            write_now(text)?;
        }
        Ok(())
    }

    /// Removes the prompt, so that output can be printed in its line.
    pub(super) fn clear_prompt(&mut self) -> std::io::Result<()> {
        if self.interactive && shown().take().is_some() {
            write_now(CLEAR_LINE)
        } else {
            Ok(())
        }
    }
}

/// Prints a line to standard error, above the prompt if one is shown.
pub(super) fn print_above_prompt(line: &str) -> std::io::Result<()> {
    let shown = shown();
    let mut stderr = std::io::stderr().lock();
    match &*shown {
        Some(prompt) if stderr.is_terminal() => write!(stderr, "{CLEAR_LINE}{line}\n{prompt}"),
        _ => writeln!(stderr, "{line}"),
    }
}

fn shown() -> MutexGuard<'static, Option<String>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

fn write_now(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
