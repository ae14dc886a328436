//! Builds the body of a request from pieces. In JSON an argument is one value, or
//! a part of one string; in a form it is one name or value. In a body of another
//! content type an argument is plain text. Pure.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use steadfast_bounds::json;

use super::pieces::Piece;

/// Why a body cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TextBodyError {
    #[error("an argument in a form must be a text, a number or a boolean")]
    NotScalar,
    #[error("the body has a backslash before an argument, which would end the string")]
    AfterBackslash,
    #[error(
        "the body is no JSON ({0}) and its content type says that it is; nothing was sent: correct the tool's body, or \
         set another Content-Type"
    )]
    NotJson(String),
}

/// How the content type of a body encodes values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodySyntax {
    Json,
    Form,
    Text,
}

impl BodySyntax {
    pub(crate) fn of_content_type(content_type: &str) -> Self {
        let content_type = content_type.to_ascii_lowercase();
        if content_type.contains("json") {
            Self::Json
        } else if content_type.contains("x-www-form-urlencoded") {
            Self::Form
        } else {
            Self::Text
        }
    }
}

/// Builds a body; `value` returns the value of an environment variable.
pub(crate) fn build<E: From<TextBodyError>>(
    syntax: BodySyntax,
    pieces: &[Piece],
    value: impl Fn(&str) -> Result<String, E>,
) -> Result<String, E> {
    let mut body = String::new();
    let mut json = JsonPlace::default();
    for piece in pieces {
        match (piece, syntax) {
            (Piece::Text(text), _) => {
                json.read(text);
                body.push_str(text);
            }
            (Piece::Argument(argument), BodySyntax::Json) => body.push_str(&json.argument(argument)?),
            (Piece::Argument(argument), BodySyntax::Form) => {
                let text = scalar(argument).ok_or(TextBodyError::NotScalar)?;
                body.extend(utf8_percent_encode(&text, NON_ALPHANUMERIC));
            }
            (Piece::Argument(argument), BodySyntax::Text) => {
                body.push_str(&scalar(argument).unwrap_or_else(|| argument.to_string()));
            }
            (Piece::Variable(name), BodySyntax::Json) if json.in_string => {
                let content = Value::String(value(name)?);
                body.push_str(&json.argument(&content)?);
            }
            (Piece::Variable(name), _) => body.push_str(&value(name)?),
        }
    }
    Ok(body)
}

/// Refuses a body that is not what its content type says. A server might read another thing out of it.
pub(crate) fn check(content_type: &str, body: &str) -> Result<(), TextBodyError> {
    let result = match essence(content_type).as_str() {
        "application/json" | "text/json" => json::check(body),
        kind if kind.ends_with("+json") => json::check(body),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => body
            .lines()
            .filter(|line| !line.trim().is_empty())
            .try_for_each(json::check),
        _ => Ok(()),
    };
    result.map_err(|error| TextBodyError::NotJson(error.to_string()))
}

/// The content type without its parameters.
fn essence(content_type: &str) -> String {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

fn scalar(argument: &Value) -> Option<String> {
    match argument {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether a place in a JSON text is inside of a string.
#[derive(Debug, Default)]
struct JsonPlace {
    in_string: bool,
    after_backslash: bool,
}

impl JsonPlace {
    fn read(&mut self, text: &str) {
        for character in text.chars() {
            if std::mem::take(&mut self.after_backslash) {
                continue;
            }
            match character {
                '"' => self.in_string = !self.in_string,
                '\\' if self.in_string => self.after_backslash = true,
                _ => {}
            }
        }
    }

    fn argument(&self, argument: &Value) -> Result<String, TextBodyError> {
        if self.after_backslash {
            return Err(TextBodyError::AfterBackslash);
        }
        if !self.in_string {
            return Ok(argument.to_string());
        }
        let text = match argument {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let quoted = Value::String(text).to_string();
        Ok(quoted[1..quoted.len() - 1].to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::egress::pieces;

    fn body(syntax: BodySyntax, template: &str, argument: impl Into<Value>) -> Result<String, TextBodyError> {
        let scope = json!({"x": argument.into()});
        let rendered = pieces::render(template, scope.as_object().unwrap()).unwrap();
        build(syntax, &rendered, |_| Ok("a \"quoted\" value".to_owned()))
    }

    fn json_body(template: &str, argument: impl Into<Value>) -> Value {
        serde_json::from_str(&body(BodySyntax::Json, template, argument).unwrap()).unwrap()
    }

    #[test]
    fn an_argument_is_one_json_value_or_a_part_of_one_string() {
        for template in ["{\"a\": {{ x }}, \"b\": 1}", "{\"a\": {{ x | tojson }}, \"b\": 1}"] {
            for argument in [
                json!("a\", \"b\": 2, \"c\": \""),
                json!(7),
                json!([1, {"c": 2}]),
                json!(null),
            ] {
                assert_eq!(json_body(template, argument.clone()), json!({"a": argument, "b": 1}));
            }
        }
        assert_eq!(
            json_body("{\"a\": \"for {{ x }}\", \"b\": 1}", "me\", \"b\": 2, \"c\": \"\\"),
            json!({"a": "for me\", \"b\": 2, \"c\": \"\\", "b": 1})
        );
        assert_eq!(
            json_body("{\"a\": \"{{ x }}\"}", json!({"n": 1})),
            json!({"a": "{\"n\":1}"})
        );
        assert_eq!(json_body("{\"\\\"{{ x }}\": 1}", "k"), json!({"\"k": 1}));
        assert_eq!(json_body("{{ x }}", "whole"), json!("whole"));
    }

    #[test]
    fn a_backslash_before_an_argument_is_refused() {
        let refused = body(BodySyntax::Json, "{\"a\": \"\\{{ x }}\"}", "n");
        assert_eq!(refused, Err(TextBodyError::AfterBackslash));
    }

    #[test]
    fn a_variable_in_a_json_string_is_a_part_of_it() {
        assert_eq!(
            json_body("{\"a\": \"${env.KEY}\"}", ""),
            json!({"a": "a \"quoted\" value"})
        );
    }

    #[test]
    fn an_argument_in_a_form_is_one_value() {
        assert_eq!(
            body(BodySyntax::Form, "a={{ x }}&b=1", "1&b=2").unwrap(),
            "a=1%26b%3D2&b=1"
        );
        assert_eq!(
            body(BodySyntax::Form, "a={{ x | urlencode }}", "ä b").unwrap(),
            "a=%C3%A4%20b"
        );
        assert_eq!(
            body(BodySyntax::Form, "a={{ x }}", json!([1])),
            Err(TextBodyError::NotScalar)
        );
    }

    #[test]
    fn a_body_is_what_its_content_type_says() {
        for (content_type, body) in [
            ("application/json", "{\"n\": 100000000000000000001}"),
            ("application/merge-patch+json; charset=utf-8", " null\n"),
            ("application/x-ndjson", "{}\n\n[1]\n"),
            ("text/plain", "{oops"),
            ("application/json-seq", "\u{1e}{}\n"),
        ] {
            assert_eq!(check(content_type, body), Ok(()), "{content_type}");
        }
        for (content_type, body) in [
            ("application/json", "{oops"),
            ("application/json", "{\"a\": True}"),
            ("Application/JSON", "{} {}"),
            ("application/vnd.api+json", "a=b"),
            ("application/jsonl", "{}\n{"),
        ] {
            let refused = check(content_type, body).unwrap_err().to_string();
            assert!(refused.contains("nothing was sent"), "{content_type}: {refused}");
        }
    }

    #[test]
    fn other_content_types_take_text() {
        assert_eq!(body(BodySyntax::Text, "<a>{{ x }}</a>", "b").unwrap(), "<a>b</a>");
        for (content_type, syntax) in [
            ("application/json", BodySyntax::Json),
            ("Application/Merge-Patch+JSON; charset=utf-8", BodySyntax::Json),
            ("application/x-www-form-urlencoded", BodySyntax::Form),
            ("text/plain", BodySyntax::Text),
        ] {
            assert_eq!(BodySyntax::of_content_type(content_type), syntax);
        }
    }

    proptest! {
        #[test]
        fn no_argument_leaves_its_place_in_json(text in "[^\u{fdd0}\u{fdd1}]{0,24}") {
            let template = "{\"a\": {{ x }}, \"b\": [\"to {{ x }}!\"]}";
            let expected = json!({"b": [format!("to {text}!")], "a": text});
            prop_assert_eq!(json_body(template, text), expected);
        }
    }
}
