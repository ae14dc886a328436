//! Sends finished spans to an OpenTelemetry collector, when the process is told
//! of one by the standard variables `OTEL_*`. Batches in the background; a
//! collector that is slow or away costs spans, never a turn, and is logged now
//! and then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::Key;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{ExporterBuildError, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter};
use tokio::runtime::Handle;
use tonic::transport::Endpoint;

use crate::{outbound::Outbound, trace_context::GivenIds};

/// How often an ongoing failure is logged.
const REPORT_INTERVAL: Duration = Duration::from_mins(5);

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("unknown OTLP protocol {0:?}: use grpc or http/protobuf")]
    UnknownProtocol(String),
    #[error("there is no tokio runtime to send spans from")]
    NoRuntime(#[source] tokio::runtime::TryCurrentError),
    #[error("cannot set up the OTLP exporter")]
    Build(#[from] ExporterBuildError),
    #[error("cannot set up the HTTP client of the OTLP exporter")]
    BuildClient(#[from] reqwest::Error),
    #[error("cannot set up the connection to the OTLP collector through the proxy")]
    BuildTunnel(#[from] tonic::transport::Error),
}

/// How spans travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    Grpc,
    HttpProtobuf,
}

/// Where spans go. The SDK reads everything else (headers, timeout, batches,
/// sampler, resource) from the standard variables itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportSettings {
    pub protocol: Protocol,
    /// The whole URL; without it the standard variables are followed.
    pub endpoint: Option<String>,
    /// What the standard variables name, without the path of the signal.
    pub collector: Option<String>,
}

impl ExportSettings {
    /// What the process was told; nothing when it shall not export spans.
    pub fn from_environment() -> Result<Option<Self>, ExportError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the standard variables of OpenTelemetry are read where its SDK reads them, not in each args.rs"
        )]
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, ExportError> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let either = |signal: &str, all: &str| set(signal).or_else(|| set(all));
        let disabled = set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let none = set("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
        let collector = either("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT");
        if disabled || none || collector.is_none() {
            return Ok(None);
        }
        let protocol = match either("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL").as_deref() {
            None | Some("grpc") => Protocol::Grpc,
            Some("http/protobuf") => Protocol::HttpProtobuf,
            Some(other) => return Err(ExportError::UnknownProtocol(other.to_owned())),
        };
        Ok(Some(Self {
            protocol,
            endpoint: None,
            collector,
        }))
    }
}

/// A provider whose spans are exported. Must be called inside a tokio runtime,
/// which does the sending.
pub fn provider(
    program: &'static str,
    settings: &ExportSettings,
    outbound: &Outbound,
) -> Result<SdkTracerProvider, ExportError> {
    let exporter = OnRuntime {
        runtime: Handle::try_current().map_err(ExportError::NoRuntime)?,
        exporter: Arc::new(build(settings, outbound)?),
        failures: Mutex::default(),
    };
    Ok(SdkTracerProvider::builder()
        .with_resource(resource(program))
        .with_id_generator(GivenIds::default())
        .with_span_processor(BatchSpanProcessor::builder(exporter).build())
        .build())
}

/// The program's name, unless the standard variables give another.
fn resource(program: &'static str) -> Resource {
    let told = Resource::builder().build();
    let name = told.get(&Key::from_static_str("service.name"));
    if name.is_some_and(|name| !name.as_str().starts_with("unknown_service")) {
        return told;
    }
    Resource::builder().with_service_name(program).build()
}

fn build(settings: &ExportSettings, outbound: &Outbound) -> Result<opentelemetry_otlp::SpanExporter, ExportError> {
    let endpoint = settings.endpoint.clone().unwrap_or_default();
    let builder = opentelemetry_otlp::SpanExporter::builder();
    let exporter = match settings.protocol {
        Protocol::Grpc => {
            // Used for https endpoints only.
            let mut tls = ClientTlsConfig::new().with_enabled_roots();
            if let Some(pem) = &outbound.authorities_pem {
                tls = tls.ca_certificate(Certificate::from_pem(pem));
            }
            let collector = settings.endpoint.as_ref().or(settings.collector.as_ref());
            let builder = builder.with_tonic();
            match collector.and_then(|collector| outbound.tunnel(collector)) {
                Some((collector, tunnel)) => {
                    let endpoint = Endpoint::from(collector).tls_config(tls)?;
                    builder
                        .with_channel(endpoint.connect_with_connector_lazy(tunnel))
                        .build()
                }
                None => builder.with_tls_config(tls).with_endpoint(endpoint).build(),
            }
        }
        Protocol::HttpProtobuf => builder
            .with_http()
            .with_http_client(outbound.apply(reqwest::Client::builder()).build()?)
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .build(),
    };
    Ok(exporter?)
}

/// Exports on the tokio runtime: the SDK's batches are sent from a thread of
/// their own, where neither transport can run.
#[derive(Debug)]
struct OnRuntime {
    runtime: Handle,
    exporter: Arc<opentelemetry_otlp::SpanExporter>,
    failures: Mutex<Failures>,
}

impl SpanExporter for OnRuntime {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let exporter = self.exporter.clone();
        let sent = self.runtime.spawn(async move { exporter.export(batch).await });
        let sent = sent
            .await
            .unwrap_or_else(|stopped| Err(OTelSdkError::InternalFailure(stopped.to_string())));
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match &sent {
            Ok(()) => {
                if failures.recovered() {
                    tracing::info!("the OTLP collector takes spans again");
                }
            }
            Err(error) => {
                if let Some(lost_spans) = failures.failed(spans, Instant::now()) {
                    tracing::warn!(%error, lost_spans, "spans do not reach the OTLP collector");
                }
            }
        }
        sent
    }

    fn set_resource(&mut self, resource: &Resource) {
        // Shared only while a batch is on its way, and none is before the start.
        if let Some(exporter) = Arc::get_mut(&mut self.exporter) {
            exporter.set_resource(resource);
        }
    }
}

/// Decides when a failure is worth a log line.
#[derive(Debug, Default)]
struct Failures {
    lost_spans: usize,
    reported_at: Option<Instant>,
}

impl Failures {
    /// The spans lost since the last report, when it is time for one.
    fn failed(&mut self, spans: usize, now: Instant) -> Option<usize> {
        self.lost_spans += spans;
        let due = self
            .reported_at
            .is_none_or(|reported_at| now.duration_since(reported_at) >= REPORT_INTERVAL);
        due.then(|| {
            self.reported_at = Some(now);
            std::mem::take(&mut self.lost_spans)
        })
    }

    /// Whether a failure that was reported has ended.
    fn recovered(&mut self) -> bool {
        std::mem::take(self).reported_at.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Option<ExportSettings>, ExportError> {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        ExportSettings::from_variables(|name| variables.get(name).map(ToString::to_string))
    }

    #[test]
    fn without_an_endpoint_nothing_is_exported() {
        assert_eq!(settings(&[]).unwrap(), None);
        assert_eq!(settings(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]).unwrap(), None);
    }

    #[test]
    fn the_standard_switches_turn_export_off() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");
        assert_eq!(settings(&[endpoint, ("OTEL_SDK_DISABLED", "true")]).unwrap(), None);
        assert_eq!(settings(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]).unwrap(), None);
    }

    #[test]
    fn grpc_is_the_default_and_the_protocol_for_traces_wins() {
        let endpoint = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4317");
        let grpc = ExportSettings {
            collector: Some("http://collector:4317".to_owned()),
            ..ExportSettings::default()
        };
        let http = ExportSettings {
            protocol: Protocol::HttpProtobuf,
            ..grpc.clone()
        };
        assert_eq!(settings(&[endpoint]).unwrap(), Some(grpc));
        let protocols = [
            endpoint,
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        ];
        assert_eq!(settings(&protocols).unwrap(), Some(http));
    }

    #[test]
    fn an_unknown_protocol_is_named() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");
        let error = settings(&[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "smoke")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown OTLP protocol \"smoke\": use grpc or http/protobuf"
        );
    }

    #[test]
    fn an_ongoing_failure_is_reported_once_an_interval_with_all_that_was_lost() {
        let start = Instant::now();
        let mut failures = Failures::default();
        assert_eq!(failures.failed(3, start), Some(3));
        assert_eq!(failures.failed(5, start + Duration::from_secs(5)), None);
        assert_eq!(failures.failed(2, start + REPORT_INTERVAL), Some(7));
        assert!(failures.recovered());
        assert!(!failures.recovered());
        assert_eq!(failures.failed(1, start + REPORT_INTERVAL), Some(1));
    }
}
