//! What the model may call, and whether a call it made may run.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use steadfast_core::tool_call::arguments;
use steadfast_crds::AgentRevisionSpec;

/// Errors of one call that are told to the model.
const ERROR_LIMIT: usize = 5;
/// Names listed when a call names no tool.
const NAME_LIMIT: usize = 50;

/// The tools of a revision as the Responses API wants them.
pub fn build_tools(revision: &AgentRevisionSpec) -> Vec<Value> {
    revision
        .tools
        .iter()
        .map(|tool| {
            json!({
                "type": "function",
                "name": tool.name,
                "description": tool.spec.description,
                "parameters": tool.spec.parameters,
                "strict": false,
            })
        })
        .collect()
}

/// The calls among the items that must not run, by index, and what to tell the model.
pub fn refused_calls(items: &[Value], revision: &AgentRevisionSpec) -> BTreeMap<u32, String> {
    let calls = items
        .iter()
        .enumerate()
        .filter(|(_, item)| item["type"] == "function_call");
    calls
        .filter_map(|(index, item)| Some((u32::try_from(index).ok()?, refusal(item, revision)?)))
        .collect()
}

fn refusal(item: &Value, revision: &AgentRevisionSpec) -> Option<String> {
    let name = item["name"].as_str().unwrap_or_default();
    let Some(tool) = revision.tools.iter().find(|tool| tool.name == name) else {
        let names: Vec<&str> = revision
            .tools
            .iter()
            .take(NAME_LIMIT)
            .map(|tool| tool.name.as_str())
            .collect();
        return Some(format!("there is no tool {name:?}; the tools are {names:?}"));
    };
    let arguments = match arguments(item) {
        Ok(arguments) => arguments,
        Err(error) => {
            return Some(format!(
                "the arguments are not JSON ({error}); call the tool again with valid JSON"
            ));
        }
    };
    let validator = match jsonschema::validator_for(&Value::Object(tool.spec.parameters.clone())) {
        Ok(validator) => validator,
        // The operator refuses such a schema; a tool that slipped through must not run unchecked.
        Err(error) => return Some(format!("the tool's parameter schema is invalid: {error}")),
    };
    let errors: Vec<String> = validator
        .iter_errors(&arguments)
        .take(ERROR_LIMIT)
        .map(|error| format!("{}: {}", display_path(&error.instance_path().to_string()), error))
        .collect();
    (!errors.is_empty()).then(|| format!("the arguments do not fit the tool's schema: {}", errors.join("; ")))
}

fn display_path(path: &str) -> &str {
    if path.is_empty() { "the arguments" } else { path }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn revision() -> AgentRevisionSpec {
        serde_yaml_ng::from_str(
            "
            {agent: a, sequence: 1, instructions: hi, model: {name: m}, taskQueue: q, tools: [{name: get_weather, spec: {
              description: d, activity: {name: get_weather, taskQueue: w},
              parameters: {type: object, properties: {city: {type: string}}, required: [city], additionalProperties: false}}}]}",
        )
        .unwrap()
    }

    fn call(name: &str, arguments: &str) -> Value {
        json!({"type": "function_call", "call_id": "c", "name": name, "arguments": arguments})
    }

    #[test]
    fn a_call_that_fits_may_run() {
        assert_eq!(
            refused_calls(&[call("get_weather", "{\"city\": \"Oslo\"}")], &revision()),
            BTreeMap::new()
        );
    }

    #[test]
    fn what_must_not_run_is_told_to_the_model_by_index() {
        let items = [
            json!({"type": "message"}),
            call("get_wether", "{}"),
            call("get_weather", "{\"city\": "),
            call("get_weather", "{\"city\": 3}"),
        ];
        let refused = refused_calls(&items, &revision());
        assert_eq!(
            refused[&1],
            "there is no tool \"get_wether\"; the tools are [\"get_weather\"]"
        );
        assert!(refused[&2].starts_with("the arguments are not JSON"), "{refused:?}");
        assert_eq!(
            refused[&3],
            "the arguments do not fit the tool's schema: /city: 3 is not of type \"string\""
        );
        assert_eq!(refused.len(), 3);
    }
}
