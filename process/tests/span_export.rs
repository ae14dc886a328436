//! Spans on their way to a collector, which here is a small server of our own.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::{Span, span::SpanKind as WireKind},
};
use prost::Message as _;
use steadfast_process::{
    crypto,
    opentelemetry::trace::{Span as _, SpanBuilder, SpanId, SpanKind, TracerProvider as _},
    opentelemetry_sdk::trace::SdkTracerProvider,
    outbound::{Outbound, OutboundArgs},
    span_export::{self, ExportSettings, Protocol},
    trace_context::{Place, parse_traceparent, span_id_of, trace_id_of},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::spawn_blocking,
};
use tokio_rustls::{TlsAcceptor, rustls};

const TASK: &str = "018f3a5c-7c1e-7b7a-9c50-0123456789ab";
const HOUR: Duration = Duration::from_hours(1);

type Received = mpsc::UnboundedReceiver<ExportTraceServiceRequest>;

/// The collector's side of either transport.
#[derive(Clone)]
struct Collector(mpsc::UnboundedSender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.0.send(request.into_inner()).unwrap();
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn take_http(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) -> Vec<u8> {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    collector
        .0
        .send(ExportTraceServiceRequest::decode(body).unwrap())
        .unwrap();
    ExportTraceServiceResponse::default().encode_to_vec()
}

fn collector_service() -> (Router, Received) {
    let (sender, received) = mpsc::unbounded_channel();
    let collector = Collector(sender);
    let grpc = TraceServiceServer::new(collector.clone());
    let router = Router::new()
        .route("/v1/traces", post(take_http))
        .route_service("/opentelemetry.proto.collector.trace.v1.TraceService/Export", grpc)
        .with_state(collector);
    (router, received)
}

async fn collector(protocol: Protocol) -> (String, Received) {
    let (router, received) = collector_service();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    let endpoint = match protocol {
        Protocol::Grpc => format!("http://{address}"),
        Protocol::HttpProtobuf => format!("http://{address}/v1/traces"),
    };
    (endpoint, received)
}

/// A collector behind TLS for `collector.example`; returns its port and its certificate.
async fn tls_collector() -> (u16, String, Received) {
    crypto::install();
    let (router, received) = collector_service();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["collector.example".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let connection = acceptor.accept(connection).await.unwrap();
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                // Ends with the connections of the test.
                drop(server.serve_connection(TokioIo::new(connection), service).await);
            });
        }
    });
    (port, cert.pem(), received)
}

/// A proxy that opens tunnels to one port, whatever host they are for; returns its address and the first lines of
/// what it was asked.
async fn proxy(port: u16) -> (String, mpsc::UnboundedReceiver<String>) {
    let (sender, requests) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut connection = BufReader::new(connection);
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    connection.read_until(b'\n', &mut head).await.unwrap();
                }
                let head = String::from_utf8(head).unwrap();
                sender.send(head.lines().next().unwrap().to_owned()).unwrap();
                let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                drop(copy_bidirectional(&mut connection, &mut server).await);
            });
        }
    });
    (address, requests)
}

fn provider(protocol: Protocol, endpoint: &str) -> SdkTracerProvider {
    provider_by(protocol, endpoint, &Outbound::default())
}

fn provider_by(protocol: Protocol, endpoint: &str, outbound: &Outbound) -> SdkTracerProvider {
    crypto::install();
    let settings = ExportSettings {
        protocol,
        endpoint: Some(endpoint.to_owned()),
        // As the variables give it: gRPC reads the endpoint from there.
        collector: Some(endpoint.to_owned()),
    };
    span_export::provider("steadfast-test", &settings, outbound).unwrap()
}

async fn flush(provider: SdkTracerProvider) {
    let flushed = spawn_blocking(move || provider.shutdown_with_timeout(Duration::from_secs(5)));
    flushed.await.unwrap().unwrap();
}

fn spans(request: &ExportTraceServiceRequest) -> Vec<Span> {
    let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    scopes.flat_map(|scope| scope.spans.clone()).collect()
}

#[tokio::test]
async fn spans_reach_the_collector_over_http_with_the_ids_times_and_parents_they_were_given() {
    spans_reach_the_collector(Protocol::HttpProtobuf).await;
}

#[tokio::test]
async fn spans_reach_the_collector_over_grpc_with_the_ids_times_and_parents_they_were_given() {
    spans_reach_the_collector(Protocol::Grpc).await;
}

async fn spans_reach_the_collector(protocol: Protocol) {
    let (endpoint, mut received) = collector(protocol).await;
    let provider = provider(protocol, &endpoint);
    let tracer = provider.tracer("steadfast");
    let turn = Place {
        trace_id: trace_id_of(TASK),
        parent: None,
        span_id: Some(span_id_of("task/1")),
    };
    let call = Place {
        parent: turn.span_id,
        span_id: None,
        ..turn
    };
    let mut running = call.start(&tracer, SpanBuilder::from_name("chat gpt").with_kind(SpanKind::Client));
    let header = format!("00-{}-{}-01", turn.trace_id, running.span_context().span_id());
    assert!(parse_traceparent(&header).is_some());
    running.end();
    let began = SystemTime::UNIX_EPOCH + 1_000 * HOUR;
    let mut recorded = turn.start(&tracer, SpanBuilder::from_name("invoke_agent a").with_start_time(began));
    recorded.end_with_timestamp(began + HOUR);
    let mut other = call.start(&tracer, SpanBuilder::from_name("execute_tool t"));
    other.end();
    flush(provider).await;

    let request = received.recv().await.unwrap();
    let resource = request.resource_spans[0].resource.clone().unwrap();
    let name = resource
        .attributes
        .iter()
        .find(|attribute| attribute.key == "service.name");
    assert!(format!("{name:?}").contains("steadfast-test"), "{name:?}");
    let spans = spans(&request);
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["chat gpt", "invoke_agent a", "execute_tool t"]);
    let (chat, turn_span, tool) = (&spans[0], &spans[1], &spans[2]);
    let turn_id = span_id_of("task/1").to_bytes().to_vec();
    for span in &spans {
        assert_eq!(span.trace_id, trace_id_of(TASK).to_bytes());
    }
    assert_eq!((&turn_span.span_id, turn_span.parent_span_id.len()), (&turn_id, 0));
    assert_eq!((&chat.parent_span_id, &tool.parent_span_id), (&turn_id, &turn_id));
    assert_ne!(chat.span_id, tool.span_id);
    assert_ne!(
        SpanId::from_bytes(chat.span_id.clone().try_into().unwrap()),
        SpanId::INVALID
    );
    assert_eq!(chat.kind, i32::from(WireKind::Client));
    assert_eq!(turn_span.start_time_unix_nano, 1_000 * 3_600 * 1_000_000_000);
    assert_eq!(turn_span.end_time_unix_nano, 1_001 * 3_600 * 1_000_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_holds_nobody_up() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let provider = provider(protocol, &format!("http://{closed}"));
        let tracer = provider.tracer("steadfast");
        let place = Place {
            trace_id: trace_id_of(TASK),
            parent: None,
            span_id: None,
        };
        let started = Instant::now();
        // More than the queue takes.
        for _ in 0..10_000 {
            place.start(&tracer, SpanBuilder::from_name("chat gpt")).end();
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        let stopping = spawn_blocking(move || provider.shutdown_with_timeout(Duration::from_secs(1)));
        assert!(stopping.await.unwrap().is_err());
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn spans_reach_a_collector_through_the_proxy_and_with_the_authority_of_the_installation() {
    for (protocol, path) in [(Protocol::Grpc, ""), (Protocol::HttpProtobuf, "/v1/traces")] {
        let (port, certificate, mut received) = tls_collector().await;
        let (proxy, mut requests) = proxy(port).await;
        let outbound = Outbound::new(&OutboundArgs {
            https_proxy: Some(proxy),
            ca_bundle: Some(certificate),
            ..OutboundArgs::default()
        })
        .unwrap();
        let provider = provider_by(protocol, &format!("https://collector.example:4317{path}"), &outbound);
        let place = Place {
            trace_id: trace_id_of(TASK),
            parent: None,
            span_id: None,
        };
        let tracer = provider.tracer("steadfast");
        place.start(&tracer, SpanBuilder::from_name("chat gpt")).end();
        flush(provider).await;
        assert_eq!(
            spans(&received.recv().await.unwrap()).len(),
            1,
            "nothing came by {protocol:?}"
        );
        let asked = requests.recv().await.unwrap();
        assert!(asked.starts_with("CONNECT collector.example:4317 "), "{asked}");
    }
}

#[tokio::test]
async fn a_collector_over_tls_is_accepted_by_both_transports() {
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        drop(provider(protocol, "https://collector.example:4317"));
    }
}
