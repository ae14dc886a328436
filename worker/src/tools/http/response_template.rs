//! Shapes the response of a server by the tool's `response` template. What the author of
//! the template wrote decides about the type of the result, and never what the server
//! sent: a text of the server stays a text, whatever it looks like. Pure.

use serde_json::{Map, Value};
use steadfast_bounds::json;

use crate::{
    egress::{
        pieces::{self, Piece},
        text_body::{self, BodySyntax, TextBodyError},
    },
    template::{RenderError, render},
};

/// The result of a template over these variables.
pub(super) fn shape(template: &str, variables: &Map<String, Value>) -> Result<Value, RenderError> {
    let Ok(pieces) = pieces::render_values(template, variables) else {
        // It uses the output of a block as a value, which has no pieces; or the fault is told by this rendering too.
        return render(template, variables).map(Value::String);
    };
    let significant: Vec<&Piece> = pieces.iter().filter(|piece| !is_space(piece)).collect();
    if let [Piece::Argument(value)] = significant.as_slice() {
        return Ok(value.clone());
    }
    if let Some(Piece::Text(text)) = significant.first()
        && text.trim_start().starts_with(['{', '[', '"'])
        && let Some(value) = as_json(&pieces)
    {
        return Ok(value);
    }
    let text: String = pieces.iter().map(Piece::plain).collect();
    if significant.iter().all(|piece| matches!(piece, Piece::Text(_))) {
        return Ok(json::read_or_text(text));
    }
    Ok(Value::String(text))
}

fn is_space(piece: &Piece) -> bool {
    matches!(piece, Piece::Text(text) if text.trim().is_empty())
}

/// The pieces as JSON: outside of quotes each value is a JSON value, inside of quotes a part of the string.
fn as_json(pieces: &[Piece]) -> Option<Value> {
    let text = text_body::build::<TextBodyError>(BodySyntax::Json, pieces, |_| Ok(String::new())).ok()?;
    json::read(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shaped(template: &str) -> String {
        let body = r#"{"id": "007", "price": "1.10", "amount": 1.10, "big": 100000000000000000001, "flag": "true",
                       "list": "[1]", "ok": true, "none": null, "quote": "a \"b\"", "items": [{"n": 1.0}]}"#;
        let variables = Map::from_iter([("body".to_owned(), serde_json::from_str(body).unwrap())]);
        shape(template, &variables).unwrap().to_string()
    }

    #[test]
    fn one_value_keeps_its_type_and_its_digits() {
        for (template, expected) in [
            ("{{ body.id }}", "\"007\""),
            ("{{ body.price }}", "\"1.10\""),
            ("{{ body.flag }}\n", "\"true\""),
            ("{{- body.list -}}", "\"[1]\""),
            ("{{ body.amount }}", "1.10"),
            ("{{ body.big }}", "100000000000000000001"),
            ("{{ body.none }}", "null"),
            ("{{ body.items }}", r#"[{"n":1.0}]"#),
            ("{{ body.items | tojson }}", r#"[{"n":1.0}]"#),
            ("{% if body.ok %}{{ body.price }}{% endif %}", "\"1.10\""),
        ] {
            assert_eq!(shaped(template), expected, "{template}");
        }
    }

    #[test]
    fn values_with_text_around_them_are_a_text() {
        for (template, expected) in [
            ("{{ body.id }}{{ body.big }}", "\"007100000000000000000001\""),
            ("{{ body.amount }} {{ body.ok }} {{ body.none }}", "\"1.10 true null\""),
            ("1{{ body.id }}", "\"1007\""),
            ("[{{ body.id }}] {{ body.flag }}", "\"[007] true\""),
            ("{{ body.items }}!", r#""[{\"n\":1.0}]!""#),
        ] {
            assert_eq!(shaped(template), expected, "{template}");
        }
    }

    #[test]
    fn json_of_the_author_is_json_and_takes_each_value_in_its_place() {
        for (template, expected) in [
            (
                r#"{"id": {{ body.id }}, "name": "{{ body.quote }}", "n": {{ body.amount }}}"#,
                r#"{"id":"007","name":"a \"b\"","n":1.10}"#,
            ),
            (
                "[{{ body.flag | tojson }}, {{ body.items }}]",
                r#"["true",[{"n":1.0}]]"#,
            ),
            ("{% if body.ok %}true{% else %}false{% endif %}", "true"),
            ("\"{{ body.quote }}\"", r#""a \"b\"""#),
        ] {
            assert_eq!(shaped(template), expected, "{template}");
        }
    }

    #[test]
    fn the_output_of_a_block_is_a_text() {
        assert_eq!(shaped("{% set x %}{{ body.id }}{% endset %}{{ x }}"), "\"007\"");
        assert_eq!(
            shaped("{{ body.items | tojson | replace('n', 'm') }}"),
            r#""[{\"m\":1.0}]""#
        );
        assert!(shape("{{ body.nobody }}", &Map::from_iter([("body".to_owned(), json!({}))])).is_err());
    }
}
