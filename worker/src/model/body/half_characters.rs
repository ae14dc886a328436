//! Characters that a server has cut into halves. JSON may write a character beyond
//! U+FFFF as two escapes (`\ud83d\ude00`), and a server that cuts its text into UTF-16
//! units ends one chunk with the first and begins the next one with the second. No
//! half is a text, and JSON with one cannot be read. Pure.

use std::{borrow::Cow, fmt::Write as _};

/// A backslash, `u` and four digits.
const ESCAPE_BYTES: usize = 6;

/// Joins the halves of the chunks of one body.
#[derive(Default)]
pub(super) struct HalfCharacters {
    /// The first half with which a text of a chunk has ended.
    first: Option<u16>,
}

impl HalfCharacters {
    /// The same JSON with whole characters: a first half at the end of a text is left out, and stands before the second
    /// half at the beginning of a text of a later chunk. Any other half is U+FFFD.
    pub(super) fn join<'a>(&mut self, json: &'a str) -> Cow<'a, str> {
        if !json.contains("\\ud") && !json.contains("\\uD") {
            return Cow::Borrowed(json);
        }
        let before = self.first.take();
        let mut is_joined = false;
        let mut in_text = false;
        let mut at_start = false;
        let mut whole = String::with_capacity(json.len() + ESCAPE_BYTES);
        let mut rest = json;
        while let Some(character) = rest.chars().next() {
            let mut length = character.len_utf8();
            match (character, unit(rest)) {
                ('\\', Some(half @ 0xd800..=0xdbff)) if in_text => {
                    length = ESCAPE_BYTES;
                    let after = &rest[ESCAPE_BYTES..];
                    if matches!(unit(after), Some(0xdc00..=0xdfff)) {
                        length += ESCAPE_BYTES;
                        whole.push_str(&rest[..length]);
                    } else if after.starts_with('"') {
                        self.first = Some(half);
                    } else {
                        whole.push_str("\\ufffd");
                    }
                }
                ('\\', Some(half @ 0xdc00..=0xdfff)) if in_text => {
                    length = ESCAPE_BYTES;
                    if let Some(first) = before.filter(|_| at_start) {
                        let _ = write!(whole, "\\u{first:04x}\\u{half:04x}");
                        is_joined = true;
                    } else {
                        whole.push_str("\\ufffd");
                    }
                }
                ('\\', _) if in_text => {
                    length += rest[1..].chars().next().map_or(0, char::len_utf8);
                    whole.push_str(&rest[..length]);
                }
                _ => whole.push(character),
            }
            if character == '"' {
                in_text = !in_text;
            }
            at_start = character == '"' && in_text;
            rest = &rest[length..];
        }
        if !is_joined && self.first.is_none() {
            // Between the halves there may be chunks that say something else.
            self.first = before;
        }
        Cow::Owned(whole)
    }
}

/// The UTF-16 unit of an escape at the start of a text.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let is_hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hexadecimal.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(chunks: &[&str]) -> Vec<String> {
        let mut halves = HalfCharacters::default();
        let joined = chunks.iter().map(|chunk| halves.join(chunk).into_owned());
        joined.collect()
    }

    #[test]
    fn the_halves_of_a_character_are_joined_over_chunks() {
        assert_eq!(
            joined(&[r#"{"content":"Hi \ud83d"}"#, r#"{"content":"\uDE00!"}"#]),
            [r#"{"content":"Hi "}"#, r#"{"content":"\ud83d\ude00!"}"#]
        );
        // The same text under two names, and a chunk of another kind between.
        assert_eq!(
            joined(&[
                r#"{"a":"\ud83d","b":"\ud83d"}"#,
                r#"{"usage":{}}"#,
                r#"{"a":"\ude00","b":"\ude00"}"#
            ]),
            [
                r#"{"a":"","b":""}"#,
                r#"{"usage":{}}"#,
                r#"{"a":"\ud83d\ude00","b":"\ud83d\ude00"}"#
            ]
        );
        // One half after the other.
        assert_eq!(
            joined(&[r#"["\ud83d"]"#, r#"["\ude00\ud83d"]"#, r#"["\ude01"]"#]),
            [r#"[""]"#, r#"["\ud83d\ude00"]"#, r#"["\ud83d\ude01"]"#]
        );
    }

    #[test]
    fn whole_characters_stay_and_a_half_without_the_other_is_replaced() {
        for (json, expected) in [
            (r#"{"a":"\ud83d\ude00"}"#, r#"{"a":"\ud83d\ude00"}"#),
            (r#"{"a":"\ud83d x"}"#, r#"{"a":"\ufffd x"}"#),
            (r#"{"a":"x \ude00"}"#, r#"{"a":"x \ufffd"}"#),
            (r#"{"a":"\ude00"}"#, r#"{"a":"\ufffd"}"#),
            (r#"{"a":"\\ud83d"}"#, r#"{"a":"\\ud83d"}"#),
            (r#"{"a":"\"\ud83d"}"#, r#"{"a":"\""}"#),
            ("\\ud83d outside", "\\ud83d outside"),
        ] {
            assert_eq!(joined(&[json]), [expected], "{json}");
        }
    }
}
