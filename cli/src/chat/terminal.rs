//! The line of the cursor at the terminal: the prompt, or the end of a text that
//! still grows. Everything that is printed during a conversation goes through here,
//! so that a line of something else comes above and breaks neither.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::{Mutex, MutexGuard, PoisonError},
};

use console::{Term, measure_text_width};

/// Moves the cursor to the first column and clears everything from there on.
const CLEAR: &str = "\r\x1b[J";
const TAB_COLUMNS: usize = 8;

/// There is one terminal, and several tasks print.
static LINE: Mutex<Line> = Mutex::new(Line {
    text: String::new(),
    is_prompt: false,
});

/// What stands before the cursor since the last line feed. Empty where standard output is no terminal.
struct Line {
    /// With its escape sequences.
    text: String,
    is_prompt: bool,
}

/// Rows and columns.
#[derive(Clone, Copy)]
struct Size {
    rows: usize,
    columns: usize,
}

/// Prints a part of the conversation.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut line = line();
    crate::stdout::print(text)?;
    if io::stdout().is_terminal() {
        line.add(text);
    }
    Ok(())
}

/// Prints a line that is not part of the conversation to standard error, above the line of the cursor.
pub(super) fn print_above(text: &str) -> io::Result<()> {
    let line = line();
    let mut stderr = io::stderr().lock();
    let lines = if stderr.is_terminal() {
        above(text, &line.text, size())
    } else {
        format!("{text}\n")
    };
    // In one piece: what is cleared is there again before anybody sees it.
    stderr.write_all(lines.as_bytes())
}

/// Shows a prompt, unless one is shown already.
pub(super) fn show_prompt(text: &str) -> anyhow::Result<()> {
    let mut line = line();
    if !line.is_prompt {
        crate::stdout::print(text)?;
        *line = Line {
            text: text.to_owned(),
            is_prompt: true,
        };
    }
    Ok(())
}

/// Removes the prompt, so that the conversation goes on in its line.
pub(super) fn clear_prompt() -> anyhow::Result<()> {
    let mut line = line();
    if line.is_prompt {
        line.clear();
        crate::stdout::print(CLEAR)?;
    }
    Ok(())
}

/// The person has pressed Enter: the cursor is in the next line.
pub(super) fn line_was_entered() {
    line().clear();
}

/// The person has ended the input: what is printed next, here or by a shell, gets a line of its own.
pub(super) fn leave_prompt() -> anyhow::Result<()> {
    let mut line = line();
    if line.is_prompt {
        line.clear();
        crate::stdout::print("\n")?;
    }
    Ok(())
}

fn line() -> MutexGuard<'static, Line> {
    LINE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn size() -> Size {
    let (rows, columns) = Term::stderr().size();
    Size {
        rows: rows.max(1).into(),
        columns: columns.max(1).into(),
    }
}

impl Line {
    fn add(&mut self, text: &str) {
        self.is_prompt = false;
        match text.rsplit_once('\n') {
            Some((_, rest)) => rest.clone_into(&mut self.text),
            None => self.text.push_str(text),
        }
    }

    fn clear(&mut self) {
        self.text.clear();
        self.is_prompt = false;
    }
}

/// What prints a line above the text before the cursor. Of a text that is higher than the terminal, what has scrolled
/// away stays where it is.
fn above(line: &str, text: &str, size: Size) -> String {
    if text.is_empty() {
        return format!("{line}\n");
    }
    let rows = rows(text, size.columns);
    let seen = rows.len().min(size.rows);
    let first = rows[rows.len() - seen];
    let up = match seen - 1 {
        0 => String::new(),
        rows => format!("\x1b[{rows}A"),
    };
    format!("{up}{CLEAR}{line}\n{}", &text[first..])
}

/// Where the rows of a text begin, as a terminal wraps it.
fn rows(text: &str, columns: usize) -> Vec<usize> {
    let mut rows = vec![0];
    let mut column = 0;
    let mut is_escape = false;
    for (index, character) in text.char_indices() {
        if is_escape {
            // Our own escape sequences end with a letter, and models have none: see `printable`.
            is_escape = !character.is_ascii_alphabetic();
            continue;
        }
        let width = match character {
            '\x1b' => {
                is_escape = true;
                continue;
            }
            // Stays in its row.
            '\t' => (TAB_COLUMNS - column % TAB_COLUMNS).min(columns.saturating_sub(column)),
            _ => measure_text_width(character.encode_utf8(&mut [0; 4])),
        };
        // A full row ends when the next character comes.
        if column + width > columns {
            rows.push(index);
            column = 0;
        }
        column += width;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { rows: 3, columns: 10 };

    #[test]
    fn a_text_is_wrapped_as_terminals_do() {
        let rows = |text: &str| {
            let starts = rows(text, SIZE.columns);
            let ends = starts.iter().skip(1).copied().chain([text.len()]);
            let parts = starts.iter().zip(ends).map(|(start, end)| text[*start..end].to_owned());
            parts.collect::<Vec<_>>()
        };
        assert_eq!(rows(""), [""]);
        assert_eq!(rows("0123456789"), ["0123456789"]);
        assert_eq!(rows("0123456789a"), ["0123456789", "a"]);
        // Escape sequences have no width.
        assert_eq!(rows("\x1b[1m0123\x1b[0m456789a"), ["\x1b[1m0123\x1b[0m456789", "a"]);
        // A wide character is not split.
        assert_eq!(rows("012345678猫"), ["012345678", "猫"]);
        assert_eq!(rows("0\t9\tx"), ["0\t9\t", "x"]);
    }

    #[test]
    fn a_line_comes_above_the_prompt_and_above_all_rows_of_a_growing_text() {
        assert_eq!(above("log", "", SIZE), "log\n");
        assert_eq!(above("log", "> ", SIZE), "\r\x1b[Jlog\n> ");
        assert_eq!(
            above("log", "weather: It is", SIZE),
            "\x1b[1A\r\x1b[Jlog\nweather: It is"
        );
        let higher = "0123456789".repeat(4);
        assert_eq!(
            above("log", &higher, SIZE),
            format!("\x1b[2A\r\x1b[Jlog\n{}", &higher[10..])
        );
    }

    #[test]
    fn the_line_is_what_came_after_the_last_line_feed() {
        let mut line = Line {
            text: "> ".to_owned(),
            is_prompt: true,
        };
        line.clear();
        line.add("haiku: The ");
        line.add("pod");
        assert_eq!(line.text, "haiku: The pod");
        line.add(" disappears;\nthe tale");
        assert_eq!(line.text, "the tale");
        line.add(" waits\n");
        assert_eq!(line.text, "");
    }
}
