//! The depth of JSON: one limit for everything that comes from outside, and a reader
//! for our own payloads that reads whatever was written, however deep.
//!
//! A scalar has depth 0, `[]` has depth 1 and `[[1]]` has depth 2.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

mod deep;
mod foreign;

/// Deepest JSON that is let in from outside: resources, requests, messages, results of tools,
/// output of models.
pub const MAXIMUM_DEPTH: usize = 64;
/// Deepest JSON that is read back. What we write is JSON from outside within the arguments of a
/// tool and within a few structures of ours: less than a third of this.
pub const MAXIMUM_OWN_DEPTH: usize = 512;

/// The depth that serde_json reads on the stack of any thread.
const DEPTH_OF_ANY_STACK: usize = 100;
/// Room for reading one level, with optimisations off and through serde's buffers.
const STACK_BYTES_PER_LEVEL: usize = 16 * 1024;

/// Why JSON cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is nested too deep.
    #[error("it is nested deeper than {limit} levels")]
    TooDeep {
        /// The deepest that is read.
        limit: usize,
    },
    /// It is malformed, or not of the type.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Reads JSON from outside, if it is at most [`MAXIMUM_DEPTH`] deep.
pub fn read<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T, ReadError> {
    check_text(text)?;
    Ok(serde_json::from_slice(text)?)
}

/// Reads JSON from a program that may be laxer than the standard, if it is at most [`MAXIMUM_DEPTH`] deep. A byte order
/// mark is skipped; `NaN`, `Infinity` and `-Infinity` are texts; half of a character is U+FFFD.
pub fn read_foreign(text: &[u8]) -> Result<Value, ReadError> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    match read(text) {
        Err(ReadError::Json(error)) => read(foreign::mend(text).as_bytes()).map_err(|_| ReadError::Json(error)),
        read => read,
    }
}

/// Refuses a text that is no JSON, or deeper than [`MAXIMUM_DEPTH`].
pub fn check(text: &str) -> Result<(), ReadError> {
    read::<serde::de::IgnoredAny>(text.as_bytes()).map(drop)
}

/// Refuses JSON text from outside that is deeper than [`MAXIMUM_DEPTH`]. It may be malformed.
pub fn check_text(text: &[u8]) -> Result<(), ReadError> {
    if depth_of_text(text, MAXIMUM_DEPTH) > MAXIMUM_DEPTH {
        return Err(ReadError::TooDeep { limit: MAXIMUM_DEPTH });
    }
    Ok(())
}

/// Reads JSON that this project has written, at most [`MAXIMUM_OWN_DEPTH`] deep. It needs no more of
/// the caller's stack than flat JSON.
pub fn read_own<T: DeserializeOwned>(text: &[u8]) -> Result<T, ReadError> {
    let depth = depth_of_text(text, MAXIMUM_OWN_DEPTH);
    if depth <= DEPTH_OF_ANY_STACK {
        return Ok(serde_json::from_slice(text)?);
    }
    if depth > MAXIMUM_OWN_DEPTH {
        return Err(ReadError::TooDeep {
            limit: MAXIMUM_OWN_DEPTH,
        });
    }
    stacker::grow(depth * STACK_BYTES_PER_LEVEL, || {
        let value = deep::parse(text)?;
        Ok(serde_json::from_value(value)?)
    })
}

/// The value of JSON text from outside; the text itself when it is malformed or too deep.
pub fn read_or_text(text: String) -> Value {
    read(text.as_bytes()).unwrap_or(Value::String(text))
}

/// A value from outside as it is let in: deeper than [`MAXIMUM_DEPTH`] it becomes its own JSON text.
pub fn or_text(value: Value) -> Value {
    if is_too_deep(&value) {
        Value::String(value.to_string())
    } else {
        value
    }
}

/// Whether a value from outside is deeper than [`MAXIMUM_DEPTH`].
pub fn is_too_deep(value: &Value) -> bool {
    is_deeper_than(value, MAXIMUM_DEPTH)
}

/// Whether a value is deeper than a limit. Uses no stack of its own.
pub fn is_deeper_than(value: &Value, limit: usize) -> bool {
    let mut open = vec![(value, 0_usize)];
    while let Some((value, depth)) = open.pop() {
        let depth = depth + 1;
        match value {
            Value::Array(_) | Value::Object(_) if depth > limit => return true,
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth))),
            Value::Object(members) => open.extend(members.values().map(|member| (member, depth))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    false
}

/// The depth of JSON text, counted up to one more than `limit`. Of malformed text, the depth that a
/// parser meets before it finds the fault, or more.
fn depth_of_text(text: &[u8], limit: usize) -> usize {
    let (mut depth, mut deepest, mut index) = (0_usize, 0_usize, 0_usize);
    let mut in_string = false;
    while index < text.len() {
        match text[index] {
            b'\\' if in_string => index += 1,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > deepest {
                    deepest = depth;
                    if deepest > limit {
                        return deepest;
                    }
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        index += 1;
    }
    deepest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Serialize;
    use serde_json::{json, value::RawValue};

    use super::*;

    /// `depth` arrays around a scalar.
    fn nested(depth: usize) -> String {
        format!("{}1{}", "[".repeat(depth), "]".repeat(depth))
    }

    fn value(depth: usize) -> Value {
        (0..depth).fold(json!(1), |inner, _| json!([inner]))
    }

    #[test]
    fn json_from_outside_is_read_up_to_the_limit() {
        let read = |depth| read::<Value>(nested(depth).as_bytes());
        assert_eq!(read(MAXIMUM_DEPTH).unwrap(), value(MAXIMUM_DEPTH));
        assert_eq!(
            read(MAXIMUM_DEPTH + 1).unwrap_err().to_string(),
            "it is nested deeper than 64 levels"
        );
    }

    #[test]
    fn json_of_laxer_programs_is_read_and_a_fault_is_told_as_it_is() {
        let read = |text: &[u8]| read_foreign(text).map(|value| value.to_string());
        let text = br#"{"mean": NaN, "max": 100000000000000000001, "rate": 1.10}"#;
        assert_eq!(
            read(text).unwrap(),
            r#"{"mean":"NaN","max":100000000000000000001,"rate":1.10}"#
        );
        assert_eq!(read(b"\xef\xbb\xbf[1]").unwrap(), "[1]");
        let error = read(b"[NaN, oops]").unwrap_err().to_string();
        assert!(error.ends_with("at line 1 column 2"), "{error}");
    }

    #[test]
    fn brackets_within_strings_are_no_levels() {
        let text = format!(r#"["{}\"[", "\\"]"#, "[{".repeat(100));
        assert!(read::<Value>(text.as_bytes()).is_ok());
    }

    #[test]
    fn text_and_value_have_the_same_depth() {
        for (text, depth) in [("1", 0), ("[]", 1), (r#"{"a":{}}"#, 2), (r#"[1,{"a":[2]},3]"#, 3)] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(depth_of_text(text.as_bytes(), 10), depth, "{text}");
            assert!(!is_deeper_than(&value, depth), "{text}");
            assert!(depth == 0 || is_deeper_than(&value, depth - 1), "{text}");
        }
    }

    #[test]
    fn what_is_too_deep_is_kept_as_text() {
        let (within, beyond) = (nested(MAXIMUM_DEPTH), nested(MAXIMUM_DEPTH + 1));
        assert_eq!(read_or_text(within), value(MAXIMUM_DEPTH));
        assert_eq!(read_or_text(beyond.clone()), json!(beyond));
        assert_eq!(or_text(value(MAXIMUM_DEPTH)), value(MAXIMUM_DEPTH));
        assert_eq!(or_text(value(MAXIMUM_DEPTH + 1)), json!(beyond));
        assert_eq!(read_or_text("plain".to_owned()), json!("plain"));
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "type", rename_all = "snake_case")]
    enum Buffered {
        Whole { content: Value },
    }

    #[test]
    fn our_own_json_is_read_deeper_than_serde_json_reads_it() {
        let depth = 300;
        assert!(serde_json::from_str::<Value>(&nested(depth)).is_err());
        assert_eq!(read_own::<Value>(nested(depth).as_bytes()).unwrap(), value(depth));
        let whole = Buffered::Whole { content: value(depth) };
        let text = serde_json::to_vec(&whole).unwrap();
        assert_eq!(read_own::<Buffered>(&text).unwrap(), whole);
        let raw: Box<RawValue> = read_own(nested(depth).as_bytes()).unwrap();
        assert_eq!(raw.get(), nested(depth));
    }

    #[test]
    fn our_own_json_is_read_on_a_small_stack() {
        let reader = std::thread::Builder::new()
            .stack_size(256 * 1024)
            .spawn(|| {
                let read = read_own::<Buffered>(
                    format!(r#"{{"type":"whole","content":{}}}"#, nested(MAXIMUM_OWN_DEPTH - 1)).as_bytes(),
                );
                // To drop it needs a level of the stack for each of its own.
                std::mem::forget(read.unwrap());
            })
            .unwrap();
        reader.join().unwrap();
    }

    #[test]
    fn deep_json_keeps_the_order_of_its_members_and_the_last_of_equal_names() {
        let deep = nested(150);
        let text = format!(r#" {{"b" : {deep}, "a\"":[1, {deep} ,"x"],"c":null , "b":2.50}} "#);
        let read: Value = read_own(text.as_bytes()).unwrap();
        let expected = json!({ "b": 2.5, "a\"": [1, value(150), "x"], "c": null });
        // A number keeps its digits.
        assert_eq!(read.to_string(), expected.to_string().replacen("2.5", "2.50", 1));
    }

    #[test]
    fn our_own_json_has_a_limit_too_and_nothing_follows_it() {
        let beyond = nested(MAXIMUM_OWN_DEPTH + 1);
        assert!(matches!(
            read_own::<Value>(beyond.as_bytes()),
            Err(ReadError::TooDeep { .. })
        ));
        let followed = format!("{} 1", nested(200));
        assert!(matches!(
            read_own::<Value>(followed.as_bytes()),
            Err(ReadError::Json(_))
        ));
    }

    proptest! {
        #[test]
        fn any_text_is_measured(text in "[\\[\\]{}\":,\\\\a ]{0,40}") {
            // A text that serde_json reads has the depth of its value.
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                let depth = depth_of_text(text.as_bytes(), 100);
                prop_assert!(!is_deeper_than(&value, depth));
            }
        }
    }
}
