//! Reads lines from standard input without blocking the conversation, and shows
//! prompts where a person can answer them.

use std::io::{BufRead as _, IsTerminal as _};

use tokio::sync::mpsc;

use super::terminal;

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
    pub(super) async fn next_line(&mut self) -> anyhow::Result<Option<String>> {
        let line = self.lines.recv().await;
        self.at_end = line.is_none();
        if self.interactive {
            if self.at_end {
                terminal::leave_prompt()?;
            } else {
                terminal::line_was_entered();
            }
        }
        Ok(line)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at_end
    }

    /// Whether a person can answer a prompt.
    pub(super) fn can_prompt(&self) -> bool {
        self.interactive && !self.at_end
    }

    /// Shows a prompt, unless one is shown already or nobody can answer it.
    pub(super) fn show_prompt(&self, text: &str) -> anyhow::Result<()> {
        if self.interactive {
            terminal::show_prompt(text)?;
        }
        Ok(())
    }

    /// Removes the prompt, so that output can be printed in its line.
    pub(super) fn clear_prompt(&self) -> anyhow::Result<()> {
        if self.interactive {
            terminal::clear_prompt()?;
        }
        Ok(())
    }
}

fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}
