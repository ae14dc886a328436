//! The id of a log entry, in Redis and in the `id:` lines of server-sent events.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The id of an entry: `<epoch>-<number>`. Numbers count from 1 without gaps
/// within an epoch; a later epoch is always greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// Time at which the epoch was opened, in ms since 1970.
    pub epoch: u64,
    /// Number within the epoch, counted from 1.
    pub number: u64,
}

/// The text is not an entry id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseEntryIdError {
    /// The text has another form.
    #[error("an entry id is <epoch>-<number>, not {0:?}")]
    Malformed(String),
    /// No log has an entry with this id.
    #[error("no entry can have the id {0:?}: both numbers are at most {MAX_PART}")]
    OutOfRange(String),
}

/// The largest epoch and number. The script that appends counts in doubles, which are exact up to here.
const MAX_PART: u64 = (1 << 53) - 1;

impl EntryId {
    /// Whether `next` follows directly, with no entry lost between.
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
        let shown = || text.chars().take(64).collect();
        let parts = text
            .split_once('-')
            .filter(|(epoch, number)| is_number(epoch) && is_number(number));
        let (epoch, number) = parts.ok_or_else(|| ParseEntryIdError::Malformed(shown()))?;
        let part = |digits: &str| digits.parse().ok().filter(|part| *part <= MAX_PART);
        let id = part(epoch).zip(part(number));
        let (epoch, number) = id.ok_or_else(|| ParseEntryIdError::OutOfRange(shown()))?;
        Ok(Self { epoch, number })
    }
}

/// `u64::from_str` also takes a leading `+`, which Redis does not.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
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

#[cfg(test)]
mod tests {
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
        for text in ["", "1", "1-", "-1", "1-2-3", "+1-2", "1-+2", "a-b", "$"] {
            let error = text.parse::<EntryId>().unwrap_err();
            assert!(matches!(error, ParseEntryIdError::Malformed(_)), "{text:?}");
        }
    }

    #[test]
    fn what_no_log_can_contain_is_out_of_range() {
        let largest = format!("{MAX_PART}-{MAX_PART}");
        assert!(largest.parse::<EntryId>().is_ok());
        for text in ["99999999999999999999-1", "9007199254740992-1", "1-9007199254740992"] {
            let error = text.parse::<EntryId>().unwrap_err();
            assert!(matches!(error, ParseEntryIdError::OutOfRange(_)), "{text:?}");
        }
    }
}
