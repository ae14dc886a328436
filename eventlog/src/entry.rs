//! One stored entry: its id, its event, and the JSON as it was stored.

use std::sync::Arc;

use steadfast_events::{EntryId, Event, EventKind};

use crate::shared::Shared;

/// Name of the one field of a stream entry.
pub(crate) const FIELD: &str = "data";

/// One entry of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Position in the log.
    pub id: EntryId,
    /// The event; [`EventKind::Unknown`] when this version cannot read it.
    pub event: Event,
    /// The JSON as stored: events of a newer version pass through unchanged.
    pub json: Arc<str>,
    /// What all readers of the entry share.
    pub shared: Shared,
}

impl Entry {
    pub(crate) fn parse(id: EntryId, json: String) -> Self {
        let event = steadfast_bounds::json::read_own(json.as_bytes()).unwrap_or_else(|error| {
            tracing::warn!(entry = %id, %error, "cannot parse an event; it is treated as unknown");
            Event {
                kind: EventKind::Unknown,
                turn: 0,
                attempt: 1,
                agent: String::new(),
                path: String::new(),
                time: jiff::Timestamp::UNIX_EPOCH,
            }
        });
        Self::new(id, event, json.into())
    }

    /// An entry with the JSON of its event.
    pub fn new(id: EntryId, event: Event, json: Arc<str>) -> Self {
        Self {
            id,
            event,
            json,
            shared: Shared::default(),
        }
    }
}

/// A stream entry as Redis returns it: id, then field names and values in turn.
pub(crate) type RawEntry = (String, Vec<Vec<u8>>);

/// Parses a stream entry; `None` if the append script cannot have written it.
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
    use super::*;

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
    fn an_event_is_read_however_deep_its_content_is() {
        let deep = format!("{}1{}", "[".repeat(130), "]".repeat(130));
        let json = format!(
            r#"{{"type":"message_accepted","message_id":"m","content":{{"type":"data","data":{deep}}},"turn":1,"attempt":1,"agent":"haiku","time":"2026-11-23T00:00:00Z"}}"#
        );
        let entry = Entry::parse(EntryId { epoch: 1, number: 1 }, json);
        assert_ne!(entry.event.kind, EventKind::Unknown, "{}", entry.json);
    }

    #[test]
    fn an_unreadable_entry_is_unknown() {
        let entry = Entry::parse(EntryId { epoch: 1, number: 1 }, "not json".to_owned());
        assert_eq!(entry.event.kind, EventKind::Unknown);
    }
}
