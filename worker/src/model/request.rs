//! The body of a call to the Responses API. Pure.

use serde_json::{Map, Value, json};
use steadfast_core::Segment;
use steadfast_crds::{AgentRevisionSpec, ModelSpec};
use url::Url;

use crate::tools::build_tools;

/// Builds the body. `step` is the model call's place in the turn.
pub fn build_request<'a>(
    revision: &AgentRevisionSpec,
    instructions: &str,
    transcript: impl IntoIterator<Item = &'a Segment>,
    task_id: &str,
    step: u32,
    base_url: &Url,
) -> Value {
    let model = &revision.model;
    let settings = &model.settings;
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(model.name));
    body.insert("instructions".to_owned(), json!(instructions));
    let input: Vec<Value> = transcript.into_iter().flat_map(Segment::items).collect();
    body.insert("input".to_owned(), Value::Array(input));
    body.insert("stream".to_owned(), json!(true));
    // The history of the conversation is ours; the provider keeps none.
    body.insert("store".to_owned(), json!(false));
    if is_openai(base_url) {
        // Keeps the calls of one task on one prompt cache.
        body.insert("prompt_cache_key".to_owned(), json!(task_id));
        if reasons(model) {
            body.insert("include".to_owned(), json!(["reasoning.encrypted_content"]));
        }
    }
    let tools = build_tools(revision);
    if !tools.is_empty() {
        body.insert("tools".to_owned(), Value::Array(tools));
        if let Some(choice) = settings.tool_choice.as_deref().filter(|choice| may_force(choice, step)) {
            body.insert("tool_choice".to_owned(), tool_choice(choice));
        }
        insert(&mut body, "parallel_tool_calls", settings.parallel_tool_calls.as_ref());
    }
    insert(&mut body, "temperature", settings.temperature.as_ref());
    insert(&mut body, "top_p", settings.top_p.as_ref());
    insert(&mut body, "max_output_tokens", settings.max_output_tokens.as_ref());
    insert(&mut body, "reasoning", settings.reasoning.as_ref());
    insert(&mut body, "truncation", settings.truncation.as_ref());
    insert(&mut body, "service_tier", settings.service_tier.as_ref());
    if let Some(verbosity) = &settings.verbosity {
        body.insert("text".to_owned(), json!({"verbosity": verbosity}));
    }
    body.extend(settings.extra_body.clone());
    Value::Object(body)
}

/// A forced tool call is forced once; after it the model may answer.
fn may_force(choice: &str, step: u32) -> bool {
    step == 0 || matches!(choice, "auto" | "none")
}

fn tool_choice(choice: &str) -> Value {
    match choice {
        "auto" | "none" | "required" => json!(choice),
        name => json!({"type": "function", "name": name}),
    }
}

fn is_openai(base_url: &Url) -> bool {
    base_url.host_str() == Some("api.openai.com")
}

/// OpenAI's reasoning models; others answer 400 when asked for encrypted reasoning.
fn reasons(model: &ModelSpec) -> bool {
    model.settings.reasoning.is_some()
        || ["gpt-5", "o1", "o3", "o4"]
            .iter()
            .any(|family| model.name.starts_with(family))
}

fn insert<T: serde::Serialize>(body: &mut Map<String, Value>, name: &str, value: Option<&T>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), json!(value));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use steadfast_core::{Body, UserContent};

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
        build_request(
            &revision(settings),
            "be brief",
            [&hello()],
            "task-1",
            step,
            &Url::parse(url).unwrap(),
        )
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
}
