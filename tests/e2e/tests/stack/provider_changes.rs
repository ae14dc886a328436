//! A conversation that moves from one model server to another. Each server is strict in its own way, as real ones are,
//! and refuses what another one wrote.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
    routing::post,
};
use serde_json::{Value, json};
use steadfast_crds::{AgentRevisionSpec, model::ModelApi};
use steadfast_e2e::backend::stack::{continue_as_new, nonce_tool, runs, tools_worker};
use steadfast_testkit::{
    scripted_model::Reply,
    stack::{AgentSetup, Line, Stack},
};

use crate::http_server::serve;

/// The bodies of the requests that a server answered, and its reasons for the others.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<(Vec<Value>, Vec<String>)>>);

impl Journal {
    fn refusals(&self) -> Vec<String> {
        self.0.lock().unwrap().1.clone()
    }

    fn answered(&self) -> Vec<Value> {
        self.0.lock().unwrap().0.clone()
    }

    /// Answers a request, or refuses it.
    fn respond(&self, body: &Value, checked: Result<String, String>) -> Response {
        let mut journal = self.0.lock().unwrap();
        match checked {
            Ok(stream) => {
                journal.0.push(body.clone());
                ([(CONTENT_TYPE, "text/event-stream")], stream).into_response()
            }
            Err(reason) => {
                journal.1.push(reason.clone());
                let error = json!({"error": {"message": reason, "type": "invalid_request_error"}});
                (StatusCode::BAD_REQUEST, Json(error)).into_response()
            }
        }
    }
}

fn frames(events: &[Value]) -> String {
    let frames: Vec<String> = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    frames.concat()
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn ensure(holds: bool, reason: impl Into<String>) -> Result<(), String> {
    holds.then_some(()).ok_or_else(|| reason.into())
}

fn is_object(arguments: &Value) -> bool {
    let parsed = arguments
        .as_str()
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    parsed.is_some_and(|arguments| arguments.is_object())
}

/// OpenAI: finds none of another server's items, and knows no member of another API.
async fn responses(State(journal): State<Journal>, Json(body): Json<Value>) -> Response {
    let checked = check_responses(&body).map(|()| {
        let number = journal.answered().len();
        let items = if list(&body, "input").last().is_some_and(|item| item["role"] == "user") {
            vec![
                json!({"type": "reasoning", "id": format!("rs_{number}"), "encrypted_content": "sealed-here", "summary": []}),
                json!({"type": "function_call", "id": format!("fc_{number}"), "call_id": format!("call_{number}_of_this_server"),
                    "name": "nonce", "arguments": "{\"of\":\"it\"}", "status": "completed"}),
            ]
        } else {
            vec![
                json!({"type": "message", "id": format!("msg_{number}"), "role": "assistant", "status": "completed",
                    "content": [{"type": "output_text", "text": "From Responses.", "annotations": []}]}),
            ]
        };
        let mut events: Vec<Value> = items
            .iter()
            .enumerate()
            .map(|(index, item)| json!({"type": "response.output_item.done", "output_index": index, "item": item}))
            .collect();
        let usage = json!({"input_tokens": 11, "output_tokens": 7});
        events.push(json!({"type": "response.completed",
            "response": {"id": "resp", "status": "completed", "output": items, "usage": usage}}));
        frames(&events)
    });
    journal.respond(&body, checked)
}

fn check_responses(body: &Value) -> Result<(), String> {
    let mut calls = Vec::new();
    for item in list(body, "input") {
        ensure(item.get("chat").is_none(), "Unknown parameter: 'input[0].chat'.")?;
        match item["type"].as_str() {
            Some("reasoning") => ensure(
                item["encrypted_content"] == "sealed-here",
                "The encrypted content could not be verified.",
            )?,
            Some("function_call") => {
                ensure(is_object(&item["arguments"]), "invalid arguments")?;
                calls.push(&item["call_id"]);
            }
            Some("function_call_output") => ensure(
                calls.contains(&&item["call_id"]),
                "No tool call found for function call output",
            )?,
            _ => ensure(
                item["role"] == "user" || item["role"] == "assistant",
                format!("unexpected item {item}"),
            )?,
        }
        let is_foreign = item["id"].as_str().is_some_and(|id| !id.contains('_'));
        ensure(!is_foreign, "Item not found.")?;
    }
    Ok(())
}

/// A thinking server in front of a template: it wants its thoughts back, system messages at the beginning only, roles
/// in turn, ids of nine letters and digits, and knows no `stream_options`.
async fn thinking(State(journal): State<Journal>, Json(body): Json<Value>) -> Response {
    let checked = check_thinking(&body).map(|()| {
        let last = list(&body, "messages").last().cloned().unwrap_or_default();
        let delta = if last["role"] == "user" {
            let call = json!({"index": 0, "id": "abcDEF123", "type": "function", "seal": "of the call",
                "function": {"name": "nonce", "arguments": "{\"of\":\"it\"}"}});
            json!({"reasoning_content": "thought here", "tool_calls": [call]})
        } else {
            json!({"reasoning_content": "thought here", "content": "From the thinking server."})
        };
        chat(&delta)
    });
    journal.respond(&body, checked)
}

fn check_thinking(body: &Value) -> Result<(), String> {
    ensure(
        body.get("stream_options").is_none(),
        "Extra inputs are not permitted, field: 'stream_options'",
    )?;
    let messages = list(body, "messages");
    check_roles(messages)?;
    for message in messages {
        let is_answer = message["role"] == "assistant";
        ensure(
            !is_answer || message["reasoning_content"].is_string(),
            "Missing `reasoning_content` field in the assistant message",
        )?;
        for call in list(message, "tool_calls") {
            let id = call["id"].as_str().unwrap_or_default();
            ensure(
                id.len() == 9 && id.chars().all(|character| character.is_ascii_alphanumeric()),
                format!("Tool call id was {id} but must be a-z, A-Z, 0-9, with a length of 9."),
            )?;
            ensure(is_object(&call["function"]["arguments"]), "invalid tool call arguments")?;
            let is_own = message["reasoning_content"] == "thought here";
            ensure(
                !is_own || call["seal"] == "of the call",
                "the seal of the call is missing",
            )?;
        }
    }
    Ok(())
}

/// A server without tools: it refuses calls, and every member that it does not know.
async fn plain(State(journal): State<Journal>, Json(body): Json<Value>) -> Response {
    let checked = check_plain(&body).map(|()| {
        let messages = list(&body, "messages");
        let is_summary = messages[0]["content"]
            .as_str()
            .is_some_and(|text| text.starts_with("You sum up"));
        let text = if is_summary {
            "They asked for numbers."
        } else {
            "From the plain server."
        };
        chat(&json!({ "content": text }))
    });
    journal.respond(&body, checked)
}

fn check_plain(body: &Value) -> Result<(), String> {
    let messages = list(body, "messages");
    check_roles(messages)?;
    for message in messages {
        ensure(
            message.get("tool_calls").is_none() && message["role"] != "tool",
            "Requests which include tool blocks must define tools",
        )?;
        let members = message.as_object().ok_or("no message")?;
        ensure(
            members.keys().all(|name| name == "role" || name == "content"),
            format!("messages: unknown member in {message}"),
        )?;
        ensure(
            message["content"].as_str().is_some_and(|text| !text.is_empty()),
            "text content must be non-empty",
        )?;
    }
    Ok(())
}

fn check_roles(messages: &[Value]) -> Result<(), String> {
    let roles: Vec<&str> = messages
        .iter()
        .map(|message| message["role"].as_str().unwrap_or_default())
        .collect();
    ensure(
        roles.iter().skip(1).all(|role| *role != "system"),
        "System message must be at the beginning.",
    )?;
    let alternate = roles.windows(2).all(|pair| pair[0] != pair[1] || pair[0] == "tool");
    ensure(alternate, format!("conversation roles must alternate: {roles:?}"))
}

fn chat(delta: &Value) -> String {
    let usage = json!({"prompt_tokens": 11, "completion_tokens": 7});
    let chunk = json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta}]});
    let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage});
    frames(&[chunk, end]) + "data: [DONE]\n\n"
}

struct Provider {
    url: String,
    journal: Journal,
    api: ModelApi,
    name: &'static str,
}

impl Provider {
    fn use_in(&self, spec: &mut AgentRevisionSpec) {
        self.name.clone_into(&mut spec.model.name);
        spec.model.api = self.api;
        spec.model.base_url = format!("{}/v1", self.url);
    }
}

async fn start(router: Router<Journal>, api: ModelApi, name: &'static str) -> Provider {
    let journal = Journal::default();
    Provider {
        url: serve(router.with_state(journal.clone())).await,
        journal,
        api,
        name,
    }
}

#[tokio::test]
async fn every_turn_of_a_conversation_completes_while_its_provider_changes() {
    let open_ai = start(
        Router::new().route("/v1/responses", post(responses)),
        ModelApi::Responses,
        "reasoner",
    )
    .await;
    let chat = "/v1/chat/completions";
    let thinking = start(
        Router::new().route(chat, post(thinking)),
        ModelApi::ChatCompletions,
        "thinker",
    )
    .await;
    let plain = start(
        Router::new().route(chat, post(plain)),
        ModelApi::ChatCompletions,
        "talker",
    )
    .await;
    let stack = Stack::start().await.unwrap();
    let _tools = tools_worker(&stack);
    let setup = AgentSetup::new("moving", |_| Reply::text("Nobody asks me.")).tool("nonce", nonce_tool());
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    let tools = Arc::new(Mutex::new(Vec::new()));

    agent.edit(|spec| open_ai.use_in(spec)).unwrap();
    task.complete_turn(1, "One.").await.unwrap();
    task.complete_turn(2, "Two.").await.unwrap();
    agent.edit(|spec| thinking.use_in(spec)).unwrap();
    task.complete_turn(3, "Three.").await.unwrap();
    task.complete_turn(4, "Four.").await.unwrap();
    agent
        .edit(|spec| {
            plain.use_in(spec);
            *tools.lock().unwrap() = std::mem::take(&mut spec.tools);
        })
        .unwrap();
    task.complete_turn(5, "Five.").await.unwrap();
    // Each call reports 18 tokens: the window is full, and this server sums up what the others said.
    agent.edit(|spec| spec.context.window_tokens = 20).unwrap();
    task.complete_turn(6, "Six.").await.unwrap();
    agent
        .edit(|spec| {
            thinking.use_in(spec);
            spec.context.window_tokens = 100_000;
            spec.tools = tools.lock().unwrap().clone();
        })
        .unwrap();
    task.complete_turn(7, "Seven.").await.unwrap();
    continue_as_new(&stack, &task, runs(&stack, &task).await.unwrap() + 1).await;
    task.complete_turn(8, "Eight.").await.unwrap();
    agent.edit(|spec| open_ai.use_in(spec)).unwrap();
    task.complete_turn(9, "Nine.").await.unwrap();

    let seen = viewer.until_turn_ended(9).await.unwrap();
    assert_eq!(seen.count("context_compacted"), 1, "{}", seen.summary());
    let lines = task.lines().await.unwrap();
    let answers: Vec<&Line> = lines.iter().filter(|line| matches!(line, Line::Agent(_))).collect();
    assert_eq!(answers.len(), 9, "{lines:#?}");
    // What a refusal teaches is learned once; nothing else is refused.
    assert_eq!(open_ai.journal.refusals(), Vec::<String>::new());
    assert_eq!(plain.journal.refusals(), Vec::<String>::new());
    let refused = thinking.journal.refusals();
    assert!(refused.len() <= 3, "{refused:#?}");
    // The thoughts went back to the server that had them, also in the next run.
    let last = thinking.journal.answered().pop().unwrap();
    let own = list(&last, "messages")
        .iter()
        .filter(|message| message["reasoning_content"] == "thought here")
        .count();
    assert_eq!(own, 3, "{last:#}");
}
