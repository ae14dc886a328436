//! The MCP client against real servers: the reference server, with protocol
//! 2025-11-25 and sessions, and a server on the Python SDK, with protocol
//! 2026-07-28 and no sessions.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{path::Path, sync::Arc, time::Duration};

use serde_json::{Map, Value, json};
use steadfast_contract::mcp::McpAnswer;
use steadfast_crds::{AgentRevisionSpec, yaml};
use steadfast_process::BlockingWork;
use steadfast_testkit::{McpServer, tools::McpReference};
use steadfast_worker::test_api::{
    CallFailure, Credentials, Egress, EgressPolicy, McpCall, McpCallResult, McpClient, RetryClass,
};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn client(loopback: bool) -> McpClient {
    steadfast_process::crypto::install();
    let policy = EgressPolicy {
        loopback,
        ..EgressPolicy::default()
    };
    McpClient::new(
        Arc::new(Credentials::default()),
        &Egress::from(policy),
        BlockingWork::new(4),
    )
    .unwrap()
}

/// A revision with these MCP servers: name and settings.
fn revision(servers: &[(&str, String)]) -> AgentRevisionSpec {
    let tools: Vec<String> = servers
        .iter()
        .map(|(name, settings)| format!("{{name: {name}, spec: {{description: d, mcp: {settings}}}}}"))
        .collect();
    yaml::from_str(&format!(
        "{{agent: a, sequence: 1, instructions: hi, model: {{name: m}}, taskQueue: q, tools: [{}]}}",
        tools.join(", ")
    ))
    .unwrap()
}

fn at(url: &str) -> AgentRevisionSpec {
    revision(&[("server", format!("{{url: \"{url}\"}}"))])
}

fn object(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

async fn call(
    revision: &AgentRevisionSpec,
    tool: &str,
    arguments: Value,
    answered: Option<&McpAnswer>,
) -> Result<McpCallResult, CallFailure> {
    let call = McpCall {
        server: "server",
        tool,
        arguments: object(arguments),
        idempotency_key: Some("task/1/call"),
        traceparent: Some(TRACE),
        answered,
        is_repeatable: false,
        is_after_loss: false,
        timeout: Duration::from_secs(30),
        max_result_bytes: 65_536,
    };
    client(true).call(revision, call).await
}

fn accepted(result: McpCallResult, content: Value) -> McpAnswer {
    McpAnswer {
        request: result.input_required.unwrap(),
        action: "accept".to_owned(),
        content,
    }
}

async fn python() -> McpServer {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/e2e/python/mcp_server.py");
    McpServer::python(&script).await.unwrap()
}

#[tokio::test]
async fn the_tools_of_an_older_server_are_listed_and_cached() {
    let server = McpServer::everything().await.unwrap();
    let revision = revision(&[
        (
            "everything",
            format!(
                "{{url: \"{}\", prefix: e_, tools: [{{name: echo}}, {{name: get-sum, rename: add}}]}}",
                server.url()
            ),
        ),
        ("broken", "{url: \"http://127.0.0.1:1/mcp\"}".to_owned()),
    ]);
    let client = client(true);
    let (listed, problems) = client.listed_tools(&revision).await;
    let functions: Vec<&str> = listed.iter().map(|tool| tool.function.as_str()).collect();
    assert_eq!(functions, ["e_echo", "add"]);
    assert_eq!(listed[1].parameters["type"], "object");
    assert_eq!(
        (listed[1].server.as_str(), listed[1].tool.as_str()),
        ("everything", "get-sum")
    );
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].0, "broken");

    server.kill().await.unwrap();
    assert_eq!(client.listed_tools(&revision).await.0, listed, "a list is kept");
}

#[tokio::test]
async fn an_older_server_answers_a_call() {
    let server = McpServer::everything().await.unwrap();
    let revision = at(&server.url());
    let sum = call(&revision, "get-sum", json!({"a": 2, "b": 3}), None).await.unwrap();
    assert_eq!(sum.content, json!("The sum of 2 and 3 is 5."));
    let image = call(&revision, "get-tiny-image", json!({}), None).await.unwrap();
    let parts = image.content.as_array().unwrap();
    let image = parts.iter().find(|part| part["type"] == "image").unwrap();
    assert!(image["note"].as_str().unwrap().contains("not shown"), "{image}");
    assert_eq!(image.get("data"), None);
}

#[tokio::test]
async fn a_question_of_an_older_server_ends_the_call_and_is_answered_by_a_new_call() {
    let server = McpServer::everything().await.unwrap();
    let revision = at(&server.url());
    let tool = "trigger-elicitation-request";
    let asked = call(&revision, tool, json!({}), None).await.unwrap();
    let form = &asked.input_required.as_ref().unwrap().form;
    assert_eq!(form["properties"]["name"]["type"], "string");
    let answer = accepted(asked, json!({"name": "Ada", "check": true}));
    let answered = call(&revision, tool, json!({}), Some(&answer)).await.unwrap();
    assert_eq!(answered.input_required, None);
    assert!(
        answered.content.to_string().contains("Name: Ada"),
        "{}",
        answered.content
    );
}

#[tokio::test]
async fn a_newer_server_gets_the_idempotency_key_and_the_trace_of_a_call() {
    let server = python().await;
    let revision = at(&server.url());
    let echoed = call(&revision, "echo", json!({"text": "hi"}), None).await.unwrap();
    assert_eq!(echoed.content, json!(format!("hi task/1/call {TRACE}")));

    let client = client(true);
    let tool = revision.tools[0].spec.mcp.as_ref().unwrap();
    let listed = client.list(&revision, "server", tool).await.unwrap();
    let read_only: Vec<_> = listed.iter().map(|tool| (tool.name.as_str(), tool.read_only)).collect();
    assert_eq!(
        read_only,
        [("nonce", true), ("echo", false), ("ask", false), ("ask_much", false)]
    );
}

#[tokio::test]
async fn a_question_of_a_newer_server_is_answered_by_a_new_call() {
    let server = python().await;
    let revision = at(&server.url());
    let arguments = json!({"question": "Really?"});
    let asked = call(&revision, "ask", arguments.clone(), None).await.unwrap();
    let request = asked.input_required.clone().unwrap();
    assert_eq!(request.prompt, "Really?");
    assert_eq!(request.form["properties"]["confirmed"]["type"], "boolean");
    assert!(request.state.is_string() && request.keys.len() == 1, "{request:?}");
    let answer = accepted(asked, json!({"confirmed": true}));
    let answered = call(&revision, "ask", arguments.clone(), Some(&answer)).await.unwrap();
    assert_eq!(answered.content, json!("accept True"));
    let declined = McpAnswer {
        action: "decline".to_owned(),
        content: Value::Null,
        ..answer
    };
    let answered = call(&revision, "ask", arguments, Some(&declined)).await.unwrap();
    assert_eq!(answered.content, json!("decline"));
}

#[tokio::test]
async fn permanent_errors_are_not_retried_and_transient_errors_are() {
    let server = python().await;
    let there = at(&server.url());
    // The SDK reports an unknown tool as an error of the tool or as invalid parameters: permanent in both cases.
    match call(&there, "nobody", json!({}), None).await {
        Ok(result) => assert!(result.is_error),
        Err(failure) => assert_eq!(failure.retry, RetryClass::Permanent, "{failure}"),
    }
    let wrong_path = at(&server.url().replace("/mcp", "/nothing"));
    let refused = call(&wrong_path, "echo", json!({}), None).await.unwrap_err();
    assert_eq!(refused.retry, RetryClass::Permanent);
    let away = at("http://127.0.0.1:1/mcp");
    let unavailable = call(&away, "echo", json!({}), None).await.unwrap_err();
    assert_ne!(unavailable.retry, RetryClass::Permanent);
    let tool = away.tools[0].spec.mcp.as_ref().unwrap();
    for url in ["http://127.0.0.1:1/mcp", "http://localhost:1/mcp"] {
        let mut tool = tool.clone();
        tool.url = url.to_owned();
        let refused = client(false).list(&away, "server", &tool).await.unwrap_err();
        assert!(refused.message.contains("loopback address"), "{refused}");
        assert_eq!(refused.retry, RetryClass::Permanent);
    }
}

/// A server, its protocol, and the argument of its tool that repeats a text. docs/mcp.md has the same table.
const REFERENCES: [(McpReference, &str, &str); 8] = [
    (McpReference::PythonNewest, "2026-07-28", "text"),
    (McpReference::PythonOlder, "2025-06-18", "text"),
    (McpReference::TypescriptNewest, "2026-07-28", "text"),
    (McpReference::TypescriptOlder, "2025-06-18", "message"),
    (McpReference::GoNewest, "2025-11-25", "text"),
    (McpReference::GoOlder, "2025-11-25", "text"),
    (McpReference::RustNewest, "2026-07-28", "text"),
    (McpReference::RustOlder, "2025-03-26", "text"),
];

/// The newest protocol of a server, as it says itself.
async fn newest_protocol(url: &str) -> String {
    steadfast_process::crypto::install();
    let http = reqwest::Client::builder().build().unwrap();
    let ask = async |method: &str, mut params: Value| {
        let version = params["protocolVersion"].as_str().unwrap_or_default().to_owned();
        if method == "server/discover" {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": version,
                "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            });
        }
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let sent = http
            .post(url)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", version)
            .header("mcp-method", method)
            .json(&request);
        sent.send().await.unwrap().text().await.unwrap()
    };
    let newest = "2026-07-28";
    let discovered = ask("server/discover", json!({ "protocolVersion": newest })).await;
    if discovered.contains("supportedVersions") && discovered.contains(newest) {
        return newest.to_owned();
    }
    let client = json!({"name": "test", "version": "1"});
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
    let shaken = ask("initialize", params).await;
    let version = shaken.split("\"protocolVersion\":\"").nth(1);
    version.unwrap_or_else(|| panic!("{shaken}"))[..newest.len()].to_owned()
}

#[tokio::test]
async fn servers_on_every_sdk_list_their_tools_and_answer_calls() {
    for (reference, protocol, argument) in REFERENCES {
        let server = McpServer::reference(reference).await.unwrap();
        assert_eq!(newest_protocol(&server.url()).await, protocol, "{reference:?}");
        let revision = at(&server.url());
        let client = client(true);
        let (listed, problems) = client.listed_tools(&revision).await;
        assert_eq!(problems, [], "{reference:?}");
        let echo = listed.iter().find(|tool| tool.tool == "echo");
        let echo = echo.unwrap_or_else(|| panic!("{reference:?}: {listed:?}"));
        assert_eq!(
            echo.parameters["properties"][argument]["type"], "string",
            "{reference:?}"
        );
        for tool in &listed {
            let schema = Value::Object(tool.parameters.clone()).to_string();
            assert!(
                !schema.contains("\"$ref\"") && !schema.contains("\"$defs\""),
                "{reference:?}: {schema}"
            );
        }
        let echoed = call(&revision, "echo", json!({ argument: "hi" }), None).await;
        let echoed = echoed.unwrap_or_else(|failure| panic!("{reference:?}: {failure}"));
        assert!(
            echoed.content.to_string().contains("hi") && !echoed.is_error,
            "{reference:?}: {echoed:?}"
        );
        if listed.iter().any(|tool| tool.tool == "sum") {
            let sum = call(&revision, "sum", json!({"a": 2, "b": 3}), None).await.unwrap();
            assert_eq!(sum.content, json!({"sum": 5}), "{reference:?}");
        }
        match call(&revision, "nobody", json!({}), None).await {
            Ok(result) => assert!(result.is_error, "{reference:?}"),
            Err(failure) => assert_eq!(failure.retry, RetryClass::Permanent, "{reference:?}: {failure}"),
        }
    }
}
