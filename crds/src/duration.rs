//! A duration as Kubernetes users write it: `500ms`, `30s`, `10m`, `1h30m`.
//!
//! Decides the accepted texts (the schema and the parser agree) and the canonical text:
//! the largest unit first, no unit with zero. A duration is never zero: Temporal refuses
//! a timeout of zero, and a task would fail at the same command for ever.

use std::{borrow::Cow, fmt, str::FromStr, time};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The schema pattern; admission refuses the same texts as [`Duration::from_str`].
const PATTERN: &str = "^([0-9]{1,9}(ms|s|m|h))+$";
const MAXIMUM_TEXT_BYTES: usize = 40;
/// Ten years. Times beyond it could not be added to the present.
const MAXIMUM_HOURS: u64 = 10 * 365 * 24;
/// What the pattern cannot say.
const RULE: &str = "duration(self) > duration('0s') && duration(self) <= duration('87600h')";
const RULE_MESSAGE: &str = "must be longer than 0s and at most 87600h, which is ten years";

/// A duration in milliseconds, written like `30s` or `1h30m`: longer than 0s and at most 87600h (ten years).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(time::Duration);

/// The text is not a duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not a duration such as \"30s\", \"10m\" or \"1h30m\", longer than 0s and at most 87600h")]
pub struct ParseDurationError {
    text: String,
}

impl Duration {
    /// A duration of whole seconds.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(time::Duration::from_secs(seconds))
    }

    /// The same duration for the standard library.
    #[must_use]
    pub const fn as_std(self) -> time::Duration {
        self.0
    }

    /// Whole seconds, rounded up, for settings in seconds.
    #[must_use]
    pub fn whole_seconds(self) -> u64 {
        self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0)
    }
}

impl From<Duration> for time::Duration {
    fn from(value: Duration) -> Self {
        value.0
    }
}

impl FromStr for Duration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text)
            .map(Self)
            .ok_or_else(|| ParseDurationError { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<time::Duration> {
    if text.is_empty() || text.len() > MAXIMUM_TEXT_BYTES {
        return None;
    }
    let mut rest = text;
    let mut total_milliseconds = 0_u64;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == 0 || digits > 9 {
            return None;
        }
        let (number, tail) = rest.split_at(digits);
        let (factor, tail) = split_unit(tail)?;
        let milliseconds = number.parse::<u64>().ok()?.checked_mul(factor)?;
        total_milliseconds = total_milliseconds.checked_add(milliseconds)?;
        rest = tail;
    }
    let total = time::Duration::from_millis(total_milliseconds);
    (!total.is_zero() && total <= time::Duration::from_hours(MAXIMUM_HOURS)).then_some(total)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    // "ms" before "m": the longer unit first.
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)]
        .into_iter()
        .find_map(|(unit, factor)| text.strip_prefix(unit).map(|tail| (factor, tail)))
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_millis();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, factor) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
            let count = rest / factor;
            rest %= factor;
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "pattern": PATTERN, "maxLength": MAXIMUM_TEXT_BYTES,
            "x-kubernetes-validations": [{ "rule": RULE, "message": RULE_MESSAGE }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_add_up_and_are_written_back_largest_first() {
        for (text, milliseconds, written) in [
            ("30s", 30_000, "30s"),
            ("10m", 600_000, "10m"),
            ("24h", 86_400_000, "24h"),
            ("90m", 5_400_000, "1h30m"),
            ("1h30m5s250ms", 5_405_250, "1h30m5s250ms"),
            ("87600h", 315_360_000_000, "87600h"),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.as_std(), time::Duration::from_millis(milliseconds), "{text}");
            assert_eq!(duration.to_string(), written, "{text}");
            assert_eq!(serde_json::to_value(duration).unwrap(), written, "{text}");
        }
    }

    #[test]
    fn text_that_is_no_duration_or_one_out_of_bounds_is_refused() {
        for text in [
            "0s",
            "0h0m0s0ms",
            "87600h1ms",
            "999999999h",
            "",
            "s",
            "30",
            "30 s",
            "1d",
            "-1s",
            "1.5h",
            "ms",
            "1234567890s",
            "1h ",
        ] {
            assert_eq!(
                text.parse::<Duration>(),
                Err(ParseDurationError { text: text.to_owned() })
            );
        }
    }

    #[test]
    fn a_part_of_a_second_counts_as_a_whole_one_for_settings_in_seconds() {
        assert_eq!("1500ms".parse::<Duration>().unwrap().whole_seconds(), 2);
        assert_eq!("2s".parse::<Duration>().unwrap().whole_seconds(), 2);
    }
}
