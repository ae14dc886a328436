//! Templates of users, rendered with a limit on the work they may cause.
//! `${env.NAME}` is a value of the environment; it is put in as data, so that
//! neither a secret nor a model's argument is ever read as a template.

use std::collections::BTreeMap;

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, value::Serde};
use serde::Serialize;
use serde_json::Value;

/// Instructions a template may execute.
const FUEL: u64 = 100_000;
/// Under which the environment's values are found in the context.
const ENVIRONMENT: &str = "__environment";

#[derive(Debug, thiserror::Error)]
#[error("render the template")]
pub struct RenderError(#[source] minijinja::Error);

/// Renders a template over a context.
pub fn render(source: &str, context: impl Serialize) -> Result<String, RenderError> {
    environment().render_str(source, Serde(context)).map_err(RenderError)
}

/// Renders a template whose result is JSON: a text that is one expression and nothing else keeps the
/// expression's type, any other makes a text.
pub fn render_value(source: &str, context: impl Serialize) -> Result<Value, RenderError> {
    let environment = environment();
    let trimmed = source.trim();
    let inside = trimmed.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    // What only looks like one expression, such as `{{ a }} and {{ b }}`, does not compile as one.
    let expression = inside.and_then(|inside| environment.compile_expression(inside).ok());
    let Some(expression) = expression else {
        return render(source, context).map(Value::String);
    };
    let value = expression.eval(Serde(context)).map_err(RenderError)?;
    if value.is_undefined() {
        let nothing = minijinja::Error::new(ErrorKind::UndefinedError, format!("{trimmed} has no value"));
        return Err(RenderError(nothing));
    }
    serde_json::to_value(&value)
        .map_err(|error| RenderError(minijinja::Error::new(ErrorKind::BadSerialization, error.to_string())))
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment
}

/// Renders a template over a scope (a tool call's arguments) and the variables it names.
pub fn render_call(
    source: &str,
    scope: &serde_json::Map<String, Value>,
    variables: &BTreeMap<String, String>,
) -> Result<String, RenderError> {
    let mut rewritten = source.to_owned();
    for name in variables.keys() {
        rewritten = rewritten.replace(
            &format!("${{env.{name}}}"),
            &format!("{{{{ {ENVIRONMENT}[\"{name}\"] }}}}"),
        );
    }
    let mut context = scope.clone();
    context.insert(
        ENVIRONMENT.to_owned(),
        serde_json::to_value(variables).unwrap_or_default(),
    );
    render(&rewritten, context)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn arguments(value: Value) -> serde_json::Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_models_argument_cannot_reach_the_environment() {
        let variables = BTreeMap::from([("TOKEN".to_owned(), "s3cret".to_owned())]);
        let rendered = render_call(
            "{{ city }} ${env.TOKEN}",
            &arguments(json!({"city": "${env.TOKEN}"})),
            &variables,
        );
        assert_eq!(rendered.unwrap(), "${env.TOKEN} s3cret");
    }

    #[test]
    fn a_secret_is_never_read_as_a_template() {
        let variables = BTreeMap::from([("TOKEN".to_owned(), "{{ 1 + 1 }}".to_owned())]);
        assert_eq!(
            render_call("${env.TOKEN}", &arguments(json!({})), &variables).unwrap(),
            "{{ 1 + 1 }}"
        );
    }

    #[test]
    fn a_name_that_does_not_exist_is_an_error() {
        assert!(render("{{ nobody }}", json!({})).is_err());
    }

    #[test]
    fn one_expression_keeps_its_type_and_a_mixture_is_text() {
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
    fn an_endless_template_is_stopped() {
        assert!(
            render(
                "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
                json!({})
            )
            .is_err()
        );
    }
}
