//! The body of a call to the Responses API. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use steadfast_crds::{
    AgentRevisionSpec,
    agent_tool::{HostedTool, ToolKind},
    environment::try_expand,
};

use crate::{
    failure::CallFailure,
    model::{
        conversation::Conversation,
        dialect::Dialect,
        request_body::{
            BuiltRequest, RequestContext, Variable, cache_key, complete_members, effective_tool_choice,
            hosted_tool_type, insert, instructions, is_omitted, serialize_body,
        },
    },
    tools::functions::{FunctionTool, function_tools},
};

/// Builds the body from the conversation.
pub(crate) fn build_request(
    context: &RequestContext<'_>,
    dialect: &Dialect,
    conversation: &Conversation<'_>,
) -> Result<BuiltRequest, CallFailure> {
    let model = &context.revision.model;
    let settings = &model.settings;
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(model.name));
    let is_told = ["text", "text.format"]
        .iter()
        .any(|path| is_omitted(context, dialect, path));
    body.insert("instructions".to_owned(), json!(instructions(context, is_told)));
    body.insert("stream".to_owned(), json!(true));
    // The provider stores nothing: the conversation is in Temporal's history. So reasoning must come whole, encrypted.
    // Models that do not reason refuse the request for it once.
    body.insert("store".to_owned(), json!(false));
    body.insert("include".to_owned(), json!(["reasoning.encrypted_content"]));
    body.insert("prompt_cache_key".to_owned(), json!(cache_key(context.task_id)));
    insert_tools(&mut body, context)?;
    insert(&mut body, "temperature", settings.temperature.as_ref());
    insert(&mut body, "top_p", settings.top_p.as_ref());
    insert(&mut body, "max_output_tokens", settings.max_output_tokens.as_ref());
    insert(&mut body, "reasoning", settings.reasoning.as_ref());
    insert(&mut body, "truncation", settings.truncation.as_ref());
    insert(&mut body, "service_tier", settings.service_tier.as_ref());
    let mut text = Map::new();
    if let Some(output) = &context.revision.output {
        let format = json!({"type": "json_schema", "name": "output", "schema": output.schema, "strict": output.strict});
        text.insert("format".to_owned(), format);
    }
    insert(&mut text, "verbosity", settings.verbosity.as_ref());
    if !text.is_empty() {
        body.insert("text".to_owned(), Value::Object(text));
    }
    let members = complete_members(context, dialect, body);
    Ok(BuiltRequest {
        body: serialize_body(context, &members, "input", &conversation.entries)?,
        members,
        of_messages: BTreeSet::new(),
        simpler_past: None,
        has_earlier_attachments: false,
    })
}

fn insert_tools(body: &mut Map<String, Value>, context: &RequestContext<'_>) -> Result<(), CallFailure> {
    let functions = function_tools(context.revision, context.listed);
    let choice = effective_tool_choice(context, &functions).map(|choice| tool_choice(choice, context.revision));
    let mut tools: Vec<Value> = functions.iter().map(function).collect();
    for tool in hosted_tools(context.revision) {
        tools.push(hosted(tool, context.variable)?);
    }
    if !tools.is_empty() {
        let parallel = &context.revision.model.settings.parallel_tool_calls;
        body.insert("tools".to_owned(), Value::Array(tools));
        insert(body, "tool_choice", choice.as_ref());
        insert(body, "parallel_tool_calls", parallel.as_ref());
    }
    Ok(())
}

fn function(tool: &FunctionTool<'_>) -> Value {
    json!({
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": false,
    })
}

fn hosted_tools(revision: &AgentRevisionSpec) -> impl Iterator<Item = &HostedTool> {
    revision.tools.iter().filter_map(|tool| match tool.spec.kind() {
        Some(ToolKind::Hosted(hosted)) => Some(hosted),
        _ => None,
    })
}

fn hosted(tool: &HostedTool, variable: &Variable<'_>) -> Result<Value, CallFailure> {
    let mut body = Map::new();
    body.insert("type".to_owned(), json!(tool.tool_type));
    for (name, value) in &tool.settings {
        body.insert(name.clone(), expand_texts(value, variable)?);
    }
    Ok(Value::Object(body))
}

/// Expands `${env.NAME}` in every string of a JSON value.
fn expand_texts(value: &Value, variable: &Variable<'_>) -> Result<Value, CallFailure> {
    Ok(match value {
        Value::String(text) => Value::String(try_expand(text, variable)?),
        Value::Array(values) => Value::Array(
            values
                .iter()
                .map(|value| expand_texts(value, variable))
                .collect::<Result<_, _>>()?,
        ),
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(name, value)| Ok((name.clone(), expand_texts(value, variable)?)))
                .collect::<Result<_, CallFailure>>()?,
        ),
        other => other.clone(),
    })
}

fn tool_choice(choice: &str, revision: &AgentRevisionSpec) -> Value {
    match choice {
        "auto" | "none" | "required" => json!(choice),
        name => match hosted_tool_type(name, revision) {
            Some(tool_type) => json!({"type": tool_type}),
            None => json!({"type": "function", "name": name}),
        },
    }
}

#[cfg(test)]
mod tests;
