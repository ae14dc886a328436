//! Renders the templates of users, with a limit on their work. `${env.NAME}` is a
//! variable of the template: neither a secret nor an argument of the model is
//! ever read as a template. Pure.

use std::collections::BTreeMap;

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, value::Serde};
use serde::Serialize;
use serde_json::Value;
use steadfast_crds::environment::try_expand;

/// Limit for the instructions that a template executes.
const FUEL: u64 = 100_000;
/// The variable of the template that holds the values of the environment.
const ENVIRONMENT: &str = "__environment";

#[derive(Debug, thiserror::Error)]
#[error("render the template")]
pub(crate) struct RenderError(#[source] minijinja::Error);

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

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment
}

/// Renders a template with a scope (the arguments of a tool call) and the environment variables that it names.
pub(crate) fn render_call(
    source: &str,
    scope: &serde_json::Map<String, Value>,
    variables: &BTreeMap<String, String>,
) -> Result<String, RenderError> {
    let template = try_expand(source, |name| {
        Ok::<_, RenderError>(format!("{{{{ {ENVIRONMENT}[\"{name}\"] }}}}"))
    })?;
    let mut context = scope.clone();
    context.insert(
        ENVIRONMENT.to_owned(),
        serde_json::to_value(variables).unwrap_or_default(),
    );
    render(&template, context)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn arguments(value: Value) -> serde_json::Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn an_argument_of_the_model_is_not_expanded() {
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
    fn a_secret_that_names_another_variable_is_rendered_as_it_is() {
        let variables = [("A", "${env.B}"), ("B", "b")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let rendered = render_call("${env.A} ${env.B}", &arguments(json!({})), &BTreeMap::from(variables));
        assert_eq!(rendered.unwrap(), "${env.B} b");
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
