//! What the model may call, and whether what it answered may be acted on: its
//! calls against the schemas of the tools, its final answer against the form it
//! must have. Pure.

use std::{borrow::Cow, collections::BTreeMap};

use jsonschema::Validator;
use serde_json::{Map, Value, json};
use steadfast_agent_loop::tool_call::arguments;
use steadfast_contract::activities::McpTarget;
use steadfast_crds::{AgentRevisionSpec, agent_tool::ToolKind};

/// Errors of one call that are told to the model.
const ERROR_LIMIT: usize = 5;
/// Longest text of one of them; it may quote what the model wrote.
const ERROR_LIMIT_BYTES: usize = 300;
/// Names listed when a call names no tool.
const NAME_LIMIT: usize = 50;

/// A tool of an MCP server, as it was listed for one model call.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedTool {
    /// What the model calls it by.
    pub function: String,
    pub description: String,
    /// JSON Schema of the arguments.
    pub parameters: Map<String, Value>,
    /// Name of the server's AgentTool in the revision.
    pub server: String,
    /// Name of the tool at the server.
    pub tool: String,
}

/// A function as the model is told of it, whatever the API.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionTool<'a> {
    pub name: &'a str,
    pub description: &'a str,
    pub parameters: Cow<'a, Map<String, Value>>,
    runs: Runs<'a>,
}

/// What a call of a function comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Runs<'a> {
    Tool,
    Agent,
    Handoff,
    Mcp(&'a ListedTool),
}

/// What judging an answer's calls gives, by index of the item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Calls that must not run, and what to tell the model.
    pub refused: BTreeMap<u32, String>,
    /// Calls that go to an MCP server.
    pub mcp: BTreeMap<u32, McpTarget>,
}

/// The functions of a revision, always in the same order, so that providers can cache the prompt.
/// The tools of MCP servers come last: those may be away. Of two with one name the first counts.
pub fn function_tools<'a>(revision: &'a AgentRevisionSpec, listed: &'a [ListedTool]) -> Vec<FunctionTool<'a>> {
    let own = revision.tools.iter().filter(|tool| is_callable(tool.spec.kind()));
    let own = own.map(|tool| FunctionTool {
        name: &tool.name,
        description: &tool.spec.description,
        parameters: Cow::Borrowed(&tool.spec.parameters),
        runs: Runs::Tool,
    });
    let agents = revision.agents.iter().map(|agent| FunctionTool {
        name: &agent.name,
        description: &agent.description,
        parameters: Cow::Owned(one_input()),
        runs: Runs::Agent,
    });
    let handoffs = revision.handoffs.iter().map(|handoff| FunctionTool {
        name: &handoff.name,
        description: &handoff.description,
        parameters: Cow::Owned(no_input()),
        runs: Runs::Handoff,
    });
    let mut listed: Vec<&ListedTool> = listed.iter().collect();
    listed.sort_by(|one, other| (&one.server, &one.function).cmp(&(&other.server, &other.function)));
    let listed = listed.into_iter().map(|tool| FunctionTool {
        name: &tool.function,
        description: &tool.description,
        parameters: Cow::Borrowed(&tool.parameters),
        runs: Runs::Mcp(tool),
    });
    let mut functions: Vec<FunctionTool<'a>> = Vec::new();
    for function in own.chain(agents).chain(handoffs).chain(listed) {
        if functions.iter().all(|known| known.name != function.name) {
            functions.push(function);
        }
    }
    functions
}

fn is_callable(kind: Option<ToolKind<'_>>) -> bool {
    match kind {
        Some(
            ToolKind::Activity(_) | ToolKind::Steps(_) | ToolKind::Http(_) | ToolKind::Human(_) | ToolKind::Workflow(_),
        ) => true,
        Some(ToolKind::Mcp(_) | ToolKind::Hosted(_)) | None => false,
    }
}

fn one_input() -> Map<String, Value> {
    let input =
        json!({"type": "string", "minLength": 1, "description": "What to ask, with all that is needed to answer."});
    Map::from_iter([
        ("type".to_owned(), json!("object")),
        ("properties".to_owned(), json!({"input": input})),
        ("required".to_owned(), json!(["input"])),
        ("additionalProperties".to_owned(), json!(false)),
    ])
}

fn no_input() -> Map<String, Value> {
    Map::from_iter([
        ("type".to_owned(), json!("object")),
        ("properties".to_owned(), json!({})),
        ("additionalProperties".to_owned(), json!(false)),
    ])
}

/// Judges the calls of an answer.
pub fn judge(items: &[Value], revision: &AgentRevisionSpec, listed: &[ListedTool]) -> Judged {
    let functions = function_tools(revision, listed);
    let mut judge = Judge {
        functions: &functions,
        validators: BTreeMap::new(),
        handoff: None,
    };
    let mut judged = Judged::default();
    for (index, item) in (0..).zip(items) {
        if item["type"] != "function_call" {
            continue;
        }
        match judge.call(item) {
            Ok(Runs::Mcp(tool)) => {
                let target = McpTarget {
                    server: tool.server.clone(),
                    tool: tool.tool.clone(),
                };
                judged.mcp.insert(index, target);
            }
            Ok(Runs::Tool | Runs::Agent | Runs::Handoff) => {}
            Err(reason) => {
                judged.refused.insert(index, reason);
            }
        }
    }
    judged
}

struct Judge<'a> {
    functions: &'a [FunctionTool<'a>],
    validators: BTreeMap<&'a str, Result<Validator, String>>,
    /// The handoff that was called first.
    handoff: Option<&'a str>,
}

impl<'a> Judge<'a> {
    /// What a call comes to, or what to tell the model instead.
    fn call(&mut self, item: &Value) -> Result<Runs<'a>, String> {
        let name = item["name"].as_str().unwrap_or_default();
        let Some(function) = self.functions.iter().find(|function| function.name == name) else {
            let names: Vec<&str> = self.functions.iter().take(NAME_LIMIT).map(|known| known.name).collect();
            return Err(format!("there is no tool {:?}; the tools are {names:?}", cut(name)));
        };
        if function.runs == Runs::Handoff {
            // It has no arguments; what a model writes there all the same does not matter.
            if let Some(first) = self.handoff {
                return Err(format!("only one agent can take over, and {first} was called first"));
            }
            self.handoff = Some(function.name);
            return Ok(function.runs);
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
            // The operator refuses such a schema; a tool that slipped through must not run unchecked.
            .map_err(|error| format!("the tool's parameter schema is invalid: {error}"))?;
        let errors = errors(validator, &arguments, "the arguments");
        if !errors.is_empty() {
            return Err(format!("the arguments do not fit the tool's schema: {errors}"));
        }
        let is_blank = arguments["input"].as_str().is_none_or(|input| input.trim().is_empty());
        if function.runs == Runs::Agent && is_blank {
            return Err("the argument input must say what to ask".to_owned());
        }
        Ok(function.runs)
    }
}

/// Why a final answer does not have the form that the revision wants; none when it has, and while tools are called.
pub fn check_output(items: &[Value], revision: &AgentRevisionSpec) -> Option<String> {
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
    let answer: Value = match serde_json::from_str(&text) {
        Ok(answer) => answer,
        Err(error) => {
            return Some(format!(
                "the answer is not JSON ({error}); answer with JSON that fits the schema and nothing else"
            ));
        }
    };
    match compile(&output.schema) {
        Ok(validator) => {
            let errors = errors(&validator, &answer, "the answer");
            (!errors.is_empty()).then(|| format!("the answer does not fit the schema: {errors}"))
        }
        Err(error) => Some(format!("the agent's output schema is invalid: {error}")),
    }
}

fn compile(schema: &Map<String, Value>) -> Result<Validator, String> {
    jsonschema::validator_for(&Value::Object(schema.clone())).map_err(|error| cut(&error.to_string()).to_owned())
}

/// What does not fit, bounded; empty when everything does.
fn errors(validator: &Validator, instance: &Value, whole: &str) -> String {
    let errors: Vec<String> = validator
        .iter_errors(instance)
        .take(ERROR_LIMIT)
        .map(|error| {
            let path = error.instance_path().to_string();
            let path = if path.is_empty() { whole } else { &path };
            cut(&format!("{path}: {error}")).to_owned()
        })
        .collect();
    errors.join("; ")
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(ERROR_LIMIT_BYTES)]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn revision() -> AgentRevisionSpec {
        serde_yaml_ng::from_str(
            "
            {agent: a, sequence: 1, instructions: hi, model: {name: m}, taskQueue: q, tools: [
              {name: get_weather, spec: {description: d, activity: {name: get_weather, taskQueue: w},
                parameters: {type: object, properties: {city: {type: string}}, required: [city], additionalProperties: false}}},
              {name: docs, spec: {description: d, mcp: {url: 'http://mcp'}}},
              {name: web, spec: {description: d, hosted: {type: web_search}}}],
             agents: [{name: ask_bob, agent: bob, taskQueue: b}],
             handoffs: [{name: transfer_to_eve, agent: eve, taskQueue: e}, {name: transfer_to_dan, agent: dan, taskQueue: d}],
             output: {schema: {type: object, properties: {n: {type: integer}}, required: [n]}}}",
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
        judge(items, &revision(), &[]).refused
    }

    #[test]
    fn functions_have_one_order_and_one_name_each() {
        let revision = revision();
        let listed = [listed("z"), listed("ask_bob"), listed("b")];
        let functions = function_tools(&revision, &listed);
        let names: Vec<&str> = functions.iter().map(|function| function.name).collect();
        assert_eq!(
            names,
            ["get_weather", "ask_bob", "transfer_to_eve", "transfer_to_dan", "b", "z"]
        );
        assert_eq!(functions[1].runs, Runs::Agent);
    }

    #[test]
    fn a_call_that_fits_may_run() {
        let items = [
            call("get_weather", "{\"city\": \"Oslo\"}"),
            call("ask_bob", "{\"input\": \"why?\"}"),
            call("transfer_to_eve", ""),
        ];
        assert_eq!(judge(&items, &revision(), &[]), Judged::default());
    }

    #[test]
    fn what_must_not_run_is_told_to_the_model_by_index() {
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
    fn only_one_agent_takes_over() {
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
    fn a_call_of_a_listed_tool_knows_its_server() {
        let items = [call("lookup", "{\"x\": 1}"), call("lookup", "{}")];
        let judged = judge(&items, &revision(), &[listed("lookup")]);
        let target = McpTarget {
            server: "docs".into(),
            tool: "original".into(),
        };
        assert_eq!(judged.mcp, BTreeMap::from([(0, target)]));
        assert_eq!(judged.refused.keys().collect::<Vec<_>>(), [&1]);
    }

    #[test]
    fn what_a_model_wrote_is_quoted_in_bounds() {
        let items = [call(
            "get_weather",
            &json!({"city": [("x").repeat(10_000)]}).to_string(),
        )];
        assert!(refused(&items)[&0].len() < 500);
    }

    #[test]
    fn a_final_answer_must_have_its_form() {
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
