//! The body of a call to the Chat Completions API. Pure.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};
use steadfast_agent_loop::{CallKind, Item};
use steadfast_crds::{AgentRevisionSpec, AgentToolSpec, agent_tool::ToolKind};

use crate::{
    failure::CallFailure,
    model::request_body::{RequestContext, effective_tool_choice, insert, is_openai, serialize_body},
    tools::functions::{FunctionTool, function_tools},
};

/// Builds the body from the items of the conversation.
pub(crate) fn build_request(context: &RequestContext<'_>, items: &[Item<'_>]) -> Result<Bytes, CallFailure> {
    let revision = context.revision;
    if let Some(tool) = hosted_tool(revision) {
        return Err(CallFailure::permanent(
            "model_configuration",
            format!("the hosted tool {tool:?} needs model.api Responses; Chat Completions has no hosted tools"),
        ));
    }
    let settings = &revision.model.settings;
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(revision.model.name));
    body.insert("stream".to_owned(), json!(true));
    body.insert("stream_options".to_owned(), json!({"include_usage": true}));
    if is_openai(context.base_url) {
        body.insert("prompt_cache_key".to_owned(), json!(context.task_id));
    }
    let tools = function_tools(revision, context.listed);
    if !tools.is_empty() {
        if let Some(choice) = effective_tool_choice(context, &tools) {
            body.insert("tool_choice".to_owned(), tool_choice(choice));
        }
        insert(&mut body, "parallel_tool_calls", settings.parallel_tool_calls.as_ref());
        let tools: Vec<Value> = tools.iter().map(tool).collect();
        body.insert("tools".to_owned(), Value::Array(tools));
    }
    if let Some(output) = &revision.output {
        let schema = json!({"name": "output", "schema": output.schema, "strict": output.strict});
        body.insert(
            "response_format".to_owned(),
            json!({"type": "json_schema", "json_schema": schema}),
        );
    }
    // OpenAI's reasoning models refuse `max_tokens`; other servers know no other name.
    let limit = if is_openai(context.base_url) {
        "max_completion_tokens"
    } else {
        "max_tokens"
    };
    insert(&mut body, limit, settings.max_output_tokens.as_ref());
    insert(&mut body, "temperature", settings.temperature.as_ref());
    insert(&mut body, "top_p", settings.top_p.as_ref());
    let reasoning = settings.reasoning.as_ref();
    let effort = reasoning.and_then(|reasoning| reasoning.effort.as_ref());
    insert(&mut body, "reasoning_effort", effort);
    insert(&mut body, "verbosity", settings.verbosity.as_ref());
    insert(&mut body, "service_tier", settings.service_tier.as_ref());
    let messages = messages(context.instructions, items);
    serialize_body(body, "messages", &messages, &settings.extra_body)
}

fn hosted_tool(revision: &AgentRevisionSpec) -> Option<&str> {
    let hosted = |spec: &AgentToolSpec| matches!(spec.kind(), Some(ToolKind::Hosted(_)));
    let mut tools = revision.tools.iter();
    tools.find(|tool| hosted(&tool.spec)).map(|tool| tool.name.as_str())
}

fn tool(tool: &FunctionTool<'_>) -> Value {
    json!({"type": "function", "function": {
        "name": tool.name, "description": tool.description, "parameters": tool.parameters}})
}

fn tool_choice(choice: &str) -> Value {
    match choice {
        "auto" | "none" | "required" => json!(choice),
        name => json!({"type": "function", "function": {"name": name}}),
    }
}

/// The text and the tool calls of one response become one message, in any order. Reasoning and hosted tool calls are
/// dropped: the API has no form for them.
fn messages<'a>(instructions: &'a str, items: &'a [Item<'_>]) -> Vec<Message<'a>> {
    let mut messages = Vec::new();
    if !instructions.is_empty() {
        messages.push(Message::text("system", Cow::Borrowed(instructions)));
    }
    for item in items {
        let item = match item {
            Item::Said(item) => item,
            // This API has no form for it.
            Item::Output(output) if output.kind == CallKind::McpApproval => continue,
            Item::Output(output) => {
                messages.push(Message {
                    tool_call_id: Some(&output.call_id),
                    ..Message::new("tool", Content::Json(output.text_json()))
                });
                continue;
            }
        };
        match (item["type"].as_str(), item["role"].as_str()) {
            (Some("function_call"), _) => assistant(&mut messages).tool_calls.push(call(item)),
            (Some("message") | None, Some("assistant")) => {
                let content = &mut assistant(&mut messages).content;
                let text = text_of(&item["content"]);
                *content = Some(Content::Text(match content.take() {
                    Some(Content::Text(before)) => Cow::Owned(format!("{before}\n\n{text}")),
                    Some(Content::Json(_)) | None => text,
                }));
            }
            (Some("message") | None, Some("user")) => messages.push(Message::text("user", text_of(&item["content"]))),
            (Some("message") | None, Some(_)) => messages.push(Message::text("system", text_of(&item["content"]))),
            _ => {}
        }
    }
    messages
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    /// Null in a message with tool calls only: some servers require the member.
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
    /// JSON text of a string.
    Json(&'a RawValue),
}

impl<'a> Message<'a> {
    fn new(role: &'static str, content: Content<'a>) -> Self {
        Self {
            role,
            content: Some(content),
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }

    fn text(role: &'static str, text: Cow<'a, str>) -> Self {
        Self::new(role, Content::Text(text))
    }
}

/// The last message if it is the assistant's, else a new one.
fn assistant<'m, 'a>(messages: &'m mut Vec<Message<'a>>) -> &'m mut Message<'a> {
    let open = messages.last().is_some_and(|message| message.role == "assistant");
    let index = if open { messages.len() - 1 } else { messages.len() };
    if !open {
        messages.push(Message {
            content: None,
            ..Message::text("assistant", Cow::Borrowed(""))
        });
    }
    &mut messages[index]
}

fn call(item: &Value) -> Value {
    let arguments = match &item["arguments"] {
        Value::String(text) if !text.trim().is_empty() => text.clone(),
        Value::String(_) | Value::Null => "{}".to_owned(),
        other => other.to_string(),
    };
    json!({"id": item["call_id"], "type": "function", "function": {"name": item["name"], "arguments": arguments}})
}

fn text_of(content: &Value) -> Cow<'_, str> {
    match content {
        Value::String(text) => Cow::Borrowed(text),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str().or_else(|| part["refusal"].as_str()))
            .collect(),
        Value::Null => Cow::Borrowed(""),
        other => Cow::Owned(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use steadfast_agent_loop::{ModelText, ToolOutput};
    use url::Url;

    use super::*;

    fn build(settings: &str, more: &str, url: &str, items: &[Value]) -> Result<Value, CallFailure> {
        let revision: AgentRevisionSpec = serde_yaml_ng::from_str(&format!(
            "{{agent: a, sequence: 1, taskQueue: q, model: {{name: m, api: ChatCompletions, settings: {settings}}}, {more}}}"
        ))
        .unwrap();
        let context = RequestContext {
            revision: &revision,
            instructions: "be brief",
            task_id: "task-1",
            step: 0,
            base_url: &Url::parse(url).unwrap(),
            listed: &[],
            variable: &|_| Ok(String::new()),
        };
        let output = |item: &Value| ToolOutput {
            call_id: item["call_id"].as_str().unwrap().to_owned(),
            name: "t".to_owned(),
            kind: CallKind::Function,
            content: item["output"].clone(),
            is_error: false,
            text: ModelText::default(),
        };
        let outputs: Vec<Option<ToolOutput>> = items
            .iter()
            .map(|item| (item["type"] == "function_call_output").then(|| output(item)))
            .collect();
        let items: Vec<Item<'_>> = items
            .iter()
            .zip(&outputs)
            .map(|(item, output)| match output {
                Some(output) => Item::Output(output),
                None => Item::Said(Cow::Borrowed(item)),
            })
            .collect();
        build_request(&context, &items).map(|body| serde_json::from_slice(&body).unwrap())
    }

    const LOCAL: &str = "http://localhost:8000/v1";

    #[test]
    fn a_conversation_becomes_messages() {
        let items = [
            json!({"role": "user", "content": "weather?"}),
            json!({"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}),
            json!({"type": "function_call", "call_id": "c1", "name": "t", "arguments": "{\"a\":1}"}),
            json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]}),
            json!({"type": "function_call", "call_id": "c2", "name": "t", "arguments": ""}),
            json!({"type": "function_call_output", "call_id": "c1", "output": "warm"}),
            json!({"type": "function_call_output", "call_id": "c2", "output": "cold"}),
            json!({"role": "developer", "content": "answer in JSON"}),
        ];
        let body = build("{}", "", LOCAL, &items).unwrap();
        let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "t", "arguments": arguments}});
        assert_eq!(
            body,
            json!({"model": "m", "stream": true, "stream_options": {"include_usage": true}, "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": "weather?"},
                {"role": "assistant", "content": "I look.", "tool_calls": [call("c1", "{\"a\":1}"), call("c2", "{}")]},
                {"role": "tool", "content": "warm", "tool_call_id": "c1"},
                {"role": "tool", "content": "cold", "tool_call_id": "c2"},
                {"role": "system", "content": "answer in JSON"},
            ]})
        );
    }

    #[test]
    fn a_message_that_only_calls_tools_has_no_content() {
        let items = [json!({"type": "function_call", "call_id": "c1", "name": "t", "arguments": "{}"})];
        let body = build("{}", "", LOCAL, &items).unwrap();
        assert_eq!(body["messages"][1]["content"], Value::Null);
        assert!(body["messages"][1].as_object().unwrap().contains_key("content"));
    }

    #[test]
    fn settings_are_sent_under_the_names_of_the_api() {
        let settings = "{temperature: 0.5, topP: 0.9, maxOutputTokens: 100, reasoning: {effort: low, summary: auto}, verbosity: low,
            toolChoice: t, parallelToolCalls: false, serviceTier: flex, extraBody: {stream_options: null, seed: 7}}";
        let more =
            "tools: [{name: t, spec: {description: d, activity: {name: t, taskQueue: w}, parameters: {type: object}}}],
            output: {schema: {type: object}, strict: false}";
        let mut body = build(settings, more, LOCAL, &[]).unwrap();
        body.as_object_mut().unwrap().remove("messages");
        let function = json!({"name": "t", "description": "d", "parameters": {"type": "object"}});
        assert_eq!(
            body,
            json!({"model": "m", "stream": true, "temperature": 0.5, "top_p": 0.9, "max_tokens": 100,
                "reasoning_effort": "low", "verbosity": "low", "service_tier": "flex", "seed": 7,
                "parallel_tool_calls": false, "tool_choice": {"type": "function", "function": {"name": "t"}},
                "tools": [{"type": "function", "function": function}],
                "response_format": {"type": "json_schema",
                    "json_schema": {"name": "output", "schema": {"type": "object"}, "strict": false}}})
        );
        let openai = build("{maxOutputTokens: 100}", "", "https://api.openai.com/v1", &[]).unwrap();
        assert_eq!(openai["max_completion_tokens"], 100);
        assert_eq!(openai["max_tokens"], Value::Null);
    }

    #[test]
    fn hosted_tools_are_refused_with_a_hint_at_the_responses_api() {
        let more = "tools: [{name: search, spec: {description: d, hosted: {type: web_search}}}]";
        let error = build("{}", more, LOCAL, &[]).unwrap_err();
        assert_eq!(error.category, "model_configuration");
        assert!(error.message.contains("Responses"), "{error}");
    }
}
