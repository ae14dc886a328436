//! How much a command may carry, and all commands of one workflow task together. Pure.

use std::{cell::Cell, fmt::Write as _};

use steadfast_payload::{PAYLOAD_LIMIT_BYTES, json_size};

use crate::failure::CallError;

/// What all commands of one workflow task carry. Temporal's limit for one message is 4 MiB.
const WORKFLOW_TASK_LIMIT_BYTES: usize = 3 * 1024 * 1024;

/// What the commands of the present workflow task carry so far.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    now: Cell<SentBy>,
    /// What the commands of all workflow tasks of this run have sent.
    total_bytes: Cell<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct SentBy {
    /// The length of the history, which tells one workflow task from the next.
    workflow_task: u32,
    size_bytes: usize,
}

impl Sent {
    /// Adds a command of this size; false when the workflow task would carry too much.
    pub(crate) fn add(&self, workflow_task: u32, size_bytes: usize) -> bool {
        let more = self.now.get().with(workflow_task, size_bytes);
        if let Some(more) = more {
            self.now.set(more);
            self.total_bytes.set(self.total_bytes.get().saturating_add(size_bytes));
        }
        more.is_some()
    }

    /// What the commands of this run have sent so far.
    pub(crate) fn total_bytes(&self) -> usize {
        self.total_bytes.get()
    }
}

impl SentBy {
    /// With a command of this size in this workflow task; `None` when that would be too much.
    fn with(self, workflow_task: u32, size_bytes: usize) -> Option<Self> {
        let before = if self.workflow_task == workflow_task {
            self.size_bytes
        } else {
            0
        };
        let size_bytes = before.saturating_add(size_bytes);
        // The first command of a workflow task is always made: a later one would not be smaller.
        (before == 0 || size_bytes <= WORKFLOW_TASK_LIMIT_BYTES).then_some(Self {
            workflow_task,
            size_bytes,
        })
    }
}

/// Refuses what is more than a payload holds.
pub(crate) fn check(what: &str, size_bytes: usize) -> Result<(), CallError> {
    if size_bytes <= PAYLOAD_LIMIT_BYTES {
        return Ok(());
    }
    Err(CallError::TooLarge {
        what: what.to_owned(),
        size_bytes,
    })
}

/// A text that fits into a payload as plain JSON. What is cut is said at its end.
pub(crate) fn within_payload(mut text: String) -> String {
    const NOTE_BYTES: usize = 100;
    let size_bytes = text.len();
    while json_size(&text) > PAYLOAD_LIMIT_BYTES - NOTE_BYTES {
        text.truncate(text.floor_char_boundary(text.len() / 4 * 3));
    }
    if text.len() < size_bytes {
        // Writing to a String does not fail.
        let _ = write!(text, "\n[cut: the text had {size_bytes} bytes]");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_of_one_workflow_task_stay_below_the_limit_of_a_message() {
        let third = WORKFLOW_TASK_LIMIT_BYTES / 3;
        let full = (0..3).fold(SentBy::default(), |sent, _| sent.with(7, third).unwrap());
        assert_eq!(full.with(7, third), None);
        // The next workflow task begins with nothing.
        assert_eq!(full.with(9, third).unwrap().size_bytes, third);
    }

    #[test]
    fn a_command_beyond_the_limit_is_named_with_its_size() {
        assert!(check("the arguments", PAYLOAD_LIMIT_BYTES).is_ok());
        let error = check("the arguments", PAYLOAD_LIMIT_BYTES + 1).unwrap_err();
        assert!(error.describe().1.contains("the arguments: 1048577 bytes"), "{error:?}");
    }

    #[test]
    fn a_text_is_cut_to_what_a_payload_holds_as_json() {
        assert_eq!(within_payload("short".to_owned()), "short");
        for letter in ["x", "é", "\u{1}"] {
            let text = within_payload(letter.repeat(2_000_000));
            assert!(json_size(&text) <= PAYLOAD_LIMIT_BYTES);
            assert!(text.ends_with(" bytes]"), "{letter:?}");
        }
    }
}
