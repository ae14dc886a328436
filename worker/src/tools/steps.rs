//! Renders the arguments of a step, or of its compensation, from the arguments of
//! the call and the results of earlier steps. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::template::{RenderError, render_value};

/// The variables of a step's templates: each argument of the call by its name, all arguments as `args`, and the
/// results so far as `steps`.
pub(crate) fn scope(call_arguments: &Map<String, Value>, results: &BTreeMap<String, Value>) -> Map<String, Value> {
    let mut scope = call_arguments.clone();
    scope.insert("args".to_owned(), Value::Object(call_arguments.clone()));
    let results = results.iter().map(|(name, result)| (name.clone(), result.clone()));
    scope.insert("steps".to_owned(), Value::Object(results.collect()));
    scope
}

/// Renders the step's `arguments`; without any the arguments of the call.
pub(crate) fn render_arguments(
    template: &Map<String, Value>,
    call_arguments: &Map<String, Value>,
    results: &BTreeMap<String, Value>,
) -> Result<Value, RenderError> {
    if template.is_empty() {
        return Ok(Value::Object(call_arguments.clone()));
    }
    render_object(template, &scope(call_arguments, results)).map(Value::Object)
}

fn render_object(template: &Map<String, Value>, scope: &Map<String, Value>) -> Result<Map<String, Value>, RenderError> {
    template
        .iter()
        .map(|(name, value)| Ok((name.clone(), render_node(value, scope)?)))
        .collect()
}

fn render_node(template: &Value, scope: &Map<String, Value>) -> Result<Value, RenderError> {
    match template {
        Value::String(source) => render_value(source, scope),
        Value::Array(items) => items.iter().map(|item| render_node(item, scope)).collect(),
        Value::Object(fields) => render_object(fields, scope).map(Value::Object),
        other => Ok(other.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    fn results() -> BTreeMap<String, Value> {
        BTreeMap::from([("withdraw".to_owned(), json!({"receipt": 7, "lines": [1.5, 2]}))])
    }

    #[test]
    fn a_step_reads_the_arguments_of_the_call_and_earlier_results() {
        let template = object(json!({
            "amount": "{{ amount }}",
            "receipt": "{{ steps.withdraw.receipt }}",
            "first": "{{ steps['withdraw'].lines[0] }}",
            "note": "from {{ args.source }} ({{ steps.withdraw.receipt }})",
            "nested": [{"to": "{{ target }}"}, 3, true, null],
        }));
        let call = object(json!({"amount": 12, "source": "a", "target": "b"}));
        assert_eq!(
            render_arguments(&template, &call, &results()).unwrap(),
            json!({"amount": 12, "receipt": 7, "first": 1.5, "note": "from a (7)", "nested": [{"to": "b"}, 3, true, null]})
        );
    }

    #[test]
    fn a_step_without_arguments_gets_the_arguments_of_the_call() {
        let call = object(json!({"amount": 12}));
        assert_eq!(
            render_arguments(&Map::new(), &call, &results()).unwrap(),
            json!({"amount": 12})
        );
    }

    #[test]
    fn an_argument_of_the_model_is_never_read_as_a_template() {
        let template = object(json!({"note": "{{ note }}", "said": "he said {{ note }}"}));
        let call = object(json!({"note": "{{ 6 * 7 }}"}));
        assert_eq!(
            render_arguments(&template, &call, &results()).unwrap(),
            json!({"note": "{{ 6 * 7 }}", "said": "he said {{ 6 * 7 }}"})
        );
    }

    #[test]
    fn an_argument_named_steps_does_not_hide_the_results() {
        let template = object(json!({"receipt": "{{ steps.withdraw.receipt }}", "own": "{{ args.steps }}"}));
        let call = object(json!({"steps": "all"}));
        assert_eq!(
            render_arguments(&template, &call, &results()).unwrap(),
            json!({"receipt": 7, "own": "all"})
        );
    }

    #[test]
    fn a_missing_result_is_an_error() {
        let template = object(json!({"receipt": "{{ steps.deposit.receipt }}"}));
        assert!(render_arguments(&template, &Map::new(), &results()).is_err());
    }

    #[test]
    fn numbers_keep_their_precision() {
        let template = object(json!({"id": "{{ id }}", "rate": "{{ rate }}"}));
        let call = object(json!({"id": 9_007_199_254_740_993_i64, "rate": 1.0}));
        assert_eq!(
            render_arguments(&template, &call, &BTreeMap::new()).unwrap(),
            json!({"id": 9_007_199_254_740_993_i64, "rate": 1.0})
        );
    }
}
