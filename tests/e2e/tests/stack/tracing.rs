//! One trace from a client to the requests of tools, as a collector receives it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{Router, http::HeaderMap, routing::post};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};
use steadfast_e2e::backend::stack::{TOOLS, shared_stack};
use steadfast_testkit::{
    scripted_model::Reply,
    stack::{AgentSetup, Client, Line, activity_tool},
};
use tokio::net::TcpListener;

use crate::collector::{Collector, Exported};

/// The headers `traceparent` of the requests to a tool's server, oldest first.
type Traceparents = Arc<Mutex<Vec<String>>>;

/// A server that finds an aurochs, whatever it is asked.
async fn lookup_server() -> (String, Traceparents) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let seen = Traceparents::default();
    let recorder = seen.clone();
    let answer = async move |headers: HeaderMap| {
        let traceparent = headers.get("traceparent").map(|value| value.to_str().unwrap());
        recorder
            .lock()
            .unwrap()
            .push(traceparent.unwrap_or_default().to_owned());
        axum::Json(json!({"found": "aurochs"}))
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(answer))).await });
    (url, seen)
}

fn lookup(action: &Value) -> Value {
    let mut tool = json!({
        "description": "Looks something up.",
        "parameters": {"type": "object", "properties": {"what": {"type": "string"}}},
    });
    tool.as_object_mut()
        .unwrap()
        .extend(action.as_object().unwrap().clone());
    tool
}

/// Batches leave at once.
fn exporting(setup: AgentSetup, collector: &Collector) -> AgentSetup {
    setup
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)
        .variable("OTEL_BSP_SCHEDULE_DELAY", "100")
}

fn traceparent(span: &Exported) -> String {
    format!("00-{}-{}-01", span.trace_id, span.span_id)
}

fn names(spans: &[Exported]) -> Vec<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

/// Attributes from a JSON object.
fn expected(attributes: &Value) -> BTreeMap<String, Value> {
    attributes.as_object().unwrap().clone().into_iter().collect()
}

#[tokio::test]
async fn one_trace_spans_the_client_the_turn_its_calls_and_the_request_of_a_tool() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const CLIENT: &str = "00f067aa0ba902b7";
    let collector = Collector::start().await;
    let (url, requests) = lookup_server().await;
    let setup = AgentSetup::new("traced", |request| match request.last_tool_output() {
        None => Reply::stream().and_call_with_id("call_a", "lookup", &json!({"what": "quagga"})),
        Some(_) => Reply::text("No."),
    })
    .tool("lookup", lookup(&json!({"http": {"method": "POST", "url": url}})));
    let stack = shared_stack().await;
    let agent = stack.agent(exporting(setup, &collector)).await.unwrap();
    let client = Client::with_traceparent(stack.url(), &format!("00-{TRACE}-{CLIENT}-01")).unwrap();
    let task = client.task("traced").await.unwrap();
    task.complete_turn(1, "Ask.").await.unwrap();

    let mut spans = collector.until_turn(1).await;
    let in_order = [
        "chat scripted",
        "execute_tool lookup",
        "chat scripted",
        "invoke_agent traced",
    ];
    assert_eq!(names(&spans), in_order);
    for span in &spans {
        assert_eq!(
            (span.service.as_str(), span.trace_id.as_str()),
            ("steadfast-worker", TRACE)
        );
    }
    let turn = spans.pop().unwrap();
    assert_eq!((turn.kind, turn.parent_span_id.as_str()), (SpanKind::Internal, CLIENT));
    let attributes = json!({
        "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "traced", "gen_ai.conversation.id": task.id(),
        "gen_ai.usage.input_tokens": 22, "gen_ai.usage.cache_read.input_tokens": 6,
        "gen_ai.usage.output_tokens": 14, "gen_ai.usage.reasoning.output_tokens": 4,
        "steadfast.turn": 1, "steadfast.turn.status": "completed", "steadfast.model_calls": 2,
    });
    assert_eq!(turn.attributes, expected(&attributes));

    for span in &spans {
        assert_eq!(span.parent_span_id, turn.span_id, "{span:?}");
        assert!(turn.start_nanos <= span.start_nanos && span.start_nanos <= turn.end_nanos);
    }
    let (model, address) = (agent.model(), agent.model().url());
    let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
    for (number, step) in [(1, 0), (2, 1)] {
        let chat = &mut spans[2 * step];
        assert_eq!(chat.kind, SpanKind::Client);
        let waited = chat.attributes.remove("gen_ai.response.time_to_first_chunk").unwrap();
        assert!(waited.is_f64());
        let attributes = json!({
            "gen_ai.operation.name": "chat", "gen_ai.agent.name": "traced", "gen_ai.conversation.id": task.id(),
            "gen_ai.provider.name": "openai", "gen_ai.request.model": "scripted", "gen_ai.request.stream": true,
            "gen_ai.response.id": format!("resp_{number}"), "gen_ai.response.model": "scripted",
            "gen_ai.response.finish_reasons": ["completed"],
            "gen_ai.usage.input_tokens": 11, "gen_ai.usage.cache_read.input_tokens": 3,
            "gen_ai.usage.output_tokens": 7, "gen_ai.usage.reasoning.output_tokens": 2,
            "server.address": "127.0.0.1", "server.port": port,
            "steadfast.turn": 1, "steadfast.step": step, "steadfast.attempt": 1,
        });
        assert_eq!(chat.attributes, expected(&attributes));
        assert_eq!(model.journal()[step].request.header("traceparent"), traceparent(chat));
    }
    let tool = &spans[1];
    assert_eq!(tool.kind, SpanKind::Internal);
    let attributes = json!({
        "gen_ai.operation.name": "execute_tool", "gen_ai.agent.name": "traced", "gen_ai.conversation.id": task.id(),
        "gen_ai.tool.name": "lookup", "gen_ai.tool.call.id": "call_a", "gen_ai.tool.type": "extension",
        "steadfast.turn": 1, "steadfast.step": 0, "steadfast.attempt": 1,
    });
    assert_eq!(tool.attributes, expected(&attributes));
    assert_eq!(*requests.lock().unwrap(), [traceparent(tool)]);
}

#[tokio::test]
async fn without_a_client_trace_the_task_is_the_trace_and_includes_remote_tools() {
    let collector = Collector::start().await;
    let (url, requests) = lookup_server().await;
    let setup = AgentSetup::new("traced-alone", |request| match request.last_tool_output() {
        None => Reply::stream()
            .and_call_with_id("call_a", "context", &json!({}))
            .and_call_with_id("call_b", "lookup", &json!({"what": "quagga"})),
        Some(_) => Reply::text("No."),
    })
    .tool("context", activity_tool("context", TOOLS, &json!({})))
    .tool(
        "lookup",
        lookup(&json!({"steps": [{"name": "ask", "http": {"method": "POST", "url": url}}]})),
    );
    let agent = shared_stack().await.agent(exporting(setup, &collector)).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Ask.").await.unwrap();

    let spans = collector.until_turn(1).await;
    let in_order = [
        "chat scripted",
        "execute_tool context",
        "execute_tool lookup",
        "chat scripted",
        "invoke_agent traced-alone",
    ];
    assert_eq!(names(&spans), in_order);
    for span in &spans {
        assert_eq!(span.trace_id, task.id().replace('-', ""));
    }
    let turn = &spans[4];
    assert_eq!(turn.parent_span_id, "");
    for (tool, name, call_id) in [(&spans[1], "context", "call_a"), (&spans[2], "lookup", "call_b")] {
        assert_eq!(tool.parent_span_id, turn.span_id);
        assert!(turn.start_nanos <= tool.start_nanos && tool.end_nanos <= turn.end_nanos);
        let attributes = json!({
            "gen_ai.operation.name": "execute_tool", "gen_ai.agent.name": "traced-alone",
            "gen_ai.conversation.id": task.id(),
            "gen_ai.tool.name": name, "gen_ai.tool.call.id": call_id, "gen_ai.tool.type": "function",
            "steadfast.turn": 1, "steadfast.step": 0, "steadfast.attempt": 1,
        });
        assert_eq!(tool.attributes, expected(&attributes));
    }
    assert_eq!(*requests.lock().unwrap(), [traceparent(&spans[2])]);
    let lines = task.lines().await.unwrap();
    let headers = lines.iter().find_map(|line| match line {
        Line::ToolResponse { name, content, .. } if name == "context" => Some(content),
        _ => None,
    });
    let parent = headers.unwrap()["context-parent-span-id"].as_str().unwrap();
    assert_eq!(parent.replace('-', "")[..16], turn.span_id);
}

#[tokio::test]
async fn a_compaction_is_a_model_call_of_its_turn() {
    let collector = Collector::start().await;
    let setup = AgentSetup::new("traced-summary", |request| Reply::text(request.last_user_text()))
        .configure(|spec| spec.context.window_tokens = 20);
    let agent = shared_stack().await.agent(exporting(setup, &collector)).await.unwrap();
    let task = agent.task().await.unwrap();
    for turn in 1..=3 {
        task.complete_turn(turn, "Say it.").await.unwrap();
    }

    let spans = collector.until_turn(3).await;
    let calls: Vec<&Exported> = spans.iter().filter(|span| span.name == "chat scripted").collect();
    let turns: Vec<&Value> = calls.iter().map(|span| &span.attributes["steadfast.turn"]).collect();
    assert_eq!(turns, [1, 2, 3, 3]);
    let requests = agent.model().journal();
    let carried: Vec<&str> = requests.iter().map(|call| call.request.header("traceparent")).collect();
    let expected: Vec<String> = calls.into_iter().map(traceparent).collect();
    assert_eq!(carried, expected);
}

#[tokio::test]
async fn content_is_exported_only_with_content_capture() {
    let words = ["thylacine", "quagga", "aurochs", "dodo"];
    for (name, capture, expected) in [
        ("traced-quietly", "false", &[][..]),
        ("traced-aloud", "true", &words[..]),
    ] {
        let collector = Collector::start().await;
        let (url, _requests) = lookup_server().await;
        let setup = AgentSetup::new(name, |request| match request.last_tool_output() {
            None => Reply::call("lookup", &json!({"what": "quagga"})),
            Some(_) => Reply::text("It was a dodo."),
        })
        .tool("lookup", lookup(&json!({"http": {"method": "POST", "url": url}})))
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        .variable("STEADFAST_CAPTURE_CONTENT", capture);
        let agent = shared_stack().await.agent(exporting(setup, &collector)).await.unwrap();
        let task = agent.task().await.unwrap();
        task.complete_turn(1, "Was it a thylacine?").await.unwrap();
        assert_eq!(collector.until_turn(1).await.len(), 4);
        let exported: Vec<&str> = words.into_iter().filter(|word| collector.contains(word)).collect();
        assert_eq!(exported, expected);
    }
}
