//! The body of a model call. Pure. What both APIs share is here, and the
//! Responses API itself.

use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value, json};
use steadfast_agent_loop::{Item, Segment};
use steadfast_crds::{
    AgentRevisionSpec, ModelSpec,
    agent_tool::{HostedTool, ToolKind},
    model::ModelApi,
};
use url::Url;

use super::{chat, conversation::items_to_send, error::ModelError};
use crate::tools::{FunctionTool, ListedTool, function_tools};

/// Gives the value of an environment variable that may be sent to the model's API.
pub type Variable<'a> = dyn Fn(&str) -> Result<String, ModelError> + Sync + 'a;

/// What a body is built from, beside the transcript.
#[derive(Clone, Copy)]
pub struct RequestContext<'a> {
    pub revision: &'a AgentRevisionSpec,
    /// The rendered system prompt.
    pub instructions: &'a str,
    pub task_id: &'a str,
    /// The model call's place in the turn.
    pub step: u32,
    pub base_url: &'a Url,
    /// The tools of MCP servers, as they were listed for this call.
    pub listed: &'a [ListedTool],
    /// For `${env.NAME}` in the settings of hosted tools.
    pub variable: &'a Variable<'a>,
}

/// Builds the body for the API that the revision names.
pub fn build_request<'a>(
    context: &RequestContext<'_>,
    transcript: impl IntoIterator<Item = &'a Segment>,
) -> Result<Bytes, ModelError> {
    let items = items_to_send(transcript, &context.revision.agent);
    match context.revision.model.api {
        ModelApi::Responses => build_responses_request(context, &items),
        ModelApi::ChatCompletions => chat::build_request(context, &items),
    }
}

fn build_responses_request(context: &RequestContext<'_>, items: &[Item<'_>]) -> Result<Bytes, ModelError> {
    let model = &context.revision.model;
    let settings = &model.settings;
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(model.name));
    body.insert("instructions".to_owned(), json!(context.instructions));
    body.insert("stream".to_owned(), json!(true));
    // The history of the conversation is ours; the provider keeps none.
    body.insert("store".to_owned(), json!(false));
    if is_openai(context.base_url) {
        // Keeps the calls of one task on one prompt cache.
        body.insert("prompt_cache_key".to_owned(), json!(context.task_id));
        if reasons(model) {
            body.insert("include".to_owned(), json!(["reasoning.encrypted_content"]));
        }
    }
    let functions = function_tools(context.revision, context.listed);
    let choice = chosen_tool(context, &functions).map(|choice| tool_choice(choice, context.revision));
    let mut tools: Vec<Value> = functions.iter().map(function).collect();
    for tool in hosted_tools(context.revision) {
        tools.push(hosted(tool, context.variable)?);
    }
    if !tools.is_empty() {
        body.insert("tools".to_owned(), Value::Array(tools));
        insert(&mut body, "tool_choice", choice.as_ref());
        insert(&mut body, "parallel_tool_calls", settings.parallel_tool_calls.as_ref());
    }
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
    write(body, "input", items, &settings.extra_body)
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

fn hosted(tool: &HostedTool, variable: &Variable<'_>) -> Result<Value, ModelError> {
    let mut body = Map::new();
    body.insert("type".to_owned(), json!(tool.tool_type));
    for (name, value) in &tool.settings {
        body.insert(name.clone(), fill(value, variable)?);
    }
    Ok(Value::Object(body))
}

/// Puts variables into the texts of a value; what they hold is not looked at again.
fn fill(value: &Value, variable: &Variable<'_>) -> Result<Value, ModelError> {
    Ok(match value {
        Value::String(text) => Value::String(fill_text(text, variable)?),
        Value::Array(values) => Value::Array(
            values
                .iter()
                .map(|value| fill(value, variable))
                .collect::<Result<_, _>>()?,
        ),
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(name, value)| Ok((name.clone(), fill(value, variable)?)))
                .collect::<Result<_, ModelError>>()?,
        ),
        other => other.clone(),
    })
}

/// Puts variables where a text names them as `${env.NAME}`.
pub(super) fn fill_text(text: &str, variable: &Variable<'_>) -> Result<String, ModelError> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${env.") {
        let Some((name, after)) = after.split_once('}') else {
            break;
        };
        filled.push_str(before);
        filled.push_str(&variable(name)?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The setting `toolChoice`, where it holds for this call. A forced call is forced once; after it the
/// model may answer. A tool whose server is away cannot be forced.
pub(super) fn chosen_tool<'a>(context: &RequestContext<'a>, functions: &[FunctionTool<'_>]) -> Option<&'a str> {
    let choice = context.revision.model.settings.tool_choice.as_deref()?;
    let holds = match choice {
        "auto" | "none" => true,
        "required" => context.step == 0,
        name => {
            let known =
                functions.iter().any(|function| function.name == name) || hosted_type(name, context.revision).is_some();
            context.step == 0 && known
        }
    };
    holds.then_some(choice)
}

fn tool_choice(choice: &str, revision: &AgentRevisionSpec) -> Value {
    match choice {
        "auto" | "none" | "required" => json!(choice),
        name => match hosted_type(name, revision) {
            Some(tool_type) => json!({"type": tool_type}),
            None => json!({"type": "function", "name": name}),
        },
    }
}

/// The provider's name of a hosted tool, which may be chosen by that name or by our own.
fn hosted_type<'a>(name: &str, revision: &'a AgentRevisionSpec) -> Option<&'a str> {
    revision.tools.iter().find_map(|tool| match tool.spec.kind() {
        Some(ToolKind::Hosted(hosted)) if tool.name == name || hosted.tool_type == name => {
            Some(hosted.tool_type.as_str())
        }
        _ => None,
    })
}

pub(super) fn is_openai(base_url: &Url) -> bool {
    base_url.host_str() == Some("api.openai.com")
}

/// OpenAI's reasoning models; others answer 400 when asked for encrypted reasoning.
fn reasons(model: &ModelSpec) -> bool {
    model.settings.reasoning.is_some()
        || ["gpt-5", "o1", "o3", "o4"]
            .iter()
            .any(|family| model.name.starts_with(family))
}

pub(super) fn insert<T: Serialize>(body: &mut Map<String, Value>, name: &str, value: Option<&T>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), json!(value));
    }
}

/// The JSON text of a body with the conversation under its name in the API. Members of `extra` win
/// over ours; null takes one of ours away.
pub(super) fn write<C: Serialize + ?Sized>(
    mut members: Map<String, Value>,
    name: &'static str,
    conversation: &C,
    extra: &Map<String, Value>,
) -> Result<Bytes, ModelError> {
    for (name, value) in extra {
        if value.is_null() {
            members.shift_remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    let conversation = (!extra.contains_key(name)).then_some((name, conversation));
    serde_json::to_vec(&RequestBody { members, conversation })
        .map(Bytes::from)
        .map_err(|error| ModelError::permanent("model_configuration", format!("write the model call as JSON: {error}")))
}

/// The conversation is long, and written from where it stands.
struct RequestBody<'a, C: ?Sized> {
    members: Map<String, Value>,
    conversation: Option<(&'static str, &'a C)>,
}

impl<C: Serialize + ?Sized> Serialize for RequestBody<'_, C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in &self.members {
            map.serialize_entry(name, value)?;
        }
        if let Some((name, conversation)) = self.conversation {
            map.serialize_entry(name, conversation)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use steadfast_agent_loop::{Body, UserContent};

    use super::*;

    fn revision(settings: &str) -> AgentRevisionSpec {
        serde_yaml_ng::from_str(&format!(
            "{{agent: a, sequence: 1, instructions: hi, taskQueue: q, model: {{name: gpt-5-mini, settings: {settings}}},
              tools: [{{name: t, spec: {{description: d, activity: {{name: t, taskQueue: w}}, parameters: {{type: object}}}}}}]}}"
        ))
        .unwrap()
    }

    fn hello() -> Segment {
        let body = Body::User {
            message_id: "m".into(),
            content: UserContent::Text("hello".into()),
        };
        Segment {
            turn: 1,
            step: 0,
            at: jiff::Timestamp::UNIX_EPOCH,
            body,
        }
    }

    fn build(settings: &str, step: u32, url: &str) -> Value {
        build_for(&revision(settings), step, url).unwrap()
    }

    fn build_for(revision: &AgentRevisionSpec, step: u32, url: &str) -> Result<Value, ModelError> {
        let context = RequestContext {
            revision,
            instructions: "be brief",
            task_id: "task-1",
            step,
            base_url: &Url::parse(url).unwrap(),
            listed: &[],
            variable: &|name| match name {
                "TOKEN" => Ok("${env.OTHER}".to_owned()),
                other => Err(ModelError::permanent("model_credentials", other)),
            },
        };
        build_request(&context, [&hello()]).map(|body| serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn the_whole_conversation_is_sent_and_nothing_is_stored() {
        assert_eq!(
            build("{}", 0, "http://localhost:11434/v1"),
            json!({
                "model": "gpt-5-mini", "instructions": "be brief", "input": [{"role": "user", "content": "hello"}],
                "stream": true, "store": false,
                "tools": [{"type": "function", "name": "t", "description": "d", "parameters": {"type": "object"}, "strict": false}],
            })
        );
    }

    #[test]
    fn encrypted_reasoning_is_asked_of_openai_only() {
        assert_eq!(
            build("{}", 0, "https://api.openai.com/v1")["include"],
            json!(["reasoning.encrypted_content"])
        );
        assert_eq!(build("{}", 0, "https://example.test/v1")["include"], Value::Null);
    }

    #[test]
    fn a_forced_tool_is_forced_once() {
        let first = build("{toolChoice: t}", 0, "http://localhost/v1");
        assert_eq!(first["tool_choice"], json!({"type": "function", "name": "t"}));
        assert_eq!(
            build("{toolChoice: t}", 1, "http://localhost/v1")["tool_choice"],
            Value::Null
        );
        assert_eq!(
            build("{toolChoice: none}", 1, "http://localhost/v1")["tool_choice"],
            json!("none")
        );
    }

    #[test]
    fn settings_are_forwarded_under_the_apis_names() {
        let body = build(
            "{temperature: 0.5, topP: 0.9, maxOutputTokens: 100, reasoning: {effort: low}, verbosity: low, truncation: auto, extraBody: {metadata: {a: b}}}",
            0,
            "http://localhost/v1",
        );
        for (name, value) in [
            ("temperature", json!(0.5)),
            ("top_p", json!(0.9)),
            ("max_output_tokens", json!(100)),
            ("truncation", json!("auto")),
            ("metadata", json!({"a": "b"})),
            ("text", json!({"verbosity": "low"})),
        ] {
            assert_eq!(body[name], value, "{name}");
        }
        assert_eq!(body["reasoning"]["effort"], "low");
    }

    #[test]
    fn a_member_of_the_body_is_taken_away_by_null() {
        let body = build("{temperature: 0.5, extraBody: {store: null}}", 0, "http://localhost/v1");
        assert!(!body.as_object().unwrap().contains_key("store"));
    }

    #[test]
    fn the_conversation_too_may_be_replaced_or_taken_away() {
        let body = build("{extraBody: {input: other}}", 0, "http://localhost/v1");
        assert_eq!(body["input"], "other");
        let body = build("{extraBody: {input: null}}", 0, "http://localhost/v1");
        assert!(!body.as_object().unwrap().contains_key("input"));
    }

    #[test]
    fn structured_output_stands_beside_verbosity() {
        let mut revision = revision("{verbosity: low}");
        revision.output = serde_yaml_ng::from_str("{schema: {type: object}}").unwrap();
        let body = build_for(&revision, 0, "http://localhost/v1").unwrap();
        assert_eq!(
            body["text"],
            json!({"verbosity": "low",
                "format": {"type": "json_schema", "name": "output", "schema": {"type": "object"}, "strict": true}})
        );
    }

    #[test]
    fn hosted_tools_are_sent_with_their_variables() {
        let mut revision = revision("{toolChoice: web}");
        revision.tools = serde_yaml_ng::from_str(
            "[{name: web, spec: {description: d, hosted: {type: web_search}}},
              {name: docs, spec: {description: d, hosted: {type: mcp, settings: {server_label: s, headers: {Authorization: 'Bearer ${env.TOKEN}!'}}}}}]",
        )
        .unwrap();
        let body = build_for(&revision, 0, "http://localhost/v1").unwrap();
        assert_eq!(
            body["tools"],
            json!([{"type": "web_search"},
                {"type": "mcp", "server_label": "s", "headers": {"Authorization": "Bearer ${env.OTHER}!"}}])
        );
        assert_eq!(body["tool_choice"], json!({"type": "web_search"}));
        let hosted = serde_yaml_ng::from_str("{type: mcp, settings: {token: '${env.NOBODY}'}}").unwrap();
        revision.tools[0].spec.hosted = Some(hosted);
        assert_eq!(
            build_for(&revision, 0, "http://localhost/v1").unwrap_err().category,
            "model_credentials"
        );
    }

    #[test]
    fn a_tool_that_is_not_there_is_not_forced() {
        assert_eq!(
            build("{toolChoice: away}", 0, "http://localhost/v1")["tool_choice"],
            Value::Null
        );
    }
}
