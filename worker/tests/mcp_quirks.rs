//! The MCP client against a server that says what servers in use say. Each test has
//! the habits of real servers that clients have stumbled over; see docs/mcp.md.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Map, Value, json};
use steadfast_crds::{AgentRevisionSpec, yaml};
use steadfast_process::BlockingWork;
use steadfast_testkit::{
    ScriptedMcp,
    scripted_mcp::{End, McpReply, McpRequest},
};
use steadfast_worker::test_api::{
    CallFailure, Credentials, Egress, EgressPolicy, McpCall, McpCallResult, McpClient, RetryClass,
};

type Answer = fn(&McpRequest) -> McpReply;

fn client() -> McpClient {
    steadfast_process::crypto::install();
    let policy = EgressPolicy {
        loopback: true,
        ..EgressPolicy::default()
    };
    McpClient::new(
        Arc::new(Credentials::default()),
        &Egress::from(policy),
        BlockingWork::new(4),
    )
    .unwrap()
}

fn revision(url: &str) -> AgentRevisionSpec {
    yaml::from_str(&format!(
        "{{agent: a, sequence: 1, instructions: hi, model: {{name: m}}, taskQueue: q, \
         tools: [{{name: server, spec: {{description: d, mcp: {{url: \"{url}\"}}}}}}]}}"
    ))
    .unwrap()
}

async fn call_with(
    client: &McpClient,
    url: &str,
    arguments: Value,
    timeout: Duration,
) -> Result<McpCallResult, CallFailure> {
    let call = McpCall {
        arguments: serde_json::from_value(arguments).unwrap(),
        timeout,
        ..plain_call()
    };
    client.call(&revision(url), call).await
}

fn plain_call() -> McpCall<'static> {
    McpCall {
        server: "server",
        tool: "act",
        arguments: Map::new(),
        idempotency_key: None,
        traceparent: None,
        answered: None,
        is_repeatable: false,
        is_after_loss: false,
        timeout: Duration::from_secs(20),
        max_result_bytes: 65_536,
    }
}

async fn call(server: &ScriptedMcp) -> Result<McpCallResult, CallFailure> {
    call_with(&client(), &server.url(), json!({}), Duration::from_secs(20)).await
}

/// The functions and the problems of the server.
async fn offered(client: &McpClient, server: &ScriptedMcp) -> (Vec<String>, Vec<String>) {
    let (tools, problems) = client.listed_tools(&revision(&server.url())).await;
    (
        tools.into_iter().map(|tool| tool.function).collect(),
        problems.into_iter().map(|(_, problem)| problem).collect(),
    )
}

fn act() -> Value {
    json!({"name": "act", "inputSchema": {"type": "object", "properties": {}}})
}

/// A server of protocol 2026-07-28 with these tools. `answer` answers calls.
fn newest(request: &McpRequest, tools: &Value, answer: impl FnOnce(&McpRequest) -> McpReply) -> McpReply {
    match request.method() {
        "server/discover" => request.result(&json!({
            "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "ttlMs": 0,
        })),
        "tools/list" => request.result(&json!({"resultType": "complete", "tools": tools, "ttlMs": 0})),
        "tools/call" => answer(request),
        _ => McpReply::empty(202),
    }
}

/// A server of protocol 2025-11-25 with a session. `discover` answers the question that it does not know.
fn older(
    request: &McpRequest,
    discover: impl FnOnce(&McpRequest) -> McpReply,
    answer: impl FnOnce(&McpRequest) -> McpReply,
) -> McpReply {
    match (request.http_method.as_str(), request.method()) {
        (_, "server/discover") => discover(request),
        (_, "initialize") => request
            .result(&json!({
                "protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"},
            }))
            .header("mcp-session-id", "s1"),
        (_, "tools/list") => request.result(&json!({"tools": [act()]})),
        (_, "tools/call") => answer(request),
        ("GET", _) => McpReply::empty(405),
        ("DELETE", _) => McpReply::empty(200),
        _ => McpReply::empty(202),
    }
}

fn done(request: &McpRequest) -> McpReply {
    request.result(&json!({"content": [{"type": "text", "text": "done"}]}))
}

#[tokio::test]
async fn a_tool_without_a_usable_schema_does_not_take_the_others_with_it() {
    let server = ScriptedMcp::start(|request| {
        let tools = json!([
            {"name": "no-schema"},
            {"name": "any-of", "inputSchema": {"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}},
            {"name": "text", "inputSchema": {"type": "string"}},
            {"name": "other-name", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}},
            {"inputSchema": {"type": "object"}},
            act(),
        ]);
        newest(request, &tools, done)
    })
    .await
    .unwrap();
    let (functions, problems) = offered(&client(), &server).await;
    assert_eq!(functions, ["no-schema", "any-of", "other-name", "act"]);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("\"text\" is left out"), "{problems:?}");
}

#[tokio::test]
async fn a_question_for_protocols_that_fails_in_any_way_leads_to_the_older_handshake_and_is_not_asked_again() {
    let answers: [(&str, Answer); 9] = [
        ("HTTP 500", |_| {
            McpReply::text(500, "text/plain", "Internal Server Error")
        }),
        ("HTTP 400 without a body", |_| McpReply::empty(400)),
        ("HTTP 404", |_| McpReply::text(404, "text/html", "<html>")),
        ("HTTP 401", |_| McpReply::empty(401)),
        ("no session, without an id", |_| {
            let error = json!({"code": -32000, "message": "Bad Request: Mcp-Session-Id header is required"});
            McpReply::json(400, &json!({"jsonrpc": "2.0", "id": null, "error": error}))
        }),
        ("another error code", |request| {
            request.error(-32602, "Invalid request parameters")
        }),
        ("no method, without an id", |_| {
            McpReply::json(
                200,
                &json!({"jsonrpc": "2.0", "error": {"code": -32600, "message": "Missing ID"}}),
            )
        }),
        ("nothing but 202", |_| McpReply::empty(202)),
        ("an empty result", |request| request.result(&json!({}))),
    ];
    for (name, answer) in answers {
        let server = ScriptedMcp::start(move |request| older(request, answer, done))
            .await
            .unwrap();
        let client = client();
        assert_eq!(offered(&client, &server).await.0, ["act"], "{name}");
        let made = call_with(&client, &server.url(), json!({}), Duration::from_secs(20)).await;
        assert_eq!(made.unwrap().content, json!("done"), "{name}");
        assert_eq!(server.of("server/discover").len(), 1, "{name}");
        assert_eq!(server.of("initialize").len(), 2, "{name}");
    }
}

#[tokio::test]
async fn a_question_for_protocols_that_is_never_answered_costs_little_and_only_once() {
    let server = ScriptedMcp::start(|request| older(request, |_| McpReply::never(), done))
        .await
        .unwrap();
    let client = client();
    let started = Instant::now();
    assert_eq!(offered(&client, &server).await.0, ["act"]);
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    let made = call_with(&client, &server.url(), json!({}), Duration::from_secs(20)).await;
    assert_eq!(made.unwrap().content, json!("done"));
    assert_eq!(server.of("server/discover").len(), 1);
}

#[tokio::test]
async fn a_server_that_refuses_a_newer_version_is_offered_an_older_one() {
    let server = ScriptedMcp::start(|request| {
        let version = &request.body["params"]["protocolVersion"];
        if request.method() == "initialize" && version != "2025-03-26" {
            return request.error(-32602, "Unsupported protocol version");
        }
        older(request, |request| request.error(-32601, "Method not found"), done)
    })
    .await
    .unwrap();
    let client = client();
    assert_eq!(offered(&client, &server).await.0, ["act"]);
    assert_eq!(server.of("initialize").len(), 3);
    call_with(&client, &server.url(), json!({}), Duration::from_secs(20))
        .await
        .unwrap();
    assert_eq!(server.of("initialize").len(), 4, "the version is remembered");
}

#[tokio::test]
async fn redirects_within_the_host_are_followed_with_the_message_and_others_are_not() {
    let server = ScriptedMcp::start(|request| match request.path.as_str() {
        "/mcp/" => newest(request, &json!([act()]), done),
        _ => McpReply::empty(307).header("location", "/mcp/"),
    })
    .await
    .unwrap();
    assert_eq!(call(&server).await.unwrap().content, json!("done"));
    assert!(server.requests().iter().all(|request| request.http_method == "POST"));

    let elsewhere = ScriptedMcp::start(|_| McpReply::empty(308).header("location", "http://localhost:9/mcp"))
        .await
        .unwrap();
    let refused = call(&elsewhere).await.unwrap_err();
    assert!(refused.message.contains("redirects to another host"), "{refused}");
    assert_eq!(refused.retry, RetryClass::Permanent);

    let endless = ScriptedMcp::start(|_| McpReply::empty(307).header("location", "/mcp"))
        .await
        .unwrap();
    let refused = call(&endless).await.unwrap_err();
    assert!(refused.message.contains("redirects more than 5 times"), "{refused}");
}

#[tokio::test]
async fn a_list_ends_whatever_its_cursors_are() {
    let page = |request: &McpRequest, tools: &[&str], next: Value| {
        let tools: Vec<Value> = tools
            .iter()
            .map(|name| json!({"name": name, "inputSchema": {}}))
            .collect();
        let result = json!({"tools": tools, "nextCursor": next});
        request.result(&result)
    };
    let cursor = |request: &McpRequest| request.body["params"]["cursor"].as_str().map(str::to_owned);
    // An empty cursor is a cursor; the same one again is the end.
    let server = ScriptedMcp::start(move |request| match (request.method(), cursor(request).as_deref()) {
        ("tools/list", None) => page(request, &["one"], json!("")),
        ("tools/list", Some("")) => page(request, &["two"], json!("")),
        _ => newest(request, &json!([]), done),
    })
    .await
    .unwrap();
    assert_eq!(offered(&client(), &server).await.0, ["one", "two"]);
    assert_eq!(server.of("tools/list").len(), 2);

    // A cursor that is a number.
    let server = ScriptedMcp::start(
        move |request| match (request.method(), &request.body["params"]["cursor"]) {
            ("tools/list", Value::Null) => page(request, &["one"], json!(1)),
            ("tools/list", cursor) if *cursor == json!(1) => page(request, &["two"], Value::Null),
            _ => newest(request, &json!([]), done),
        },
    )
    .await
    .unwrap();
    assert_eq!(offered(&client(), &server).await.0, ["one", "two"]);

    // Always the same page, with a cursor that is new each time.
    let pages = AtomicUsize::new(0);
    let server = ScriptedMcp::start(move |request| match request.method() {
        "tools/list" => {
            let number = pages.fetch_add(1, Ordering::Relaxed);
            page(request, &["one"], json!(format!("c{number}")))
        }
        _ => newest(request, &json!([]), done),
    })
    .await
    .unwrap();
    assert_eq!(offered(&client(), &server).await.0, ["one"]);
    assert!(server.of("tools/list").len() < 6);

    // A page that fails leaves those before it.
    let server = ScriptedMcp::start(move |request| match (request.method(), cursor(request)) {
        ("tools/list", None) => page(request, &["one"], json!("next")),
        ("tools/list", Some(_)) => request.error(-32602, "Invalid cursor"),
        _ => newest(request, &json!([]), done),
    })
    .await
    .unwrap();
    let (functions, problems) = offered(&client(), &server).await;
    assert_eq!(functions, ["one"]);
    assert!(problems[0].contains("not complete"), "{problems:?}");
}

#[tokio::test]
async fn an_answer_of_any_form_is_given_to_the_model_and_the_tool_acts_once() {
    let answers: [(&str, Answer, &str); 8] = [
        (
            "an unknown block",
            |request| request.result(&json!({"content": [{"type": "video", "caption": "a cat"}], "more": 1})),
            "a cat",
        ),
        (
            "no content",
            |request| request.result(&json!({"temperature": 7})),
            "temperature",
        ),
        (
            "an event stream",
            |request| {
                let answer = json!({"jsonrpc": "2.0", "id": request.body["id"], "result": {"content": "ok"}});
                McpReply::events(&format!(
                    "id: 0\ndata:\n\n: a comment\r\n\r\nevent: message\ndata: {}\n\ndata: {answer}\n\n",
                    json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}),
                ))
            },
            "ok",
        ),
        (
            "an answer with another id",
            |_| McpReply::json(200, &json!({"jsonrpc": "2.0", "id": "x", "result": {"content": "ok"}})),
            "ok",
        ),
        (
            "a batch",
            |request| {
                McpReply::json(
                    200,
                    &json!([{"jsonrpc": "2.0", "id": request.body["id"], "result": {"content": "ok"}}]),
                )
            },
            "ok",
        ),
        (
            "no envelope",
            |_| McpReply::json(200, &json!({"content": [{"type": "text", "text": "ok"}]})),
            "ok",
        ),
        (
            "broken JSON",
            |_| McpReply::text(200, "application/json", "{\"content\": [\"ok\""),
            "ok",
        ),
        (
            "an error of the tool as text",
            |request| request.result(&json!({"content": [{"type": "text", "text": "ok"}], "isError": "false"})),
            "ok",
        ),
    ];
    for (name, answer, expected) in answers {
        let server = ScriptedMcp::start(move |request| newest(request, &json!([act()]), answer))
            .await
            .unwrap();
        let made = call(&server)
            .await
            .unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert!(
            made.content.to_string().contains(expected) && !made.is_error,
            "{name}: {}",
            made.content
        );
        assert_eq!(server.of("tools/call").len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_call_that_may_have_acted_is_never_made_again() {
    let answers: [(&str, Answer); 7] = [
        ("an error", |request| request.error(-32603, "Internal error")),
        ("HTTP 500", |_| McpReply::empty(500)),
        ("HTTP 504", |_| McpReply::text(504, "text/html", "<html>")),
        ("HTTP 202", |_| McpReply::empty(202)),
        ("a page", |_| McpReply::text(200, "text/html", "<html>Log in</html>")),
        ("an event stream without an answer", |_| {
            McpReply::events(": nothing\n\n")
        }),
        ("a broken connection", |_| {
            McpReply::events("data: {\"json").ending(End::Breaks)
        }),
    ];
    for (name, answer) in answers {
        let server = ScriptedMcp::start(move |request| newest(request, &json!([act()]), answer))
            .await
            .unwrap();
        let failure = call(&server).await.unwrap_err();
        assert_eq!(failure.retry, RetryClass::Permanent, "{name}: {failure}");
        assert_eq!(server.of("tools/call").len(), 1, "{name}");
    }
    // The server says that a second call does nothing more.
    let tool = json!([{"name": "act", "annotations": {"idempotentHint": true}}]);
    let server = ScriptedMcp::start(move |request| newest(request, &tool, |_| McpReply::empty(500)))
        .await
        .unwrap();
    assert_ne!(call(&server).await.unwrap_err().retry, RetryClass::Permanent);
    // A server that is too busy has not acted.
    let server = ScriptedMcp::start(|request| newest(request, &json!([act()]), |_| McpReply::empty(429)))
        .await
        .unwrap();
    assert_ne!(call(&server).await.unwrap_err().retry, RetryClass::Permanent);
}

#[tokio::test]
async fn arguments_that_a_header_repeats_are_sent_in_it() {
    let tools = json!([{"name": "act", "inputSchema": {"type": "object", "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"}, "$top": {"type": "integer"},
    }}}]);
    let server = ScriptedMcp::start(move |request| {
        newest(request, &tools, |request| {
            if request
                .headers
                .get("mcp-param-region")
                .is_none_or(|region| region != "eu")
            {
                return request.error(-32020, "header mismatch");
            }
            done(request)
        })
    })
    .await
    .unwrap();
    let client = client();
    let (tools, _) = client.listed_tools(&revision(&server.url())).await;
    let schema = Value::Object(tools[0].parameters.clone());
    assert!(
        !schema.to_string().contains("x-mcp-header") && schema["properties"]["_top"].is_object(),
        "{schema}"
    );
    let arguments = json!({"region": "eu", "_top": 3});
    let made = call_with(&client, &server.url(), arguments, Duration::from_secs(20)).await;
    assert_eq!(made.unwrap().content, json!("done"));
    let sent = &server.of("tools/call")[0];
    assert_eq!(sent.body["params"]["arguments"], json!({"region": "eu", "$top": 3}));
    assert_eq!(sent.headers["mcp-method"], "tools/call");
    assert_eq!(sent.headers["mcp-name"], "act");
    assert_eq!(sent.headers["mcp-protocol-version"], "2026-07-28");
}

#[tokio::test]
async fn a_list_that_is_stale_at_once_is_asked_for_once_by_all_turns_together() {
    let server = ScriptedMcp::start(|request| newest(request, &json!([act()]), done))
        .await
        .unwrap();
    let client = client();
    let turns = (0..20).map(|_| offered(&client, &server));
    for (functions, _) in futures::future::join_all(turns).await {
        assert_eq!(functions, ["act"]);
    }
    assert_eq!(server.of("tools/list").len(), 1);
    assert_eq!(server.of("server/discover").len(), 1);
    assert_eq!(offered(&client, &server).await.0, ["act"]);
    assert_eq!(server.of("tools/list").len(), 1, "a floor for ttlMs: 0");
}

#[tokio::test]
async fn a_server_that_never_lists_delays_the_first_turn_only() {
    let server = ScriptedMcp::start(|request| match request.method() {
        "tools/list" => McpReply::never(),
        _ => newest(request, &json!([]), done),
    })
    .await
    .unwrap();
    let client = client();
    let (functions, problems) = offered(&client, &server).await;
    assert_eq!((functions.len(), problems.len()), (0, 1), "{problems:?}");
    let started = Instant::now();
    offered(&client, &server).await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_call_that_is_given_up_is_cancelled_at_the_server_at_once() {
    for (name, with_session) in [("2026-07-28", false), ("2025-11-25", true)] {
        let server = ScriptedMcp::start(move |request| {
            if with_session {
                older(
                    request,
                    |request| request.error(-32601, "Method not found"),
                    |_| McpReply::never(),
                )
            } else {
                newest(request, &json!([act()]), |_| {
                    McpReply::events(": working\n\n").ending(End::StaysOpen)
                })
            }
        })
        .await
        .unwrap();
        let client = client();
        let url = server.url();
        let calling = call_with(&client, &url, json!({}), Duration::from_mins(1));
        tokio::select! {
            made = calling => panic!("{name}: {made:?}"),
            called = server.until(|server| !server.of("tools/call").is_empty()) => called.unwrap(),
        }
        let given_up_at = Instant::now();
        server
            .until(|server| !server.of("notifications/cancelled").is_empty() && server.given_up() > 0)
            .await
            .unwrap();
        assert!(given_up_at.elapsed() < Duration::from_secs(2), "{name}");
        let id = server.of("tools/call")[0].body["id"].clone();
        let cancelled = server.of("notifications/cancelled").remove(0);
        assert_eq!(cancelled.body["params"]["requestId"], id, "{name}");
        if with_session {
            server
                .until(|server| server.requests().iter().any(|request| request.http_method == "DELETE"))
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn an_answer_that_a_server_ends_on_purpose_is_continued() {
    let server = ScriptedMcp::start(|request| {
        if request.headers.contains_key("last-event-id") {
            let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"content": "later"}});
            return McpReply::events(&format!("id: 8\ndata: {answer}\n\n"));
        }
        let unknown = |request: &McpRequest| request.error(-32601, "Method not found");
        older(request, unknown, |_| McpReply::events("id: 7\nretry: 10\ndata:\n\n"))
    })
    .await
    .unwrap();
    assert_eq!(call(&server).await.unwrap().content, json!("later"));
    let resumed: Vec<McpRequest> = server
        .requests()
        .into_iter()
        .filter(|request| request.headers.contains_key("last-event-id"))
        .collect();
    assert_eq!(resumed[0].headers["last-event-id"], "7");
    assert_eq!(resumed[0].headers["mcp-session-id"], "s1");
    assert_eq!(server.of("tools/call").len(), 1);
}

#[tokio::test]
async fn a_session_that_a_replica_does_not_know_is_said_and_tried_again() {
    let server = ScriptedMcp::start(|request| {
        let unknown = |request: &McpRequest| request.error(-32601, "Method not found");
        older(request, unknown, |_| {
            McpReply::json(
                404,
                &json!({"jsonrpc": "2.0", "error": {"code": -32001, "message": "Session not found"}}),
            )
        })
    })
    .await
    .unwrap();
    let failure = call(&server).await.unwrap_err();
    assert!(failure.message.contains("session affinity"), "{failure}");
    assert_ne!(failure.retry, RetryClass::Permanent);
}

#[tokio::test]
async fn both_the_text_and_the_structured_content_reach_the_model() {
    let server = ScriptedMcp::start(|request| {
        newest(request, &json!([act()]), |request| {
            request.result(&json!({
                "content": [{"type": "text", "text": "Evidence is in the structured content."}],
                "structuredContent": {"evidence": [1.10, 2]},
            }))
        })
    })
    .await
    .unwrap();
    let made: Map<String, Value> = serde_json::from_value(call(&server).await.unwrap().content).unwrap();
    assert_eq!(made["content"], "Evidence is in the structured content.");
    assert_eq!(made["structuredContent"]["evidence"][1], 2);
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, 0).unwrap()
}

#[tokio::test]
async fn a_content_coding_that_nobody_asked_for_is_decoded_in_every_kind_of_answer() {
    type Code = fn(McpReply) -> McpReply;
    let codings: [(&str, Code); 4] = [
        ("gzip", |reply| reply.coded("gzip", gzip)),
        ("zstd", |reply| reply.coded("zstd", zstd)),
        ("gzip without its header", |reply| reply.coded("identity", gzip)),
        ("a header that is not true", |reply| reply.coded("gzip", <[u8]>::to_vec)),
    ];
    for (name, code) in codings {
        let server = ScriptedMcp::start(move |request| {
            code(newest(
                request,
                &json!([act()]),
                |request| match request.body["params"]["arguments"]["as"].as_str() {
                    Some("events") => {
                        let answer = json!({"jsonrpc": "2.0", "id": request.body["id"], "result": {"content": "né"}});
                        McpReply::events(&format!("data: {answer}\n\n"))
                    }
                    Some("error") => {
                        let error = json!({"code": -32602, "message": "no such né"});
                        McpReply::json(
                            400,
                            &json!({"jsonrpc": "2.0", "id": request.body["id"], "error": error}),
                        )
                    }
                    _ => request.result(&json!({"content": "né"})),
                },
            ))
        })
        .await
        .unwrap();
        let client = client();
        assert_eq!(
            offered(&client, &server).await,
            (vec!["act".to_owned()], vec![]),
            "{name}"
        );
        let call = async |form: &str| {
            let arguments = json!({"as": form});
            call_with(&client, &server.url(), arguments, Duration::from_secs(20)).await
        };
        assert_eq!(call("json").await.unwrap().content, "né", "{name}");
        assert_eq!(call("events").await.unwrap().content, "né", "{name}");
        let error = call("error").await.unwrap_err();
        assert!(error.message.contains("no such né"), "{name}: {error}");
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_decoded_is_told_and_the_tool_acts_once() {
    let server = ScriptedMcp::start(|request| {
        newest(request, &json!([act()]), |request| {
            done(request).header("content-encoding", "snappy")
        })
    })
    .await
    .unwrap();
    let failure = call(&server).await.unwrap_err();
    assert_eq!(failure.retry, RetryClass::Permanent);
    assert!(failure.message.contains("snappy"), "{failure}");
    assert_eq!(server.of("tools/call").len(), 1);
}

#[tokio::test]
async fn numbers_keep_their_digits_in_arguments_headers_and_results() {
    let tools = json!([{"name": "act", "inputSchema": {"type": "object", "properties": {
        "id": {"type": "integer", "x-mcp-header": "Account"}, "rate": {"type": "number"},
    }}}]);
    let numbers = r#"{"id":100000000000000000001,"rate":1.10}"#;
    let server = ScriptedMcp::start(move |request| {
        newest(request, &tools, |request| {
            let same: Value = serde_json::from_str(numbers).unwrap();
            let block = json!({"type": "text", "text": "see"});
            request.result(&json!({"content": [block], "structuredContent": same}))
        })
    })
    .await
    .unwrap();
    let client = client();
    offered(&client, &server).await;
    let arguments = serde_json::from_str(numbers).unwrap();
    let made = call_with(&client, &server.url(), arguments, Duration::from_secs(20)).await;
    let sent = &server.of("tools/call")[0];
    assert_eq!(sent.body["params"]["arguments"].to_string(), numbers);
    assert_eq!(sent.headers["mcp-param-account"], "100000000000000000001");
    assert_eq!(made.unwrap().content["structuredContent"].to_string(), numbers);
}

#[tokio::test]
async fn text_that_is_laxer_than_json_costs_neither_a_list_nor_a_result() {
    let server = ScriptedMcp::start(|request| match request.method() {
        // Half of a character, as JavaScript writes it where a text is cut.
        "tools/list" => {
            let list = r#"{"tools": [{"name": "act", "description": "Smile \ud83d", "inputSchema": {}}]}"#;
            let id = &request.body["id"];
            McpReply::text(200, "application/json", &format!(r#"{{"jsonrpc": "2.0", "id": {id}, "result": {list}}}"#))
        }
        "tools/call" => {
            let result = r#"{"content": [{"type": "text", "text": "cut \ud83d"}], "structuredContent": {"mean": NaN}, "isError": true}"#;
            let id = &request.body["id"];
            McpReply::events(&format!("data: {{\"jsonrpc\": \"2.0\", \"id\": {id}, \"result\": {result}}}\n\n"))
        }
        _ => newest(request, &json!([]), done),
    })
    .await
    .unwrap();
    assert_eq!(offered(&client(), &server).await.0, ["act"]);
    let made = call(&server).await.unwrap();
    assert!(made.is_error);
    let expected = json!({"content": "cut \u{fffd}", "structuredContent": {"mean": "NaN"}});
    assert_eq!(made.content, expected);
}

#[tokio::test]
async fn a_call_after_the_loss_of_its_worker_is_made_only_if_that_is_safe() {
    for (annotations, is_natural, calls) in [
        (Value::Null, false, 0),
        // What the protocol assumes of a tool that says nothing.
        (
            json!({"readOnlyHint": false, "destructiveHint": true, "idempotentHint": false}),
            false,
            0,
        ),
        (json!({"destructiveHint": false}), false, 0),
        (json!({"readOnlyHint": true}), false, 1),
        (json!({"idempotentHint": true}), false, 1),
        (Value::Null, true, 1),
    ] {
        let tools = json!([{"name": "act", "annotations": annotations}]);
        let server = ScriptedMcp::start(move |request| newest(request, &tools, done))
            .await
            .unwrap();
        // The worker that makes the next attempt has seen no list.
        let client = client();
        let call = McpCall {
            is_repeatable: is_natural,
            is_after_loss: true,
            ..plain_call()
        };
        let made = client.call(&revision(&server.url()), call).await;
        assert_eq!(server.of("tools/call").len(), calls, "{annotations}");
        match made {
            Ok(made) => assert_eq!(made.content, "done"),
            Err(failure) => {
                assert_eq!(failure.retry, RetryClass::Permanent);
                assert!(failure.message.contains("the tool may have acted"), "{failure}");
            }
        }
    }
}
