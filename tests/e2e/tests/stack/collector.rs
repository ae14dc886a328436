//! An OpenTelemetry collector that receives spans over gRPC and HTTP and keeps them.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use anyhow::Context as _;
use axum::{Router, body::Bytes, extract::State, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{AnyValue, KeyValue, any_value},
    trace::v1::{ResourceSpans, Span, span::SpanKind},
};
use prost::Message as _;
use serde_json::Value;
use steadfast_testkit::{stack::TIMEOUT, wait};
use tokio::net::TcpListener;

#[derive(Clone)]
pub(crate) struct Collector {
    pub url: String,
    /// Every batch, encoded.
    received: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// An exported span, with its ids in hexadecimal.
#[derive(Clone, Debug)]
pub(crate) struct Exported {
    pub service: String,
    pub name: String,
    pub kind: SpanKind,
    pub trace_id: String,
    pub span_id: String,
    /// Empty in a root span.
    pub parent_span_id: String,
    pub attributes: BTreeMap<String, Value>,
    pub start_nanos: u64,
    pub end_nanos: u64,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let collector = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            received: Arc::default(),
        };
        let grpc = TraceServiceServer::new(collector.clone());
        let app = Router::new()
            .route("/v1/traces", post(take_http))
            .route_service("/opentelemetry.proto.collector.trace.v1.TraceService/Export", grpc)
            .with_state(collector.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        collector
    }

    /// Waits for the span of a turn, which its worker exports last, and returns all spans.
    pub(crate) async fn until_turn(&self, number: u32) -> Vec<Exported> {
        let turn = wait::until("the span of the turn", TIMEOUT, async || {
            let spans = self.spans();
            let is_turn =
                |span: &Exported| span.name.starts_with("invoke_agent ") && span.attributes["steadfast.turn"] == number;
            spans.iter().any(is_turn).then_some(spans).context("it has not arrived")
        });
        turn.await.unwrap()
    }

    /// Whether a batch contains the text.
    pub(crate) fn contains(&self, text: &str) -> bool {
        let received = self.received.lock().unwrap();
        let is_in = |batch: &Vec<u8>| batch.windows(text.len()).any(|piece| piece == text.as_bytes());
        received.iter().any(is_in)
    }

    fn spans(&self) -> Vec<Exported> {
        let received = self.received.lock().unwrap();
        let batches = received
            .iter()
            .map(|batch| ExportTraceServiceRequest::decode(batch.as_slice()).unwrap());
        batches
            .flat_map(|batch| batch.resource_spans)
            .flat_map(exported)
            .collect()
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.received.lock().unwrap().push(request.into_inner().encode_to_vec());
        Ok(ExportTraceServiceResponse::default().into())
    }
}

async fn take_http(State(collector): State<Collector>, batch: Bytes) -> Vec<u8> {
    collector.received.lock().unwrap().push(batch.to_vec());
    ExportTraceServiceResponse::default().encode_to_vec()
}

fn exported(spans: ResourceSpans) -> Vec<Exported> {
    let resource = attributes(spans.resource.unwrap_or_default().attributes);
    let service = resource["service.name"].as_str().unwrap();
    let of_scopes = spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
    of_scopes.map(|span| of_span(service, span)).collect()
}

fn of_span(service: &str, span: Span) -> Exported {
    Exported {
        service: service.to_owned(),
        kind: span.kind(),
        name: span.name,
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_span_id: hex(&span.parent_span_id),
        attributes: attributes(span.attributes),
        start_nanos: span.start_time_unix_nano,
        end_nanos: span.end_time_unix_nano,
    }
}

fn attributes(attributes: Vec<KeyValue>) -> BTreeMap<String, Value> {
    let attributes = attributes.into_iter();
    attributes
        .map(|attribute| (attribute.key, json(attribute.value.unwrap_or_default())))
        .collect()
}

fn json(value: AnyValue) -> Value {
    match value.value {
        Some(any_value::Value::StringValue(text)) => text.into(),
        Some(any_value::Value::BoolValue(value)) => value.into(),
        Some(any_value::Value::IntValue(number)) => number.into(),
        Some(any_value::Value::DoubleValue(number)) => number.into(),
        Some(any_value::Value::ArrayValue(array)) => array.values.into_iter().map(json).collect(),
        other => panic!("unexpected value of an attribute: {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}
