//! Reads lines from standard input without blocking the conversation, and
//! keeps the prompt where it belongs.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use tokio::sync::mpsc;

/// Back to the first column, and clear the line.
const CLEAR_LINE: &str = "\r\x1b[2K";

pub struct Lines {
    receiver: mpsc::Receiver<String>,
    ended: bool,
    /// A person sits there, and not a pipe.
    interactive: bool,
    prompted: bool,
}

impl Lines {
    /// What a person types, who may be asked; nothing if there is none.
    pub fn of_a_person() -> Self {
        let lines = Self {
            receiver: mpsc::channel(1).1,
            ended: true,
            interactive: is_a_person(),
            prompted: false,
        };
        if lines.interactive {
            Self::of_standard_input()
        } else {
            lines
        }
    }

    pub fn of_standard_input() -> Self {
        let (sender, receiver) = mpsc::channel(1);
        // A thread of its own: a read that waits for a person must not keep the program from ending.
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(line) = line else { return };
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            receiver,
            ended: false,
            interactive: is_a_person(),
            prompted: false,
        }
    }

    /// The next line; none at the end of the input.
    pub async fn next(&mut self) -> Option<String> {
        let line = self.receiver.recv().await;
        self.prompted = false;
        self.ended = line.is_none();
        line
    }

    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Whether there is somebody to ask.
    pub fn can_ask(&self) -> bool {
        self.interactive && !self.ended
    }

    /// Asks for a line, if it is the person's turn.
    pub fn prompt(&mut self, text: Option<&str>) -> std::io::Result<()> {
        if let Some(text) = text
            && self.interactive
            && !self.prompted
        {
            self.prompted = true;
            write_now(text)?;
        }
        Ok(())
    }

    /// Makes room for output in the line of the prompt.
    pub fn clear_prompt(&mut self) -> std::io::Result<()> {
        if std::mem::take(&mut self.prompted) {
            write_now(CLEAR_LINE)
        } else {
            Ok(())
        }
    }
}

fn is_a_person() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

fn write_now(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
