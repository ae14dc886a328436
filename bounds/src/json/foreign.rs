//! JSON as programs write it that are laxer than the standard (RFC 8259): Python writes
//! `NaN` and halves of characters, .NET a byte order mark, and hand-made JSON has line
//! breaks within strings.

use std::fmt::Write as _;

/// The numbers that JSON does not have. The longest first.
const NUMBERS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// The text as JSON: numbers that JSON does not have become texts, and what cannot stand in a string is escaped.
pub(super) fn mend(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut mended = String::with_capacity(text.len() + 16);
    let mut rest = &*text;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            rest = mend_string(rest, &mut mended);
            continue;
        }
        if let Some(number) = NUMBERS.iter().find(|number| rest.starts_with(**number)) {
            let _ = write!(mended, "\"{number}\"");
            rest = &rest[number.len()..];
            continue;
        }
        mended.push(first);
        rest = &rest[first.len_utf8()..];
    }
    mended
}

/// Mends the string at the start of a text, and returns what is behind it.
fn mend_string<'a>(text: &'a str, mended: &mut String) -> &'a str {
    mended.push('"');
    let mut rest = &text[1..];
    while let Some(first) = rest.chars().next() {
        let length = first.len_utf8();
        match first {
            '"' => {
                mended.push('"');
                return &rest[1..];
            }
            '\\' => {
                rest = mend_escape(rest, mended);
                continue;
            }
            control if control < ' ' => {
                let _ = write!(mended, "\\u{:04x}", u32::from(control));
            }
            other => mended.push(other),
        }
        rest = &rest[length..];
    }
    rest
}

/// Copies the escape at the start of a text. Half of a character becomes the replacement character.
fn mend_escape<'a>(text: &'a str, mended: &mut String) -> &'a str {
    let Some(unit) = unit(text) else {
        let length = 1 + text[1..].chars().next().map_or(0, char::len_utf8);
        mended.push_str(&text[..length]);
        return &text[length..];
    };
    let (escape, rest) = text.split_at(ESCAPE_BYTES);
    match unit {
        0xd800..=0xdbff if self::unit(rest).is_some_and(|next| (0xdc00..=0xdfff).contains(&next)) => {
            let (second, rest) = rest.split_at(ESCAPE_BYTES);
            mended.push_str(escape);
            mended.push_str(second);
            rest
        }
        0xd800..=0xdfff => {
            mended.push_str("\\ufffd");
            rest
        }
        _ => {
            mended.push_str(escape);
            rest
        }
    }
}

/// `\u` and four digits.
const ESCAPE_BYTES: usize = 6;

/// The UTF-16 unit of an escape at the start of a text.
fn unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let is_hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hexadecimal.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_does_not_have_is_mended_and_the_rest_stays() {
        for (text, expected) in [
            (
                r#"{"a":NaN,"b":[-Infinity,Infinity]}"#,
                r#"{"a":"NaN","b":["-Infinity","Infinity"]}"#,
            ),
            (
                r#"{"NaN":"is Infinity","q":"\"NaN\""}"#,
                r#"{"NaN":"is Infinity","q":"\"NaN\""}"#,
            ),
            (
                r#"["\ud83d\ude00","\ud83d","\ude00!","\ud83d\n","\\ud83d"]"#,
                r#"["\ud83d\ude00","\ufffd","\ufffd!","\ufffd\n","\\ud83d"]"#,
            ),
            ("[\"a\nb\tc\"]", r#"["a\u000ab\u0009c"]"#),
            ("[\"\\", "[\"\\"),
            ("[\"open", "[\"open"),
            ("\"\\u12\"", "\"\\u12\""),
        ] {
            assert_eq!(mend(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(mend(b"\"\xff\""), "\"\u{fffd}\"");
    }
}
