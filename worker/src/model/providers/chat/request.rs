//! The body of a call to the Chat Completions API. Pure.

use serde_json::{Map, Value, json};
use steadfast_crds::{AgentRevisionSpec, AgentToolSpec, agent_tool::ToolKind};

use super::messages::messages;
use crate::{
    failure::CallFailure,
    model::{
        conversation::Conversation,
        dialect::{Dialect, Habit},
        request_body::{
            BuiltRequest, RequestContext, cache_key, complete_members, effective_tool_choice, insert, instructions,
            is_omitted, serialize_body,
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
    if dialect.has(Habit::PromptCacheKey) {
        body.insert("prompt_cache_key".to_owned(), json!(cache_key(context.task_id)));
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
    insert(&mut body, token_limit(dialect), settings.max_output_tokens.as_ref());
    insert(&mut body, "temperature", settings.temperature.as_ref());
    insert(&mut body, "top_p", settings.top_p.as_ref());
    let reasoning = settings.reasoning.as_ref();
    let effort = reasoning.and_then(|reasoning| reasoning.effort.as_ref());
    insert(&mut body, "reasoning_effort", effort);
    insert(&mut body, "verbosity", settings.verbosity.as_ref());
    insert(&mut body, "service_tier", settings.service_tier.as_ref());
    let members = complete_members(context, dialect, body);
    let instructions = instructions(context, is_omitted(context, dialect, "response_format"));
    let (messages, of_messages) = messages(&instructions, &conversation.entries, dialect);
    Ok(BuiltRequest {
        body: serialize_body(context, &members, "messages", &messages)?,
        members,
        of_messages,
        simpler_past: None,
        has_earlier_attachments: false,
    })
}

/// The name of the limit of tokens: OpenAI's newer models refuse `max_tokens`, and other servers know no other name.
fn token_limit(dialect: &Dialect) -> &'static str {
    let (first, second) = if dialect.has(Habit::MaxCompletionTokens) {
        ("max_completion_tokens", "max_tokens")
    } else {
        ("max_tokens", "max_completion_tokens")
    };
    if dialect.omits(first) { second } else { first }
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

#[cfg(test)]
mod tests {
    use steadfast_crds::{model::ModelDialect, yaml};
    use url::Url;

    use super::*;
    use crate::model::{attachments::NONE, dialect::Lesson};

    fn build(settings: &str, more: &str, dialect: &Dialect) -> Result<Value, CallFailure> {
        let revision: AgentRevisionSpec = yaml::from_str(&format!(
            "{{agent: a, sequence: 1, taskQueue: q, model: {{name: m, api: ChatCompletions, settings: {settings}}}, {more}}}"
        ))
        .unwrap();
        let context = RequestContext {
            revision: &revision,
            instructions: "be brief",
            task_id: "task-1",
            step: 0,
            listed: &[],
            attachments: &NONE,
            variable: &|_| Ok(String::new()),
        };
        let built = build_request(&context, dialect, &Conversation::default())?;
        Ok(serde_json::from_slice(&built.body).unwrap())
    }

    fn any() -> Dialect {
        Dialect::default()
    }

    fn openai() -> Dialect {
        Dialect::initial(ModelDialect::OpenAI, &Url::parse("http://localhost/").unwrap())
    }

    fn omitting(path: &str) -> Dialect {
        let mut dialect = any();
        dialect.learn(&Lesson::Omit(path.to_owned()));
        dialect
    }

    #[test]
    fn settings_are_sent_under_the_names_of_the_api() {
        let settings = "{temperature: 0.5, topP: 0.9, maxOutputTokens: 100, reasoning: {effort: low, summary: auto}, verbosity: low,
            toolChoice: t, parallelToolCalls: false, serviceTier: flex, extraBody: {stream_options: null, seed: 7}}";
        let more =
            "tools: [{name: t, spec: {description: d, activity: {name: t, taskQueue: w}, parameters: {type: object}}}],
            output: {schema: {type: object}, strict: false}";
        let mut body = build(settings, more, &any()).unwrap();
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
    }

    #[test]
    fn the_limit_of_tokens_has_the_name_that_the_server_takes() {
        for (dialect, name) in [
            (any(), "max_tokens"),
            (openai(), "max_completion_tokens"),
            (omitting("max_tokens"), "max_completion_tokens"),
        ] {
            let body = build("{maxOutputTokens: 100}", "", &dialect).unwrap();
            let names = body.as_object().unwrap().keys();
            let names: Vec<&String> = names.filter(|key| key.starts_with("max_")).collect();
            assert_eq!(names, [name]);
            assert_eq!(body[name], 100);
        }
    }

    #[test]
    fn a_server_without_structured_output_is_told_the_schema() {
        let more = "output: {schema: {type: object}}";
        let body = build("{}", more, &omitting("response_format")).unwrap();
        assert_eq!(body["response_format"], Value::Null);
        let told = body["messages"][0]["content"].as_str().unwrap();
        assert!(
            told.starts_with("be brief\n\nAnswer with") && told.ends_with("{\"type\":\"object\"}"),
            "{told}"
        );
        let body = build("{omit: [response_format]}", more, &any()).unwrap();
        assert_eq!(body["messages"][0]["content"], told);
    }

    #[test]
    fn a_prompt_cache_key_is_sent_where_it_is_known() {
        assert_eq!(build("{}", "", &openai()).unwrap()["prompt_cache_key"], "task-1");
        assert_eq!(build("{}", "", &any()).unwrap()["prompt_cache_key"], Value::Null);
    }

    #[test]
    fn hosted_tools_are_refused_with_a_hint_at_the_responses_api() {
        let more = "tools: [{name: search, spec: {description: d, hosted: {type: web_search}}}]";
        let error = build("{}", more, &any()).unwrap_err();
        assert_eq!(error.category, "model_configuration");
        assert!(error.message.contains("Responses"), "{error}");
    }
}
