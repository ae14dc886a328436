//! Renders the templates of users, with a limit on their work. Pure.

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, value::Serde};
use serde::Serialize;
use serde_json::Value;
use steadfast_bounds::{OutOfBounds, template};

/// Limit for the instructions that a template executes.
const FUEL: u64 = 100_000;

#[derive(Debug, thiserror::Error)]
pub(crate) enum RenderError {
    #[error("the template cannot be used")]
    OutOfBounds(#[from] OutOfBounds),
    #[error("render the template")]
    Render(#[from] minijinja::Error),
}

/// Renders a template with the variables of a context.
pub(crate) fn render(source: &str, context: impl Serialize) -> Result<String, RenderError> {
    template::parse_with(source, |source| environment().render_str(source, Serde(context)))?
        .map_err(RenderError::Render)
}

/// Renders a template to JSON. A template of one expression keeps the type of the expression; any other template
/// gives a string.
pub(crate) fn render_value(source: &str, context: impl Serialize) -> Result<Value, RenderError> {
    template::check(source)?;
    let environment = environment();
    let trimmed = source.trim();
    let inside = trimmed.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    // A text such as `{{ a }} and {{ b }}` has the braces of one expression and does not compile as one.
    let expression = inside.and_then(|inside| environment.compile_expression(inside).ok());
    let Some(expression) = expression else {
        return render(source, context).map(Value::String);
    };
    let value = expression.eval(Serde(context))?;
    if value.is_undefined() {
        let undefined = minijinja::Error::new(ErrorKind::UndefinedError, format!("{trimmed} has no value"));
        return Err(undefined.into());
    }
    serde_json::to_value(&value)
        .map_err(|error| minijinja::Error::new(ErrorKind::BadSerialization, error.to_string()).into())
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
    template::parse_with(source, |source| environment.render_str(source, context))?.map_err(RenderError::Render)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_out_of_bounds_is_refused_before_it_is_parsed() {
        let levels = template::MAXIMUM_NESTING + 1;
        let deep = format!("{{{{ {}1{} }}}}", "(".repeat(levels), ")".repeat(levels));
        assert!(matches!(render(&deep, json!({})), Err(RenderError::OutOfBounds(_))));
        assert!(matches!(
            render_value(&deep, json!({})),
            Err(RenderError::OutOfBounds(_))
        ));
    }

    #[test]
    fn the_largest_templates_within_the_bounds_are_rendered() {
        let nested = |levels: usize| format!("{{{{ {}1{} }}}}", "(".repeat(levels), ")".repeat(levels));
        assert_eq!(render(&nested(template::MAXIMUM_NESTING), json!({})).unwrap(), "1");
        let sum = format!("{{{{ 1{} }}}}", "+1".repeat(template::MAXIMUM_TOKENS / 2 - 1));
        assert_eq!(render(&sum, json!({})).unwrap(), "256");
        let blocks = template::MAXIMUM_BLOCKS;
        let conditions = format!("{}x{}", "{% if true %}".repeat(blocks), "{% endif %}".repeat(blocks));
        assert_eq!(render(&conditions, json!({})).unwrap(), "x");
        let branches = format!("{{% if false %}}{}{{% endif %}}", "{% elif false %}".repeat(blocks - 1));
        assert_eq!(render(&branches, json!({})).unwrap(), "");
    }

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
