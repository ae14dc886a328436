//! The id of a task of A2A: the task of ours and the message that the turn answers, so that nobody needs to keep a
//! table of them. Opaque to clients. Pure.

use std::{fmt, str::FromStr};

use uuid::Uuid;

use crate::simple_uuid::{self, NoSuchId};

const SEPARATOR: char = '-';

/// The turn that answers a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TaskId {
    pub(crate) task: Uuid,
    pub(crate) message: Uuid,
}

impl TaskId {
    /// The id of the turn of a message; `None` where one of both ids is no UUID, as those of a schedule.
    pub(crate) fn of(task_id: &str, message_id: &str) -> Option<Self> {
        Some(Self {
            task: task_id.parse().ok()?,
            message: message_id.parse().ok()?,
        })
    }

    /// The task's id in Temporal.
    pub(crate) fn task_id(self) -> String {
        self.task.to_string()
    }

    pub(crate) fn message_id(self) -> String {
        self.message.to_string()
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{SEPARATOR}{}", self.task.simple(), self.message.simple())
    }
}

impl FromStr for TaskId {
    type Err = NoSuchId;

    fn from_str(text: &str) -> Result<Self, NoSuchId> {
        let (task, message) = text.split_once(SEPARATOR).ok_or(NoSuchId)?;
        let id = Self {
            task: simple_uuid::read(task)?,
            message: simple_uuid::read(message)?,
        };
        // One spelling only.
        if id.to_string() == text { Ok(id) } else { Err(NoSuchId) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written_and_nothing_else_is_one() {
        let id = TaskId {
            task: Uuid::from_u128(0xa),
            message: Uuid::from_u128(0xb),
        };
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(TaskId::of(&id.task_id(), &id.message_id()), Some(id));
        for other in [
            "",
            "-",
            &text.to_uppercase(),
            &format!("{text}0"),
            &format!("{text}:cancel"),
            &id.task_id(),
            "ääääääääääääääää-ääääääääääääääää",
        ] {
            assert_eq!(other.parse::<TaskId>(), Err(NoSuchId), "{other}");
        }
        assert_eq!(TaskId::of("schedule-1", &id.message_id()), None);
    }
}
