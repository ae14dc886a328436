//! Validates a model's response: its calls against the schemas of the tools, its
//! final answer against the output schema. Pure. Blocks; call it outside of the async
//! threads.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use steadfast_agent_loop::tool_call::arguments;
use steadfast_bounds::json;
use steadfast_contract::mcp::McpTarget;
use steadfast_crds::AgentRevisionSpec;
use steadfast_json_schema::CompiledSchema;

use super::functions::{FunctionKind, FunctionTool, ListedTool, function_tools};

/// Longest text of an error; it may quote the model's own text.
const ERROR_LIMIT_BYTES: usize = 300;
/// Limit for the tool names in the message about an unknown tool.
const NAME_LIMIT: usize = 50;

/// The calls of a response after validation, by output index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CheckedCalls {
    /// The messages for the model about calls that must not run.
    pub refused: BTreeMap<u32, String>,
    /// The targets of calls that an MCP server runs.
    pub mcp: BTreeMap<u32, McpTarget>,
}

/// A response after validation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CheckedResponse {
    pub calls: CheckedCalls,
    /// Why the final answer does not fit the output schema of the revision.
    pub rejected: Option<String>,
}

/// Validates a response.
pub(crate) fn check(items: &[Value], revision: &AgentRevisionSpec, listed: &[ListedTool]) -> CheckedResponse {
    CheckedResponse {
        calls: check_calls(items, revision, listed),
        rejected: check_output(items, revision),
    }
}

/// A response that could not be validated: nothing of it may run, and an answer with a schema does not count.
pub(crate) fn unchecked(items: &[Value], revision: &AgentRevisionSpec, reason: &str) -> CheckedResponse {
    let calls = (0..).zip(items).filter(|(_, item)| item["type"] == "function_call");
    let refused: BTreeMap<u32, String> = calls
        .map(|(index, _)| (index, format!("the arguments could not be validated: {reason}")))
        .collect();
    let is_answer = refused.is_empty() && revision.output.is_some();
    CheckedResponse {
        rejected: is_answer.then(|| format!("the answer could not be validated: {reason}")),
        calls: CheckedCalls {
            refused,
            mcp: BTreeMap::new(),
        },
    }
}

/// Validates the calls of a response.
fn check_calls(items: &[Value], revision: &AgentRevisionSpec, listed: &[ListedTool]) -> CheckedCalls {
    let functions = function_tools(revision, listed);
    let mut validator = CallValidator {
        functions: &functions,
        validators: BTreeMap::new(),
        first_handoff: None,
    };
    let mut checked = CheckedCalls::default();
    for (index, item) in (0..).zip(items) {
        if item["type"] != "function_call" {
            continue;
        }
        match validator.check(item) {
            Ok(FunctionKind::Mcp(tool)) => {
                let target = McpTarget {
                    server: tool.server.clone(),
                    tool: tool.tool.clone(),
                };
                checked.mcp.insert(index, target);
            }
            Ok(FunctionKind::Tool | FunctionKind::Agent | FunctionKind::Handoff) => {}
            Err(reason) => {
                checked.refused.insert(index, reason);
            }
        }
    }
    checked
}

struct CallValidator<'a> {
    functions: &'a [FunctionTool<'a>],
    validators: BTreeMap<&'a str, Result<CompiledSchema, String>>,
    /// The handoff that the response calls first.
    first_handoff: Option<&'a str>,
}

impl<'a> CallValidator<'a> {
    /// What a call starts, or the message for the model.
    fn check(&mut self, item: &Value) -> Result<FunctionKind<'a>, String> {
        let name = item["name"].as_str().unwrap_or_default();
        let Some(function) = self.functions.iter().find(|function| function.name == name) else {
            let names: Vec<&str> = self
                .functions
                .iter()
                .take(NAME_LIMIT)
                .map(|function| function.name)
                .collect();
            return Err(format!("there is no tool {:?}; the tools are {names:?}", excerpt(name)));
        };
        if function.kind == FunctionKind::Handoff {
            // A handoff has no arguments; those that a model invents are ignored.
            if let Some(first) = self.first_handoff {
                return Err(format!("only one agent can take over, and {first} was called first"));
            }
            self.first_handoff = Some(function.name);
            return Ok(function.kind);
        }
        let arguments = arguments(item)
            .map_err(|error| format!("the arguments are not JSON ({error}); call the tool again with valid JSON"))?;
        if !arguments.is_object() {
            return Err("the arguments are not a JSON object".to_owned());
        }
        let validator = self
            .validators
            .entry(function.name)
            .or_insert_with(|| compile(&function.parameters))
            .as_ref()
            // The operator refuses such a schema. A tool that has one all the same must not run unchecked.
            .map_err(|error| format!("the tool's parameter schema is invalid: {error}"))?;
        if let Some(error) = validator.first_error(&arguments) {
            return Err(format!("the arguments do not fit the tool's schema: {error}"));
        }
        let is_blank = arguments["input"].as_str().is_none_or(|input| input.trim().is_empty());
        if function.kind == FunctionKind::Agent && is_blank {
            return Err("the argument input must say what to ask".to_owned());
        }
        Ok(function.kind)
    }
}

/// Why a final answer does not fit the output schema of the revision; none if it fits, or if the response calls tools.
fn check_output(items: &[Value], revision: &AgentRevisionSpec) -> Option<String> {
    let output = revision.output.as_ref()?;
    if items.iter().any(|item| item["type"] == "function_call") {
        return None;
    }
    let Some(message) = items.iter().rev().find(|item| item["type"] == "message") else {
        return Some("there is no answer; answer with JSON that fits the schema".to_owned());
    };
    let parts = message["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    if parts.iter().any(|part| part["type"] == "refusal") {
        return None;
    }
    let text: String = match &message["content"] {
        Value::String(text) => text.clone(),
        _ => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
    };
    let answer: Value = match json::read(text.as_bytes()) {
        Ok(answer) => answer,
        Err(error) => {
            return Some(format!(
                "the answer is not JSON ({error}); answer with JSON that fits the schema and nothing else"
            ));
        }
    };
    match compile(&output.schema) {
        Ok(schema) => {
            let error = schema.first_error(&answer)?;
            Some(format!("the answer does not fit the schema: {error}"))
        }
        Err(error) => Some(format!("the agent's output schema is invalid: {error}")),
    }
}

fn compile(schema: &Map<String, Value>) -> Result<CompiledSchema, String> {
    CompiledSchema::compile(&Value::Object(schema.clone())).map_err(|error| excerpt(&error.to_string()).to_owned())
}

fn excerpt(text: &str) -> &str {
    &text[..text.floor_char_boundary(ERROR_LIMIT_BYTES)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use steadfast_crds::yaml;

    use super::*;

    fn revision() -> AgentRevisionSpec {
        yaml::from_str(
            "
            {agent: a, sequence: 1, instructions: hi, model: {name: m}, taskQueue: q, tools: [
              {name: get_weather, spec: {description: d, activity: {name: get_weather, taskQueue: w},
                parameters: {type: object, properties: {city: {type: string}}, required: [city], additionalProperties: false}}},
              {name: docs, spec: {description: d, mcp: {url: 'http://mcp'}}},
              {name: web, spec: {description: d, hosted: {type: web_search}}}],
             agents: [{name: ask_bob, agent: bob, taskQueue: b}],
             handoffs: [{name: transfer_to_eve, agent: eve, taskQueue: e}, {name: transfer_to_dan, agent: dan, taskQueue: d}],
             output: {schema: {type: object, properties: {'n': {type: integer}}, required: ['n']}}}",
        )
        .unwrap()
    }

    fn listed(function: &str) -> ListedTool {
        ListedTool {
            function: function.into(),
            description: "listed".into(),
            parameters: serde_json::from_value(json!({"type": "object", "required": ["x"]})).unwrap(),
            server: "docs".into(),
            tool: "original".into(),
        }
    }

    fn call(name: &str, arguments: &str) -> Value {
        json!({"type": "function_call", "call_id": "c", "name": name, "arguments": arguments})
    }

    fn refused(items: &[Value]) -> BTreeMap<u32, String> {
        check_calls(items, &revision(), &[]).refused
    }

    #[test]
    fn functions_have_a_fixed_order_and_unique_names() {
        let revision = revision();
        let listed = [listed("z"), listed("ask_bob"), listed("b")];
        let functions = function_tools(&revision, &listed);
        let names: Vec<&str> = functions.iter().map(|function| function.name).collect();
        assert_eq!(
            names,
            ["get_weather", "ask_bob", "transfer_to_eve", "transfer_to_dan", "b", "z"]
        );
        assert_eq!(functions[1].kind, FunctionKind::Agent);
    }

    #[test]
    fn a_valid_call_may_run() {
        let items = [
            call("get_weather", "{\"city\": \"Oslo\"}"),
            call("ask_bob", "{\"input\": \"why?\"}"),
            call("transfer_to_eve", ""),
        ];
        assert_eq!(check_calls(&items, &revision(), &[]), CheckedCalls::default());
    }

    #[test]
    fn the_model_is_told_why_a_call_is_refused() {
        let items = [
            json!({"type": "message"}),
            call("get_wether", "{}"),
            call("get_weather", "{\"city\": "),
            call("get_weather", "{\"city\": 3}"),
            call("ask_bob", "{\"input\": \" \"}"),
            call("docs", "{}"),
            call("get_weather", "3"),
        ];
        let refused = refused(&items);
        assert_eq!(
            refused[&1],
            "there is no tool \"get_wether\"; the tools are [\"get_weather\", \"ask_bob\", \"transfer_to_eve\", \"transfer_to_dan\"]"
        );
        assert!(refused[&2].starts_with("the arguments are not JSON"), "{refused:?}");
        assert_eq!(
            refused[&3],
            "the arguments do not fit the tool's schema: /city: 3 is not of type \"string\""
        );
        assert_eq!(refused[&4], "the argument input must say what to ask");
        assert!(refused[&5].starts_with("there is no tool \"docs\""), "{refused:?}");
        assert_eq!(refused[&6], "the arguments are not a JSON object");
        assert_eq!(refused.len(), 6);
    }

    #[test]
    fn nothing_of_a_response_that_could_not_be_validated_runs() {
        let calls = unchecked(&[call("get_weather", "{}")], &revision(), "it is late");
        assert_eq!(
            (calls.calls.refused[&0].as_str(), calls.rejected),
            ("the arguments could not be validated: it is late", None)
        );
        let answer = unchecked(&[json!({"type": "message"})], &revision(), "it is late");
        assert_eq!(answer.calls, CheckedCalls::default());
        assert!(answer.rejected.is_some());
    }

    #[test]
    fn only_the_first_handoff_runs() {
        let items = [
            call("transfer_to_eve", "{}"),
            call("transfer_to_dan", "{}"),
            call("transfer_to_eve", ""),
        ];
        let refused = refused(&items);
        let reason = "only one agent can take over, and transfer_to_eve was called first";
        assert_eq!(
            refused,
            BTreeMap::from([(1, reason.to_owned()), (2, reason.to_owned())])
        );
    }

    #[test]
    fn a_call_of_a_listed_tool_has_the_target_at_its_server() {
        let items = [call("lookup", "{\"x\": 1}"), call("lookup", "{}")];
        let checked = check_calls(&items, &revision(), &[listed("lookup")]);
        let target = McpTarget {
            server: "docs".into(),
            tool: "original".into(),
        };
        assert_eq!(checked.mcp, BTreeMap::from([(0, target)]));
        assert_eq!(checked.refused.keys().collect::<Vec<_>>(), [&1]);
    }

    #[test]
    fn quoted_text_of_the_model_is_limited() {
        let items = [call(
            "get_weather",
            &json!({"city": [("x").repeat(10_000)]}).to_string(),
        )];
        assert!(refused(&items)[&0].len() < 500);
    }

    #[test]
    fn a_final_answer_must_fit_the_output_schema() {
        let said = |content: Value| [json!({"type": "message", "role": "assistant", "content": content})];
        let text = |text: &str| said(json!([{"type": "output_text", "text": text}]));
        let check = |items: &[Value]| check_output(items, &revision());
        assert_eq!(check(&text("{\"n\": 1}")), None);
        assert_eq!(
            check(&text("{\"n\": \"one\"}")).unwrap(),
            "the answer does not fit the schema: /n: \"one\" is not of type \"integer\""
        );
        assert!(check(&text("one")).unwrap().starts_with("the answer is not JSON"));
        assert!(check(&[]).is_some());
        assert_eq!(check(&said(json!([{"type": "refusal", "refusal": "no"}]))), None);
        assert_eq!(check(&[call("get_weather", "{}")]), None);
        let free = AgentRevisionSpec {
            output: None,
            ..revision()
        };
        assert_eq!(check_output(&text("one"), &free), None);
    }
}
