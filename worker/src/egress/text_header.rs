//! Builds the value of a header from pieces. An argument is a part of the value:
//! it ends neither the header nor a parameter in it. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::pieces::Piece;

/// Headers that say how a request is read or where it goes: an argument would change more than a value.
const WITHOUT_ARGUMENTS: [&str; 13] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Characters that separate the parts of a value.
const SEPARATORS: [char; 3] = [',', ';', '"'];

/// Why the value of a header cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TextHeaderError {
    #[error("an argument in a header must be a text, a number or a boolean")]
    NotScalar,
    #[error("an argument in a header must not contain control characters")]
    ControlCharacter,
    #[error("an argument in this header must not contain {0:?}")]
    Separator(char),
    #[error("this header must not contain an argument")]
    NoArgument,
}

/// Builds the value of a header; `value` returns the value of an environment variable.
pub(super) fn build<E: From<TextHeaderError>>(
    name: &str,
    pieces: &[Piece],
    value: impl Fn(&str) -> Result<String, E>,
) -> Result<String, E> {
    let separators = separators(name, pieces);
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(literal) => text.push_str(literal),
            Piece::Variable(variable) => text.push_str(&value(variable)?),
            Piece::Argument(_) if WITHOUT_ARGUMENTS.iter().any(|fixed| name.eq_ignore_ascii_case(fixed)) => {
                return Err(TextHeaderError::NoArgument.into());
            }
            Piece::Argument(argument) => text.push_str(&checked(argument, &separators)?),
        }
    }
    Ok(text)
}

/// The separators that the template itself uses: no argument adds another one.
fn separators(name: &str, pieces: &[Piece]) -> BTreeSet<char> {
    let literals = pieces.iter().filter_map(|piece| match piece {
        Piece::Text(literal) => Some(literal.as_str()),
        Piece::Argument(_) | Piece::Variable(_) => None,
    });
    let used = literals
        .flat_map(str::chars)
        .filter(|character| SEPARATORS.contains(character));
    let of_cookies = name.eq_ignore_ascii_case("cookie").then_some(';');
    used.chain(of_cookies).collect()
}

fn checked(argument: &Value, separators: &BTreeSet<char>) -> Result<String, TextHeaderError> {
    let text = match argument {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return Err(TextHeaderError::NotScalar),
    };
    for character in text.chars() {
        if character.is_control() {
            return Err(TextHeaderError::ControlCharacter);
        }
        // Inside of quotes, a backslash would hide the closing one.
        if separators.contains(&character) || (character == '\\' && separators.contains(&'"')) {
            return Err(TextHeaderError::Separator(character));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::egress::pieces;

    fn header(name: &str, template: &str, argument: impl Into<Value>) -> Result<String, TextHeaderError> {
        let scope = json!({"x": argument.into()});
        let rendered = pieces::render(template, scope.as_object().unwrap()).unwrap();
        build(name, &rendered, |_| Ok("s3cret, really".to_owned()))
    }

    #[test]
    fn an_argument_is_a_part_of_the_value() {
        assert_eq!(header("X-Note", "to {{ x }}", "a, b; \"c\"").unwrap(), "to a, b; \"c\"");
        assert_eq!(header("X-Page", "{{ x }}", 7).unwrap(), "7");
        assert_eq!(
            header("Authorization", "Bearer ${env.KEY}", "").unwrap(),
            "Bearer s3cret, really"
        );
    }

    #[test]
    fn an_argument_ends_neither_the_header_nor_a_parameter_of_it() {
        for (name, template, argument, error) in [
            (
                "X-Note",
                "{{ x }}",
                json!("a\r\nX-Other: b"),
                TextHeaderError::ControlCharacter,
            ),
            (
                "X-User",
                "id={{ x }}; role=guest",
                json!("a; role=admin"),
                TextHeaderError::Separator(';'),
            ),
            (
                "If-Match",
                "\"{{ x }}\"",
                json!("a\", \"b"),
                TextHeaderError::Separator('"'),
            ),
            (
                "If-Match",
                "\"{{ x }}\"",
                json!("a\\"),
                TextHeaderError::Separator('\\'),
            ),
            (
                "Cookie",
                "session={{ x }}",
                json!("a; admin=1"),
                TextHeaderError::Separator(';'),
            ),
            ("X-Tags", "{{ x }}", json!(["a"]), TextHeaderError::NotScalar),
        ] {
            assert_eq!(header(name, template, argument), Err(error), "{template}");
        }
    }

    #[test]
    fn headers_that_say_how_the_request_is_read_contain_no_argument() {
        for name in ["Host", "content-type", "Content-Length", "Transfer-Encoding"] {
            assert_eq!(header(name, "{{ x }}", "a"), Err(TextHeaderError::NoArgument), "{name}");
        }
        assert_eq!(header("Content-Type", "text/plain", "a").unwrap(), "text/plain");
    }
}
