//! The ids of OpenAI's APIs. They carry the ids of tasks and messages, so that nobody needs to
//! keep a table of them. Opaque to clients. Pure.

use std::{fmt, str::FromStr};

use steadfast_attachments::is_sha256;
use steadfast_events::EntryId;
use uuid::Uuid;

use crate::simple_uuid::{self, HEX_DIGITS, NoSuchId};

const AGENT: &str = "agt_";
const CONVERSATION: &str = "conv_";
const EVENT: &str = "evt_";
const FILE: &str = "file-";
const RESPONSE: &str = "resp_";
const SESSION: &str = "sess_";
const TURN: &str = "turn_";

/// The id of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConversationId(pub(crate) Uuid);

/// The id of an agent in the Agents API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AgentId(pub(crate) Uuid);

/// The id of a task in the Agents API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionId(pub(crate) Uuid);

/// The id of a turn in the Agents API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TurnId {
    pub(crate) session: SessionId,
    /// Counted from 1.
    pub(crate) number: u32,
}

/// The id of an event in the Agents API: of those of an entry of the log, the one with this index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventId {
    pub(crate) entry: EntryId,
    pub(crate) index: usize,
}

/// The id of the turn that answers a message, or of a later part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResponseId {
    pub(crate) task: Uuid,
    pub(crate) message: Uuid,
    /// How many questions to people come before it in the turn: a response ends with each.
    pub(crate) part: u32,
}

/// The id of an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    pub(crate) task: Uuid,
    pub(crate) sha256: String,
}

/// For so long a response can begin the conversation of an id.
const UNUSED_SECONDS: i64 = 24 * 3600;

impl ConversationId {
    /// The task's id in Temporal.
    pub(crate) fn task_id(self) -> String {
        self.0.to_string()
    }

    /// The seconds since 1970 at which the gateway made it; `None` for an id of another kind of task. Those are derived
    /// from names and keys: whoever could begin a task with one would take the name of another user.
    pub(crate) fn made_at(self) -> Option<i64> {
        let (seconds, _) = self.0.get_timestamp()?.to_unix();
        i64::try_from(seconds).ok()
    }

    /// Whether a response may begin its conversation.
    pub(crate) fn may_begin_at(self, now: i64) -> bool {
        self.made_at()
            .is_some_and(|made_at| made_at <= now.saturating_add(1) && now - made_at < UNUSED_SECONDS)
    }
}

impl ResponseId {
    pub(crate) fn task_id(self) -> String {
        self.task.to_string()
    }

    pub(crate) fn message_id(self) -> String {
        self.message.to_string()
    }

    /// The response that follows when a question of this one has been answered.
    #[must_use]
    pub(crate) fn next_part(self) -> Self {
        Self {
            part: self.part.saturating_add(1),
            ..self
        }
    }
}

impl FileId {
    /// The id of what is stored at a location; `None` if its task has no id of the gateway's.
    pub(crate) fn of_location(location: &str) -> Option<Self> {
        let mut parts = location.rsplit('/');
        let sha256 = parts.next()?.to_owned();
        let task = Uuid::try_parse(parts.next()?).ok()?;
        is_sha256(&sha256).then_some(Self { task, sha256 })
    }

    pub(crate) fn task_id(&self) -> String {
        self.task.to_string()
    }
}

impl SessionId {
    pub(crate) fn task_id(self) -> String {
        self.0.to_string()
    }
}

macro_rules! of_one_uuid {
    ($($name:ident: $prefix:ident),* $(,)?) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = NoSuchId;

            fn from_str(text: &str) -> Result<Self, NoSuchId> {
                let id = text.strip_prefix($prefix).ok_or(NoSuchId)?;
                Ok(Self(simple_uuid::read(id)?))
            }
        }
    )*};
}

of_one_uuid!(AgentId: AGENT, ConversationId: CONVERSATION, SessionId: SESSION);

impl fmt::Display for TurnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{TURN}{}_{}", self.session.0.simple(), self.number)
    }
}

impl FromStr for TurnId {
    type Err = NoSuchId;

    fn from_str(text: &str) -> Result<Self, NoSuchId> {
        let id = text.strip_prefix(TURN).ok_or(NoSuchId)?;
        let (session, number) = id.split_once('_').ok_or(NoSuchId)?;
        Ok(Self {
            session: SessionId(simple_uuid::read(session)?),
            number: number.parse().map_err(|_| NoSuchId)?,
        })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EntryId { epoch, number } = self.entry;
        write!(f, "{EVENT}{epoch}_{number}_{}", self.index)
    }
}

impl FromStr for EventId {
    type Err = NoSuchId;

    fn from_str(text: &str) -> Result<Self, NoSuchId> {
        let mut parts = text.strip_prefix(EVENT).ok_or(NoSuchId)?.split('_');
        let mut next = || parts.next().and_then(|part| part.parse::<u64>().ok()).ok_or(NoSuchId);
        let entry = EntryId {
            epoch: next()?,
            number: next()?,
        };
        let index = usize::try_from(next()?).map_err(|_| NoSuchId)?;
        match parts.next() {
            None => Ok(Self { entry, index }),
            Some(_) => Err(NoSuchId),
        }
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FILE}{}{}", self.task.simple(), self.sha256)
    }
}

impl FromStr for FileId {
    type Err = NoSuchId;

    fn from_str(text: &str) -> Result<Self, NoSuchId> {
        let ids = text.strip_prefix(FILE).ok_or(NoSuchId)?;
        let (task, sha256) = ids.split_at_checked(HEX_DIGITS).ok_or(NoSuchId)?;
        if !is_sha256(sha256) {
            return Err(NoSuchId);
        }
        Ok(Self {
            task: simple_uuid::read(task)?,
            sha256: sha256.to_owned(),
        })
    }
}

impl fmt::Display for ResponseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{RESPONSE}{}{}", self.task.simple(), self.message.simple())?;
        if self.part > 0 {
            write!(f, "_{}", self.part)?;
        }
        Ok(())
    }
}

impl FromStr for ResponseId {
    type Err = NoSuchId;

    fn from_str(text: &str) -> Result<Self, NoSuchId> {
        let id = text.strip_prefix(RESPONSE).ok_or(NoSuchId)?;
        let (ids, part) = match id.split_once('_') {
            Some((ids, part)) => (ids, part.parse().map_err(|_| NoSuchId)?),
            None => (id, 0),
        };
        let (task, message) = ids.split_at_checked(HEX_DIGITS).ok_or(NoSuchId)?;
        let id = Self {
            task: simple_uuid::read(task)?,
            message: simple_uuid::read(message)?,
            part,
        };
        // One spelling only.
        if id.to_string() == text { Ok(id) } else { Err(NoSuchId) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_id_that_the_gateway_made_lately_begins_a_conversation() {
        let made = ConversationId(Uuid::now_v7());
        let now = made.made_at().unwrap();
        assert!(made.may_begin_at(now));
        assert!(!made.may_begin_at(now + UNUSED_SECONDS));
        assert!(!made.may_begin_at(now - 60));
        let derived = ConversationId(Uuid::new_v5(&Uuid::NAMESPACE_OID, b"a name"));
        assert!(!derived.may_begin_at(now));
    }

    #[test]
    fn an_id_is_read_as_it_was_written_and_nothing_else_is_one() {
        let id = ResponseId {
            task: Uuid::from_u128(1),
            message: Uuid::from_u128(2),
            part: 0,
        };
        for id in [id, id.next_part()] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        let conversation = ConversationId(Uuid::from_u128(3));
        assert_eq!(conversation.to_string().parse(), Ok(conversation));
        let turn = TurnId {
            session: SessionId(Uuid::from_u128(4)),
            number: 5,
        };
        assert_eq!(turn.to_string().parse(), Ok(turn));
        let event = EventId {
            entry: EntryId { epoch: 6, number: 7 },
            index: 8,
        };
        assert_eq!(event.to_string().parse(), Ok(event));
        let task = Uuid::from_u128(9);
        let file = FileId::of_location(&format!("i/n/{task}/{}", "ab".repeat(32))).unwrap();
        assert_eq!(file.to_string().parse(), Ok(file));
        assert_eq!(FileId::of_location(&format!("i/n/t/{}", "ab".repeat(32))), None);
        for other in ["file-", "file-1", &format!("file-{}", "a".repeat(95))] {
            assert_eq!(other.parse::<FileId>(), Err(NoSuchId), "{other}");
        }
        for other in ["", "evt_1_2", "evt_1_2_3_4", "evt_1_2_x", "1_2_3"] {
            assert_eq!(other.parse::<EventId>(), Err(NoSuchId), "{other}");
        }
        let text = id.to_string();
        for other in [
            "",
            "resp_",
            "resp_1",
            &conversation.to_string(),
            &text.to_uppercase(),
            &format!("{text}_0"),
            &format!("{text}_"),
            &format!("{text}_+1"),
            &format!("{text}0"),
            "resp_ääääääääääääääääääääääääääääääää",
        ] {
            assert_eq!(other.parse::<ResponseId>(), Err(NoSuchId), "{other}");
        }
        for other in ["", "conv_", "conv_1", &text] {
            assert_eq!(other.parse::<ConversationId>(), Err(NoSuchId), "{other}");
        }
    }
}
