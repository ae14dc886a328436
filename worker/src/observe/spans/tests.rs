use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde_json::json;
use steadfast_process::{
    opentelemetry::trace::{Status, TracerProvider as _},
    opentelemetry_sdk::{
        error::OTelSdkResult,
        trace::{SdkTracerProvider, SpanData, SpanExporter},
    },
    trace_context::{GivenIds, parse_traceparent},
};

use super::*;

const TASK: &str = "018f3a5c-7c1e-7b7a-9c50-0123456789ab";
const SECRET: &str = "the-pin-is-4711";

#[derive(Clone, Debug, Default)]
struct Recorder(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Recorder {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

impl Recorder {
    fn spans(&self, content: ContentCapture) -> Spans {
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(self.clone())
            .with_id_generator(GivenIds::default())
            .build();
        Spans::new(Some(provider.tracer("test")), content)
    }

    fn recorded(&self) -> Vec<SpanData> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn context() -> TaskContext {
    TaskContext {
        task_id: TASK.to_owned(),
        trace_id: TASK.to_owned(),
        parent_span_id: interceptor::span_id(TASK, Some(StepId { turn: 3, step: 1 })),
        ..TaskContext::default()
    }
}

fn url() -> Url {
    Url::parse("https://api.openai.com/v1").unwrap()
}

fn model_call(base_url: &Url) -> ModelCallStart<'_> {
    ModelCallStart {
        agent: "weather",
        model: "gpt-5-mini",
        base_url,
        turn: 3,
        step: 1,
        attempt: 2,
    }
}

fn tool_call() -> ToolCallStart<'static> {
    ToolCallStart {
        agent: "weather",
        tool: "get_weather",
        call_id: "call_1",
        kind: ToolType::Extension,
        turn: 3,
        step: 1,
        attempt: 1,
    }
}

fn turn_span() -> TurnSpan<'static> {
    TurnSpan {
        trace_id: trace_id(&context()),
        span_id: turn_span_id(TASK, 3),
        parent_span_id: None,
        task_id: TASK,
        turn: 3,
        agent: "weather",
        started_at: jiff::Timestamp::from_second(1_000).unwrap(),
        ended_at: jiff::Timestamp::from_second(1_060).unwrap(),
        status: TurnStatus::Completed,
        error: None,
        usage: some_usage(),
    }
}

fn some_usage() -> Usage {
    Usage {
        input_tokens: 100,
        cached_input_tokens: 80,
        output_tokens: 20,
        reasoning_tokens: 5,
        model_calls: 1,
    }
}

fn attributes(span: &SpanData) -> BTreeMap<&str, String> {
    let attributes = span.attributes.iter();
    attributes
        .map(|attribute| (attribute.key.as_str(), attribute.value.to_string()))
        .collect()
}

#[test]
fn model_and_tool_spans_are_children_of_the_turn_that_is_recorded_later() {
    let sink = Recorder::default();
    let spans = sink.spans(ContentCapture::Off);
    spans
        .model_call(&context(), model_call(&url()))
        .completed(ModelCallEnd::default());
    spans.tool_call(&context(), tool_call()).succeeded();
    spans.record_turn(&turn_span());
    let recorded = sink.recorded();
    let names: Vec<_> = recorded.iter().map(|span| span.name.as_ref()).collect();
    assert_eq!(
        names,
        ["chat gpt-5-mini", "execute_tool get_weather", "invoke_agent weather"]
    );
    let turn = &recorded[2];
    assert_eq!(turn.parent_span_id, SpanId::INVALID);
    assert_eq!(turn.end_time.duration_since(turn.start_time).unwrap().as_secs(), 60);
    for span in &recorded {
        assert_eq!(span.span_context.trace_id().to_string(), TASK.replace('-', ""));
    }
    for call in &recorded[..2] {
        assert_eq!(call.parent_span_id, turn.span_context.span_id());
    }
}

#[test]
fn a_model_span_has_the_attributes_of_the_conventions() {
    let sink = Recorder::default();
    let url = url();
    let mut span = sink.spans(ContentCapture::Off).model_call(&context(), model_call(&url));
    span.first_chunk();
    span.completed(ModelCallEnd {
        response_id: Some("resp_1"),
        model: Some("gpt-5-mini-2025-08-07"),
        finish_reasons: &["stop"],
        usage: some_usage(),
    });
    let recorded = sink.recorded();
    assert_eq!(recorded[0].span_kind, SpanKind::Client);
    assert_eq!(recorded[0].status, Status::Unset);
    let mut found = attributes(&recorded[0]);
    assert!(found.remove(attr::TIME_TO_FIRST_CHUNK).unwrap().parse::<f64>().unwrap() < 60.0);
    let expected = [
        ("error.type", None),
        ("gen_ai.agent.name", Some("weather")),
        ("gen_ai.conversation.id", Some(TASK)),
        ("gen_ai.operation.name", Some("chat")),
        ("gen_ai.provider.name", Some("openai")),
        ("gen_ai.request.model", Some("gpt-5-mini")),
        ("gen_ai.request.stream", Some("true")),
        ("gen_ai.response.finish_reasons", Some("[\"stop\"]")),
        ("gen_ai.response.id", Some("resp_1")),
        ("gen_ai.response.model", Some("gpt-5-mini-2025-08-07")),
        ("gen_ai.usage.cache_read.input_tokens", Some("80")),
        ("gen_ai.usage.input_tokens", Some("100")),
        ("gen_ai.usage.output_tokens", Some("20")),
        ("gen_ai.usage.reasoning.output_tokens", Some("5")),
        ("server.address", Some("api.openai.com")),
        ("server.port", Some("443")),
        ("steadfast.attempt", Some("2")),
        ("steadfast.step", Some("1")),
        ("steadfast.turn", Some("3")),
    ];
    let expected: BTreeMap<_, _> = expected
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?.to_owned())))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn spans_hold_content_only_if_it_is_enabled() {
    let sink = Recorder::default();
    for content in [ContentCapture::Off, ContentCapture::On] {
        let spans = sink.spans(content);
        let mut model = spans.model_call(&context(), model_call(&url()));
        model.record_input(|| vec![json!({"role": "user", "content": SECRET})]);
        model.record_output(&[json!({"role": "assistant", "content": SECRET})]);
        model.completed(ModelCallEnd::default());
        let mut tool = spans.tool_call(&context(), tool_call());
        tool.arguments(json!({"pin": SECRET}).as_object().unwrap());
        tool.result(&json!(SECRET));
        tool.succeeded();
        let recorded = sink.recorded();
        let told = format!("{recorded:?}").matches(SECRET).count();
        assert_eq!(told, if content == ContentCapture::On { 4 } else { 0 });
    }
}

#[test]
fn a_failure_has_its_category_and_a_dropped_call_is_canceled() {
    let sink = Recorder::default();
    let spans = sink.spans(ContentCapture::Off);
    spans
        .model_call(&context(), model_call(&url()))
        .failed("model_rate_limit");
    drop(spans.tool_call(&context(), tool_call()));
    spans.record_turn(&TurnSpan {
        status: TurnStatus::Failed,
        error: Some("max_model_calls"),
        ..turn_span()
    });
    let ended = |error| RecordedCall {
        started_at: turn_span().started_at,
        ended_at: turn_span().ended_at,
        error,
    };
    spans.record_tool_call(&context(), tool_call(), ended(Some("timeout")));
    let recorded = sink.recorded();
    let errors: Vec<_> = recorded
        .iter()
        .map(|span| attributes(span)["error.type"].clone())
        .collect();
    assert_eq!(errors, ["model_rate_limit", "canceled", "max_model_calls", "timeout"]);
    assert!(recorded.iter().all(|span| matches!(span.status, Status::Error { .. })));
}

#[test]
fn a_turn_is_a_child_of_the_span_of_the_client() {
    let sink = Recorder::default();
    let client = parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
    sink.spans(ContentCapture::Off).record_turn(&TurnSpan {
        trace_id: client.trace_id(),
        parent_span_id: Some(client.span_id()),
        ..turn_span()
    });
    let recorded = sink.recorded();
    assert_eq!(recorded[0].span_context.trace_id(), client.trace_id());
    assert_eq!(recorded[0].span_context.span_id(), turn_span_id(TASK, 3));
    assert_eq!(recorded[0].parent_span_id, client.span_id());
}

#[test]
fn a_request_names_the_span_of_its_call() {
    let sink = Recorder::default();
    let span = sink.spans(ContentCapture::Off).tool_call(&context(), tool_call());
    let carried = parse_traceparent(&span.traceparent().unwrap()).unwrap();
    span.succeeded();
    let recorded = sink.recorded();
    assert_eq!(carried.span_id(), recorded[0].span_context.span_id());
    assert_eq!(carried.trace_id(), trace_id(&context()));
    assert!(carried.is_sampled());
}

#[test]
fn a_call_that_ran_elsewhere_is_a_child_of_its_turn_and_its_requests_name_it() {
    let sink = Recorder::default();
    let spans = sink.spans(ContentCapture::Off);
    let ended = RecordedCall {
        started_at: turn_span().started_at,
        ended_at: turn_span().ended_at,
        error: None,
    };
    let call = tool_call();
    let header = spans.traceparent_within(&context(), call.turn, call.step, call.call_id);
    spans.record_tool_call(&context(), call, ended);
    spans.record_tool_call(&context(), call, ended);
    let recorded = sink.recorded();
    let ids = recorded
        .iter()
        .map(|span| (span.span_context.span_id(), span.parent_span_id));
    let expected = (
        parse_traceparent(&header.unwrap()).unwrap().span_id(),
        turn_span_id(TASK, 3),
    );
    assert_eq!(ids.collect::<Vec<_>>(), [expected, expected]);
}

#[test]
fn without_an_exporter_only_the_trace_of_a_client_is_passed_on() {
    let spans = Spans::default();
    assert_eq!(spans.tool_call(&context(), tool_call()).traceparent(), None);
    let clients = TaskContext {
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        ..context()
    };
    let expected = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", turn_span_id(TASK, 3));
    assert_eq!(
        spans.tool_call(&clients, tool_call()).traceparent(),
        Some(expected.clone())
    );
    assert_eq!(spans.traceparent_within(&context(), 3, 1, "call_1"), None);
    assert_eq!(spans.traceparent_within(&clients, 3, 1, "call_1"), Some(expected));
}

#[test]
fn the_span_id_of_a_turn_derives_from_task_and_turn() {
    assert_eq!(turn_span_id(TASK, 3), span_id_of(&context().parent_span_id));
    assert_ne!(turn_span_id(TASK, 3), turn_span_id(TASK, 4));
    assert_ne!(turn_span_id(TASK, 3), turn_span_id("other", 3));
}

#[test]
fn providers_are_named_by_their_hosts() {
    for (host, name) in [
        ("api.openai.com", "openai"),
        ("mine.openai.azure.com", "azure.ai.openai"),
        ("api.x.ai", "x_ai"),
        ("vertex.ai", "openai"),
        ("us-central1-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("vllm.models.svc", "openai"),
    ] {
        let url = Url::parse(&format!("https://{host}/v1")).unwrap();
        assert_eq!(provider_of(&url), name, "{host}");
    }
}
