//! Templates of users, rendered with a limit on the work they may cause.
//! `${env.NAME}` is a value of the environment; it is put in as data, so that
//! neither a secret nor a model's argument is ever read as a template.

use std::collections::BTreeMap;

use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

/// Instructions a template may execute.
const FUEL: u64 = 100_000;
/// Under which the environment's values are found in the context.
const ENVIRONMENT: &str = "__environment";

#[derive(Debug, thiserror::Error)]
#[error("render the template")]
pub struct RenderError(#[source] minijinja::Error);

/// Renders a template over a context.
pub fn render(source: &str, context: impl Serialize) -> Result<String, RenderError> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment
        .render_str(source, minijinja::value::Serde(context))
        .map_err(RenderError)
}

/// Renders a template over a tool call's arguments and the variables it names.
pub fn render_call(
    source: &str,
    arguments: &serde_json::Map<String, serde_json::Value>,
    variables: &BTreeMap<String, String>,
) -> Result<String, RenderError> {
    let mut rewritten = source.to_owned();
    for name in variables.keys() {
        rewritten = rewritten.replace(
            &format!("${{env.{name}}}"),
            &format!("{{{{ {ENVIRONMENT}[\"{name}\"] }}}}"),
        );
    }
    let mut context = arguments.clone();
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

    fn arguments(value: serde_json::Value) -> serde_json::Map<String, serde_json::Value> {
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
