//! Reads and writes YAML, for the whole workspace.
//!
//! Reading takes `on`, `yes` and `n` for booleans, as Kubernetes does. An integer has 64 bits, any other number is a
//! float of 64 bits, and a key that stands twice is an error. Writing keeps every digit of a number, and quotes a text that a
//! reader of YAML 1.1 or 1.2 could take for another type.

use std::{
    cell::Cell,
    fmt::{self, Write},
};

use serde::{
    Serialize, Serializer,
    de::DeserializeOwned,
    ser::{SerializeMap as _, SerializeSeq as _},
};
use serde_json::Value;

/// Why a text cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ReadYamlError(Box<serde_saphyr::Error>);

impl ReadYamlError {
    /// The line of the fault, from 1, if it has one.
    #[must_use]
    pub fn line(&self) -> Option<u64> {
        self.0.location().map(|location| location.line())
    }
}

/// Why a value cannot be written as YAML.
#[derive(Debug, thiserror::Error)]
pub enum WriteYamlError {
    /// It is no JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The writer of YAML refuses it.
    #[error(transparent)]
    Yaml(#[from] serde_saphyr::ser::Error),
}

/// The value of a text with one document.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, ReadYamlError> {
    serde_saphyr::from_str_with_options(text, read_options()).map_err(|error| ReadYamlError(Box::new(error)))
}

/// The values of all documents of a text; a document without content is left out.
pub fn documents<T: DeserializeOwned>(text: &str) -> Result<Vec<T>, ReadYamlError> {
    serde_saphyr::read_with_options(&mut text.as_bytes(), read_options())
        .collect::<Result<_, _>>()
        .map_err(|error| ReadYamlError(Box::new(error)))
}

/// Errors are one line: who reports them names the file, and may print them at a terminal.
fn read_options() -> serde_saphyr::Options {
    serde_saphyr::options! { with_snippet: false }
}

/// A value as one document, with a line feed at the end.
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> Result<String, WriteYamlError> {
    let value = serde_json::to_value(value)?;
    let number = Cell::new(None);
    let mut output = Output {
        text: String::new(),
        number: &number,
    };
    // No long line is folded: what is one line in a value can be found as one line.
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    let document = Document {
        value: &value,
        number: &number,
    };
    serde_saphyr::to_fmt_writer_with_options(&mut output, &document, options)?;
    Ok(output.text)
}

/// What a [`Document`] writes instead of a number; [`Output`] puts the number there.
///
/// serde's data model has no number with digits of its own, only integers and floats of fixed width.
const PLACEHOLDER: u64 = 0;
const WRITTEN_PLACEHOLDER: &str = "0";

/// JSON that a writer of YAML can serialize.
struct Document<'a> {
    value: &'a Value,
    number: &'a Cell<Option<String>>,
}

impl<'a> Document<'a> {
    const fn part(&self, value: &'a Value) -> Self {
        Self {
            value,
            number: self.number,
        }
    }
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Number(number) => {
                self.number.set(Some(in_yaml(number.as_str())));
                serializer.serialize_u64(PLACEHOLDER)
            }
            Value::Array(items) => {
                let mut sequence = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    sequence.serialize_element(&self.part(item))?;
                }
                sequence.end()
            }
            Value::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, member) in members {
                    map.serialize_entry(name, &self.part(member))?;
                }
                map.end()
            }
            scalar => scalar.serialize(serializer),
        }
    }
}

/// The text of a document.
struct Output<'a> {
    text: String,
    number: &'a Cell<Option<String>>,
}

impl Write for Output<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let number = if text == WRITTEN_PLACEHOLDER {
            self.number.take()
        } else {
            None
        };
        self.text.push_str(number.as_deref().unwrap_or(text));
        Ok(())
    }
}

/// A number of JSON in YAML, which wants a point and a sign where there is an exponent.
fn in_yaml(number: &str) -> String {
    let Some((mantissa, exponent)) = number.split_once(['e', 'E']) else {
        return number.to_owned();
    };
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with(['+', '-']) { "" } else { "+" };
    format!("{mantissa}{point}e{sign}{exponent}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_keep_their_order_and_texts_of_several_lines_are_blocks() {
        let value =
            json!({ "b": 1, "a": [2.0, -3, "4", true, null], "text": "on: \"ä\"\nend", "none": {}, "c": [[0]] });
        let yaml =
            "b: 1\na:\n- 2.0\n- -3\n- \"4\"\n- true\n- null\ntext: |-\n  on: \"ä\"\n  end\nnone: {}\nc:\n- - 0\n";
        assert_eq!(to_string(&value).unwrap(), yaml);
        assert_eq!(from_str::<Value>(yaml).unwrap(), value);
    }

    #[test]
    fn numbers_keep_their_digits() {
        let numbers = "[0,-0,100000000000000000001,1.10,0.1000000000000000055511151231257827,1e400,1.5E-7,2E+3]";
        let value: Value = serde_json::from_str(&format!("{{\"0\": 0, \"list\": {numbers}}}")).unwrap();
        let yaml = "\"0\": 0\nlist:\n- 0\n- -0\n- 100000000000000000001\n- 1.10\n- 0.1000000000000000055511151231257827\n\
                    - 1.0e+400\n- 1.5e-7\n- 2.0e+3\n";
        assert_eq!(to_string(&value).unwrap(), yaml);
    }

    #[test]
    fn a_long_text_stays_one_line() {
        let text = "word ".repeat(100) + "end";
        assert_eq!(to_string(&json!({ "text": text })).unwrap(), format!("text: {text}\n"));
    }

    /// Texts that a reader may take for something else.
    #[rustfmt::skip]
    const TEXTS: &[&str] = &[
        "", " ", "a", "a b", "0", "00", "-1", "+1", "1.5", ".5", "1.", "1e3", "1_000", "0x1F", "0o7", "0b1",
        "1:30", "190:20:30", "2026-11-28", "2026-11-28T01:02:03Z", "on", "Off", "yes", "NO", "y", "N", "true",
        "False", "null", "Null", "~", ".inf", "-.INF", ".nan", "nan", "<<", "=", "-", "?", ":", "- a", "? a",
        "a: b", "a:", ": a", "a #b", "#a", "a#b", "'", "\"", "'a'", "\"a\"", "\\", "a\\nb", "{a}", "[a]",
        "{{ a }}", "${env.A}", "%a", "@a", "`a`", "!a", "!!str a", "&a", "*a", "|", ">", "---", "--- a", "...",
        "a, b", ",", " a", "a ", "\ta", "a\tb", "a\t", "a\nb", "a\n", "a\n\n", "\n", "\n\n", "\na", " a\nb",
        "  a\n b\n", "a\n  b", "a\n\n\nb", "a\r\nb", "\r", "\u{0}", "\u{1b}[31m", "\u{7f}", "\u{85}", "\u{a0}",
        "\u{2028}", "\u{feff}a", "\u{fffe}", "ä", "\u{1f916}", "#!/bin/sh\nset -e\n", "a: |\n  b\n",
    ];

    #[test]
    fn a_text_is_read_as_the_text_that_was_written() {
        for &text in TEXTS {
            let value =
                json!({ text: text, "list": [text, [text], { text: [text] }], "map": { "in": { text: text } } });
            let yaml = to_string(&value).unwrap();
            assert_eq!(from_str::<Value>(&yaml).unwrap(), value, "{yaml}");
        }
        // What only YAML 1.1 takes for another type is quoted too.
        assert_eq!(to_string(&json!({ "on": "1:30" })).unwrap(), "\"on\": \"1:30\"\n");
    }

    #[test]
    fn documents_without_content_are_left_out() {
        let text = "---\n# nothing\n---\na: 1\n---\n---\n- b\n";
        assert_eq!(documents::<Value>(text).unwrap(), [json!({"a": 1}), json!(["b"])]);
    }

    #[test]
    fn an_error_names_the_line() {
        let error = documents::<Value>("a: 1\n---\nb: [\n").unwrap_err();
        assert!(error.line() >= Some(3), "{error}");
        assert_eq!(from_str::<Value>("a: 1\nb: 2\na: 3\n").unwrap_err().line(), Some(3));
    }
}
