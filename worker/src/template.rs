//! Renders the templates of users, with a limit on their work. Pure.

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, value::Serde};
use serde::Serialize;
use serde_json::Value;

/// Limit for the instructions that a template executes.
const FUEL: u64 = 100_000;

#[derive(Debug, thiserror::Error)]
#[error("render the template")]
pub(crate) struct RenderError(#[from] minijinja::Error);

/// Renders a template with the variables of a context.
pub(crate) fn render(source: &str, context: impl Serialize) -> Result<String, RenderError> {
    environment().render_str(source, Serde(context)).map_err(RenderError)
}

/// Renders a template to JSON. A template of one expression keeps the type of the expression; any other template
/// gives a string.
pub(crate) fn render_value(source: &str, context: impl Serialize) -> Result<Value, RenderError> {
    let environment = environment();
    let trimmed = source.trim();
    let inside = trimmed.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    // A text such as `{{ a }} and {{ b }}` has the braces of one expression and does not compile as one.
    let expression = inside.and_then(|inside| environment.compile_expression(inside).ok());
    let Some(expression) = expression else {
        return render(source, context).map(Value::String);
    };
    let value = expression.eval(Serde(context)).map_err(RenderError)?;
    if value.is_undefined() {
        let undefined = minijinja::Error::new(ErrorKind::UndefinedError, format!("{trimmed} has no value"));
        return Err(RenderError(undefined));
    }
    serde_json::to_value(&value)
        .map_err(|error| RenderError(minijinja::Error::new(ErrorKind::BadSerialization, error.to_string())))
}

/// The limits of every template.
pub(crate) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment
}

/// Renders a template in an environment of its own filters and formatter.
pub(crate) fn render_with(
    environment: &Environment<'_>,
    source: &str,
    context: impl Into<minijinja::Value>,
) -> Result<String, RenderError> {
    environment.render_str(source, context).map_err(RenderError)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_unknown_variable_is_an_error() {
        assert!(render("{{ nobody }}", json!({})).is_err());
    }

    #[test]
    fn one_expression_keeps_its_type_and_mixed_text_is_a_string() {
        let scope = json!({"amount": 12, "to": {"iban": "DE1"}, "note": "hi", "none": null});
        let cases = [
            ("{{ amount }}", json!(12)),
            (" {{ amount * 2 }}\n", json!(24)),
            ("{{ to }}", json!({"iban": "DE1"})),
            ("{{ none }}", json!(null)),
            ("{{ amount > 10 }}", json!(true)),
            ("{{ '}}' }}", json!("}}")),
            ("{{ amount }} EUR", json!("12 EUR")),
            ("{{ amount }}{{ note }}", json!("12hi")),
            ("{{ note | upper }}", json!("HI")),
            ("plain", json!("plain")),
            ("", json!("")),
        ];
        for (source, expected) in cases {
            assert_eq!(render_value(source, &scope).unwrap(), expected, "{source}");
        }
    }

    #[test]
    fn an_expression_without_a_value_is_an_error() {
        assert!(render_value("{{ nobody }}", json!({})).is_err());
        assert!(render_value("{{ somebody.name }}", json!({"somebody": {}})).is_err());
    }

    #[test]
    fn a_template_without_an_end_is_stopped() {
        assert!(
            render(
                "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
                json!({})
            )
            .is_err()
        );
    }
}
