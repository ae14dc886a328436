//! One stored entry: its numbered id, its event, and the text as it was stored.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::event::{Event, EventKind};

/// Name of the one field of a stream entry.
pub(crate) const FIELD: &str = "data";

/// The id of an entry: `<epoch>-<number>`. Numbers count from 1 without gaps
/// within an epoch; a later epoch is always greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// When the epoch was opened, in ms since 1970.
    pub epoch: u64,
    pub number: u64,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an entry id is <epoch>-<number>, not {0:?}")]
pub struct ParseEntryIdError(String);

impl EntryId {
    /// Whether `next` follows directly: nothing was lost between the two.
    pub fn is_followed_by(self, next: Self) -> bool {
        self.epoch == next.epoch && self.number + 1 == next.number
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.number)
    }
}

impl FromStr for EntryId {
    type Err = ParseEntryIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (epoch, number) = text.split_once('-')?;
            Some(Self {
                epoch: parse_digits(epoch)?,
                number: parse_digits(number)?,
            })
        };
        parse().ok_or_else(|| ParseEntryIdError(text.chars().take(64).collect()))
    }
}

/// `u64::from_str` also takes a leading `+`, which Redis does not.
fn parse_digits(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

impl Serialize for EntryId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EntryId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// One entry as it stands in Redis.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub id: EntryId,
    /// [`EventKind::Unknown`] when this version cannot read it.
    pub event: Event,
    /// The JSON as stored, so that events of a newer version pass through whole.
    pub json: Arc<str>,
}

impl Entry {
    pub(crate) fn parse(id: EntryId, json: String) -> Self {
        let event = serde_json::from_str(&json).unwrap_or_else(|error| {
            tracing::warn!(entry = %id, %error, "skipped an event that could not be read");
            Event {
                kind: EventKind::Unknown,
                turn: 0,
                attempt: 1,
                agent: String::new(),
                path: String::new(),
                time: jiff::Timestamp::UNIX_EPOCH,
            }
        });
        Self {
            id,
            event,
            json: json.into(),
        }
    }
}

/// A stream entry as Redis answers it: id, then field names and values in turn.
pub(crate) type RawEntry = (String, Vec<Vec<u8>>);

/// Reads an entry; `None` for what the append script cannot have written.
pub(crate) fn parse_raw((id, fields): RawEntry) -> Option<Entry> {
    let id: EntryId = id.parse().ok()?;
    let mut fields = fields.into_iter();
    let data = loop {
        let name = fields.next()?;
        let value = fields.next()?;
        if name == FIELD.as_bytes() {
            break value;
        }
    };
    Some(Entry::parse(id, String::from_utf8_lossy(&data).into_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_id_reads_back_what_it_prints() {
        let id = EntryId {
            epoch: 1_763_862_000_123,
            number: 42,
        };
        assert_eq!(id.to_string(), "1763862000123-42");
        assert_eq!("1763862000123-42".parse(), Ok(id));
    }

    #[test]
    fn what_redis_would_not_take_is_no_id() {
        for text in [
            "",
            "1",
            "1-",
            "-1",
            "1-2-3",
            "+1-2",
            "1-+2",
            "a-b",
            "$",
            "99999999999999999999-1",
        ] {
            assert!(text.parse::<EntryId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn events_of_a_newer_version_are_unknown_and_keep_their_text() {
        let json = r#"{"type":"mood_changed","mood":"good","turn":3,"attempt":1,"agent":"haiku","time":"2026-11-23T00:00:00Z"}"#;
        let entry = Entry::parse(EntryId { epoch: 1, number: 1 }, json.to_owned());
        assert_eq!(
            (&entry.event.kind, entry.event.turn, &*entry.json),
            (&EventKind::Unknown, 3, json)
        );
    }

    #[test]
    fn an_unreadable_entry_is_unknown() {
        let entry = Entry::parse(EntryId { epoch: 1, number: 1 }, "not json".to_owned());
        assert_eq!(entry.event.kind, EventKind::Unknown);
    }
}
