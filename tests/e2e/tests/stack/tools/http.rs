//! Tools that are HTTP requests.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    response::IntoResponse as _,
    routing::{get, post},
};
use serde_json::{Value, json};
use steadfast_e2e::{backend::stack::shared_stack, scripts::call_then_repeat};
use steadfast_testkit::{
    scripted_model::Reply,
    stack::{API_KEY, AgentSetup, Line},
};

use crate::http_server::serve;

/// One request that the tool's HTTP server received.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OrderRequest {
    pub(super) authorization: String,
    pub(super) idempotency_key: String,
    pub(super) body: Value,
}

/// A server that refuses the first request with 503, as during its deployment. Returns its URL.
pub(super) async fn flaky_server(received: Arc<Mutex<Vec<OrderRequest>>>) -> String {
    let handler = async move |headers: HeaderMap, body: String| {
        let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let mut received = received.lock().unwrap();
        received.push(OrderRequest {
            authorization: header("authorization"),
            idempotency_key: header("idempotency-key"),
            body: serde_json::from_str(&body).unwrap(),
        });
        if received.len() == 1 {
            return (StatusCode::SERVICE_UNAVAILABLE, "try later".into_response());
        }
        (StatusCode::OK, axum::Json(json!({"order": 17})).into_response())
    };
    let url = serve(Router::new().route("/orders", post(handler))).await;
    format!("{url}/orders")
}

pub(super) fn order_tool(url: &str) -> Value {
    json!({
        "description": "Orders something.",
        "parameters": {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]},
        "http": {
            "method": "POST", "url": url,
            "headers": [{"name": "Authorization", "value": "Bearer ${env.OPENAI_API_KEY}"}],
        },
        "retry": {"initialInterval": "100ms"},
    })
}

#[tokio::test]
async fn an_http_tool_sends_its_credential_and_one_idempotency_key_over_all_attempts() {
    let received = Arc::new(Mutex::new(Vec::new()));
    let tool = order_tool(&flaky_server(received.clone()).await);
    let script = call_then_repeat("order", json!({"item": "tea"}));
    let setup = AgentSetup::new("http-tool", script).tool("order", tool);
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Order tea.").await.unwrap();

    let expected = [
        Line::user("Order tea."),
        Line::request("order", json!({"item": "tea"})),
        Line::response("order", json!({"order": 17})),
        Line::agent(r#"{"order":17}"#),
    ];
    assert_eq!(task.lines().await.unwrap(), expected);
    let received = received.lock().unwrap().clone();
    let request = OrderRequest {
        authorization: format!("Bearer {API_KEY}"),
        idempotency_key: received[0].idempotency_key.clone(),
        body: json!({"item": "tea"}),
    };
    assert!(request.idempotency_key.ends_with("/t1.0.0"), "{request:?}");
    assert_eq!(received, [request.clone(), request]);
}

#[tokio::test]
async fn a_credential_that_the_server_echoes_is_redacted_for_the_model_and_for_viewers() {
    let echo = async |headers: HeaderMap| axum::Json(json!({"sent": headers["authorization"].to_str().unwrap()}));
    let url = serve(Router::new().route("/orders", post(echo))).await;
    let tool = order_tool(&format!("{url}/orders"));
    let script = call_then_repeat("order", json!({"item": "tea"}));
    let setup = AgentSetup::new("echoed-credential", script).tool("order", tool);
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Order tea.").await.unwrap();

    let redacted = json!({"sent": "Bearer [redacted: OPENAI_API_KEY]"});
    let lines = task.lines().await.unwrap();
    assert_eq!(lines[2], Line::response("order", redacted.clone()));
    let output = agent.model().journal()[1].request.last_tool_output().unwrap();
    assert_eq!(output, redacted.to_string());
}

#[tokio::test]
async fn a_large_result_is_shown_by_its_beginning_and_read_whole_from_history() {
    const BYTES: usize = 300_000;
    let url = serve(Router::new().route("/", get(async || "x".repeat(BYTES)))).await;
    let tool = json!({
        "description": "Reads a lot.", "parameters": {"type": "object", "properties": {}},
        "http": {"url": url}, "maxResultBytes": 1_000_000,
    });
    let setup = AgentSetup::new("shown-result", |request| match request.last_tool_output() {
        None => Reply::call("read", &json!({})),
        Some(output) => Reply::text(format!("{} bytes", output.len())),
    })
    .tool("read", tool);
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Read.").await.unwrap();
    let messages = task.messages().await.unwrap();
    let result = &messages[2];
    let shown = result["content"]["content"].as_str().unwrap();
    assert_eq!(
        (shown.len(), &result["content"]["whole_bytes"]),
        (64 * 1024, &json!(BYTES + 2))
    );
    let path = format!("/messages/{}?task_id={}", result["id"].as_str().unwrap(), task.id());
    let whole = task.client().get(&path).await.unwrap().success().unwrap();
    assert_eq!(whole["content"]["content"].as_str().unwrap().len(), BYTES);
    // The model gets the whole.
    assert_eq!(
        task.lines().await.unwrap().last(),
        Some(&Line::agent(format!("{BYTES} bytes")))
    );
}

#[tokio::test]
async fn a_result_of_five_megabytes_is_truncated_to_the_tools_limit_and_the_model_is_told() {
    let url = serve(Router::new().route("/", get(async || "x".repeat(5_000_000)))).await;
    let tool = json!({
        "description": "Reads a lot.", "parameters": {"type": "object", "properties": {}},
        "http": {"url": url}, "maxResultBytes": 10_000,
    });
    let setup = AgentSetup::new("large-result", |request| match request.last_tool_output() {
        None => Reply::call("read", &json!({})),
        Some(output) => Reply::text(format!("{} bytes", output.len())),
    })
    .tool("read", tool);
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Read.").await.unwrap();
    let output = agent.model().journal()[1].request.last_tool_output().unwrap();
    assert!(
        output.len() < 10_300 && output.contains("maxResultBytes is 10000"),
        "{} bytes",
        output.len()
    );
}
