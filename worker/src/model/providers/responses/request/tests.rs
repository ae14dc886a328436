//! Bodies of the Responses API, built through the dispatch over both APIs.

use serde_json::{Value, json};
use steadfast_agent_loop::{Body, Segment, UserContent};
use steadfast_crds::{AgentRevisionSpec, yaml};

use crate::{
    failure::CallFailure,
    model::{
        RequestContext,
        attachments::{Earlier, NONE},
        conversation::Past,
        dialect::{Dialect, Lesson},
        request::{RequestForm, build_request},
    },
};

fn revision(settings: &str) -> AgentRevisionSpec {
    yaml::from_str(&format!(
        "{{agent: a, sequence: 1, instructions: hi, taskQueue: q, model: {{name: gpt-5-mini, settings: {settings}}},
          tools: [{{name: t, spec: {{description: d, activity: {{name: t, taskQueue: w}}, parameters: {{type: object}}}}}}]}}"
    ))
    .unwrap()
}

fn hello() -> Segment {
    let body = Body::User {
        message_id: "m".into(),
        idempotency_key: None,
        content: UserContent::Text("hello".into()),
        sender: String::new(),
    };
    Segment {
        turn: 1,
        step: 0,
        at: jiff::Timestamp::UNIX_EPOCH,
        body,
    }
}

fn build(settings: &str, step: u32) -> Value {
    build_for(&revision(settings), step, &Dialect::default()).unwrap()
}

fn build_for(revision: &AgentRevisionSpec, step: u32, dialect: &Dialect) -> Result<Value, CallFailure> {
    let context = RequestContext {
        revision,
        instructions: "be brief",
        task_id: "task-1",
        step,
        listed: &[],
        attachments: &NONE,
        variable: &|name| match name {
            "TOKEN" => Ok("${env.OTHER}".to_owned()),
            other => Err(CallFailure::permanent("model_credentials", other)),
        },
    };
    let form = RequestForm {
        earlier_attachments: Earlier::Sent,
        dialect,
        origin: "responses/here/gpt-5-mini",
        past: Past::Own,
    };
    let built = build_request(&context, form, &[&hello()])?;
    Ok(serde_json::from_slice(&built.body).unwrap())
}

#[test]
fn the_whole_conversation_is_sent_and_nothing_is_stored() {
    assert_eq!(
        build("{}", 0),
        json!({
            "model": "gpt-5-mini", "instructions": "be brief", "input": [{"role": "user", "content": "hello"}],
            "stream": true, "store": false, "include": ["reasoning.encrypted_content"], "prompt_cache_key": "task-1",
            "tools": [{"type": "function", "name": "t", "description": "d", "parameters": {"type": "object"}, "strict": false}],
        })
    );
}

#[test]
fn what_the_server_refused_is_left_out() {
    let mut dialect = Dialect::default();
    for path in ["include", "reasoning.summary", "text.verbosity"] {
        dialect.learn(&Lesson::Omit(path.to_owned()));
    }
    let revision = revision("{reasoning: {effort: low, summary: auto}, verbosity: low}");
    let body = build_for(&revision, 0, &dialect).unwrap();
    assert_eq!(body["reasoning"], json!({"effort": "low"}));
    for name in ["include", "text"] {
        assert!(!body.as_object().unwrap().contains_key(name), "{name}");
    }
}

#[test]
fn omit_leaves_members_out() {
    let body = build(
        "{omit: [store, reasoning.summary, seed], reasoning: {effort: low, summary: auto}, extraBody: {seed: 1}}",
        0,
    );
    assert_eq!(body["reasoning"], json!({"effort": "low"}));
    for name in ["store", "seed"] {
        assert!(!body.as_object().unwrap().contains_key(name), "{name}");
    }
    let body = build("{omit: [input]}", 0);
    assert!(!body.as_object().unwrap().contains_key("input"));
}

#[test]
fn a_server_without_structured_output_is_told_the_schema() {
    let mut revision = revision("{verbosity: low}");
    revision.output = yaml::from_str("{schema: {type: object}}").unwrap();
    let mut dialect = Dialect::default();
    dialect.learn(&Lesson::Omit("text.format".to_owned()));
    let body = build_for(&revision, 0, &dialect).unwrap();
    assert_eq!(body["text"], json!({"verbosity": "low"}));
    assert!(
        body["instructions"]
            .as_str()
            .unwrap()
            .ends_with("{\"type\":\"object\"}")
    );
}

#[test]
fn a_tool_is_forced_on_the_first_call_only() {
    let first = build("{toolChoice: t}", 0);
    assert_eq!(first["tool_choice"], json!({"type": "function", "name": "t"}));
    assert_eq!(build("{toolChoice: t}", 1)["tool_choice"], Value::Null);
    assert_eq!(build("{toolChoice: none}", 1)["tool_choice"], json!("none"));
}

#[test]
fn settings_are_sent_under_the_names_of_the_api() {
    let body = build(
        "{temperature: 0.5, topP: 0.9, maxOutputTokens: 100, reasoning: {effort: low}, verbosity: low, truncation: auto, extraBody: {metadata: {a: b}}}",
        0,
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
fn null_in_extra_body_removes_a_member() {
    let body = build("{temperature: 0.5, extraBody: {store: null}}", 0);
    assert!(!body.as_object().unwrap().contains_key("store"));
}

#[test]
fn extra_body_can_replace_or_remove_the_conversation() {
    let body = build("{extraBody: {input: other}}", 0);
    assert_eq!(body["input"], "other");
    let body = build("{extraBody: {input: null}}", 0);
    assert!(!body.as_object().unwrap().contains_key("input"));
}

#[test]
fn structured_output_and_verbosity_share_the_member_text() {
    let mut revision = revision("{verbosity: low}");
    revision.output = yaml::from_str("{schema: {type: object}}").unwrap();
    let body = build_for(&revision, 0, &Dialect::default()).unwrap();
    assert_eq!(
        body["text"],
        json!({"verbosity": "low",
            "format": {"type": "json_schema", "name": "output", "schema": {"type": "object"}, "strict": true}})
    );
}

#[test]
fn hosted_tools_are_sent_with_expanded_variables() {
    let mut revision = revision("{toolChoice: web}");
    revision.tools = yaml::from_str(
        "[{name: web, spec: {description: d, hosted: {type: web_search}}},
          {name: docs, spec: {description: d, hosted: {type: mcp, settings: {server_label: s, headers: {Authorization: 'Bearer ${env.TOKEN}!'}}}}}]",
    )
    .unwrap();
    let body = build_for(&revision, 0, &Dialect::default()).unwrap();
    assert_eq!(
        body["tools"],
        json!([{"type": "web_search"},
            {"type": "mcp", "server_label": "s", "headers": {"Authorization": "Bearer ${env.OTHER}!"}}])
    );
    assert_eq!(body["tool_choice"], json!({"type": "web_search"}));
    let hosted = yaml::from_str("{type: mcp, settings: {token: '${env.NOBODY}'}}").unwrap();
    revision.tools[0].spec.hosted = Some(hosted);
    assert_eq!(
        build_for(&revision, 0, &Dialect::default()).unwrap_err().category,
        "model_credentials"
    );
}

#[test]
fn a_tool_that_does_not_exist_is_not_forced() {
    assert_eq!(build("{toolChoice: away}", 0)["tool_choice"], Value::Null);
}
