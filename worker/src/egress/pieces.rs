//! Renders a text of a request into pieces: the text of its author, the
//! arguments of the model, and environment variables. Each piece is later encoded
//! for the place where it stands, so that no argument changes what is around it.
//! No value of an environment variable enters the template engine. Pure.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use minijinja::{
    Error, ErrorKind, Value as TemplateValue,
    value::{Object, Rest},
};
use serde_json::{Map, Value};
use steadfast_crds::environment::{Segment, segments, try_expand};

use crate::template::{Digits, RenderError, Scope, environment, render_with};

/// The variable of the template that holds the names of environment variables.
const ENVIRONMENT: &str = "__environment";
/// They enclose the number of a piece in the rendered text. Unicode reserves both as no characters of any text.
const OPEN: char = '\u{fdd0}';
const CLOSE: char = '\u{fdd1}';

/// A part of a rendered text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    /// Text of the template's author.
    Text(String),
    /// The value of an expression: an argument, or made of arguments.
    Argument(Value),
    /// An environment variable.
    Variable(String),
}

impl Piece {
    /// The piece in a text without a syntax of its own: a text as it is, and any other value as JSON.
    pub(crate) fn plain(&self) -> String {
        match self {
            Self::Text(text) | Self::Argument(Value::String(text)) => text.clone(),
            Self::Argument(value) => value.to_string(),
            Self::Variable(name) => format!("${{env.{name}}}"),
        }
    }
}

/// Splits a text that is no template.
pub(super) fn split(source: &str) -> Vec<Piece> {
    segments(source)
        .map(|segment| match segment {
            Segment::Text(text) => Piece::Text(text.to_owned()),
            Segment::Variable(name) => Piece::Variable(name.to_owned()),
        })
        .collect()
}

/// Renders a template with a scope: the arguments of a call.
///
/// The filters `urlencode` and `tojson` change nothing: every piece is encoded for its place.
pub(super) fn render(source: &str, scope: &Map<String, Value>) -> Result<Vec<Piece>, RenderError> {
    let template = try_expand(source, |name| {
        Ok::<_, RenderError>(format!("{{{{ {ENVIRONMENT}[\"{name}\"] }}}}"))
    })?;
    render_template(&template, context(source, scope))
}

/// Renders a template in which `${env.NAME}` has no meaning.
pub(crate) fn render_values(source: &str, scope: &Map<String, Value>) -> Result<Vec<Piece>, RenderError> {
    render_template(source, Scope::new(scope.clone()))
}

fn render_template(template: &str, scope: Scope) -> Result<Vec<Piece>, RenderError> {
    if template.contains([OPEN, CLOSE]) {
        return Err(invalid("the template contains a reserved character").into());
    }
    let found = Arc::new(Mutex::new(Vec::new()));
    let (context, digits) = scope.into_value();
    let mut environment = environment(&digits);
    environment.add_filter("urlencode", unchanged);
    environment.add_filter("tojson", unchanged);
    let pieces = found.clone();
    environment.set_formatter(move |output, _, value| {
        let piece = piece(value, &digits)?;
        let mut pieces = pieces.lock().unwrap_or_else(PoisonError::into_inner);
        output.write_str(&format!("{OPEN}{}{CLOSE}", pieces.len()))?;
        pieces.push(piece);
        Ok(())
    });
    let text = render_with(&environment, template, context)?;
    let found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(join(&text, &found))
}

fn context(source: &str, scope: &Map<String, Value>) -> Scope {
    let variables = segments(source).filter_map(|segment| match segment {
        Segment::Variable(name) => {
            let variable = TemplateValue::from_object(EnvironmentVariable(name.to_owned()));
            Some((name.to_owned(), variable))
        }
        Segment::Text(_) => None,
    });
    let variables: BTreeMap<String, TemplateValue> = variables.collect();
    let mut scope = Scope::new(scope.clone());
    scope.add(ENVIRONMENT, TemplateValue::from(variables));
    scope
}

fn unchanged(value: TemplateValue, _options: Rest<TemplateValue>) -> TemplateValue {
    value
}

fn piece(value: &TemplateValue, digits: &Digits) -> Result<Piece, Error> {
    if let Some(EnvironmentVariable(name)) = value.downcast_object_ref() {
        return Ok(Piece::Variable(name.clone()));
    }
    // The output of a block that was captured: the pieces in it would lose their places.
    if value.as_str().is_some_and(|text| text.contains([OPEN, CLOSE])) {
        return Err(invalid(
            "write the text where it belongs: a block or a macro cannot be used as a value here",
        ));
    }
    digits.to_json(value).map(Piece::Argument)
}

/// Puts the pieces into the text that names them by their numbers.
fn join(text: &str, found: &[Piece]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (number, after) = after.split_once(CLOSE).unwrap_or((after, ""));
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.extend(number.parse().ok().and_then(|number: usize| found.get(number)).cloned());
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    pieces
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// Stands for an environment variable in a template, without its value.
#[derive(Debug)]
struct EnvironmentVariable(String);

impl Object for EnvironmentVariable {
    fn repr(self: &Arc<Self>) -> minijinja::value::ObjectRepr {
        minijinja::value::ObjectRepr::Plain
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rendered(source: &str) -> Result<Vec<Piece>, RenderError> {
        let scope = json!({"city": "Bonn", "n": 7, "tags": ["a", "b"], "none": null, "__environment": {"KEY": "mine"}});
        render(source, scope.as_object().unwrap())
    }

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    fn argument(value: Value) -> Piece {
        Piece::Argument(value)
    }

    #[test]
    fn the_pieces_of_a_template_keep_their_order_and_their_types() {
        assert_eq!(
            rendered("a {{ city }}{{ n }} ${env.KEY}!").unwrap(),
            [
                text("a "),
                argument(json!("Bonn")),
                argument(json!(7)),
                text(" "),
                Piece::Variable("KEY".to_owned()),
                text("!")
            ]
        );
        assert_eq!(
            rendered("{% for tag in tags %}/{{ tag | urlencode }}{% endfor %}{{ tags | tojson }}").unwrap(),
            [
                text("/"),
                argument(json!("a")),
                text("/"),
                argument(json!("b")),
                argument(json!(["a", "b"]))
            ]
        );
        assert_eq!(rendered("{{ none }}").unwrap(), [argument(json!(null))]);
    }

    #[test]
    fn a_captured_block_is_no_value() {
        for source in [
            "{% set x %}/{{ city }}{% endset %}{{ x }}",
            "{% macro m() %}/{{ city }}{% endmacro %}{{ m() }}",
            "{% filter upper %}/{{ city }}{% endfilter %}",
        ] {
            assert!(rendered(source).is_err(), "{source}");
        }
    }

    #[test]
    fn no_text_names_a_piece_of_its_own() {
        let scope = json!({"city": "\u{fdd0}0\u{fdd1}"});
        assert!(render("{{ city }}", scope.as_object().unwrap()).is_err());
        assert!(rendered("{{ city }}\u{fdd0}0\u{fdd1}").is_err());
        assert!(rendered("{{ city }}{{ '\\ufdd00\\ufdd1' }}").is_err());
    }

    #[test]
    fn an_undefined_argument_is_an_error() {
        assert!(rendered("{{ nobody }}").is_err());
    }

    #[test]
    fn a_text_without_templates_is_split_at_its_variables() {
        assert_eq!(
            split("https://{{ x }}/${env.KEY}"),
            [text("https://{{ x }}/"), Piece::Variable("KEY".to_owned())]
        );
    }
}
