//! Deltas that carry the time at which the model sent them, and the search for them in any log. Pure but for the clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970: 16 digits until the year 2286.
const DIGITS: usize = 16;
/// Bytes of a time in a log.
pub(super) const LENGTH: usize = 1 + DIGITS;

/// Microseconds since 1970.
pub(super) fn now_micros() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

/// The text of a delta that is sent now.
pub(super) fn now() -> String {
    format!("@{} ", now_micros())
}

/// The times of all deltas in an entry of a log, whatever its format.
pub(super) fn find(entry: &[u8]) -> Vec<u64> {
    let starts = entry.iter().enumerate().filter(|(_, byte)| **byte == b'@');
    starts
        .filter_map(|(start, _)| {
            let digits = entry.get(start + 1..start + 1 + DIGITS)?;
            if !digits.iter().all(u8::is_ascii_digit) {
                return None;
            }
            std::str::from_utf8(digits).ok()?.parse().ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_deltas_are_found_in_any_text_and_nothing_else_is() {
        let entry = br#"{"delta":"@1763000000000001 @1763000000000002 ","mail":"a@b","cut":"@17630"}"#;
        assert_eq!(find(entry), [1_763_000_000_000_001, 1_763_000_000_000_002]);
        assert_eq!(find(now().as_bytes()).len(), 1);
    }
}
