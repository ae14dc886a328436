//! Sets up logging to standard error and the export of spans, once per process.
//! Decides the log format, which targets never speak and whose spans are
//! exported.

use std::fmt;
use std::panic::PanicHookInfo;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::Subscriber;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::outbound::Outbound;
use crate::span_export::{self, ExportError, ExportSettings};

/// Targets that log what must not be logged: async-openai writes the bodies
/// of model calls, prompts included, when it cannot decode them; kube-client
/// writes the answers of the API server, lists with the objects of everybody
/// included. Its errors are returned, and logged by whoever handles them.
const SILENCED: [&str; 2] = ["async_openai", "kube_client::client"];

/// Under which name our spans are exported; also the prefix of our crates.
const SCOPE: &str = "steadfast";

/// How long the last spans may take to leave.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for log collectors.
    #[default]
    Json,
    /// One short line per record, for people.
    Compact,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Json => "json",
            Self::Compact => "compact",
        })
    }
}

impl FromStr for LogFormat {
    type Err = UnknownLogFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "json" => Ok(Self::Json),
            "compact" => Ok(Self::Compact),
            other => Err(UnknownLogFormat(other.to_owned())),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("unknown log format {0:?}: use json or compact")]
pub struct UnknownLogFormat(String);

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("cannot read the log level {filter:?}: write one like info or info,kube=debug")]
    ParseFilter {
        filter: String,
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("logging was already set up in this process")]
    AlreadySet(#[source] tracing_subscriber::util::TryInitError),
}

/// Keep it until the program ends: what was not exported by then is sent when it
/// is dropped, for at most five seconds.
#[must_use = "spans are flushed when this is dropped"]
#[derive(Debug)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = self.provider.take()
            && let Err(error) = provider.shutdown_with_timeout(FLUSH_LIMIT)
        {
            tracing::warn!(%error, "the last spans did not reach the OTLP collector");
        }
    }
}

/// The tracer of this process; nothing when it exports no spans.
pub fn tracer() -> Option<SdkTracer> {
    TRACER.get().cloned()
}

/// Starts logging for `program`, and exporting its spans when the standard
/// variable `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector, which is reached by the way out. `filter` is a level
/// (`info`) or a list of directives (`info,steadfast_operator=debug`).
///
/// Exporting needs the tokio runtime this is called in. Where it cannot be set
/// up, the program runs without, and its log says why.
pub fn init(
    program: &'static str,
    format: LogFormat,
    filter: &str,
    outbound: &Outbound,
) -> Result<Telemetry, TelemetryError> {
    let exporting = export_spans(program, outbound);
    let provider = exporting.as_ref().ok().cloned().flatten();
    // Libraries have spans too, many and with who knows what in them: ours alone are exported.
    let spans = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(SCOPE))
            .with_filter(filter_fn(|metadata| {
                metadata.is_span() && metadata.target().starts_with(SCOPE)
            }))
    });
    let registry = tracing_subscriber::registry().with(self::filter(filter)?).with(spans);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Json => registry
            .with(lines.json().flatten_event(true).with_span_list(false))
            .try_init(),
        LogFormat::Compact => registry.with(lines.compact()).try_init(),
    }
    .map_err(TelemetryError::AlreadySet)?;
    std::panic::set_hook(Box::new(log_panic));
    tracing::info!(program, version = env!("CARGO_PKG_VERSION"), "starting");
    if let Err(error) = exporting {
        tracing::error!(error = &error as &dyn std::error::Error, "spans are not exported");
    }
    if let Some(provider) = &provider {
        opentelemetry::global::set_tracer_provider(provider.clone());
        let _ = TRACER.set(provider.tracer(SCOPE));
    }
    Ok(Telemetry { provider })
}

fn export_spans(program: &'static str, outbound: &Outbound) -> Result<Option<SdkTracerProvider>, ExportError> {
    let settings = ExportSettings::from_environment()?;
    settings
        .map(|settings| span_export::provider(program, &settings, outbound))
        .transpose()
}

/// The filter of all records: `directives`, and no record of a target that logs what must not be logged, whatever
/// the directives say.
pub fn filter<S: Subscriber>(directives: &str) -> Result<impl Layer<S> + use<S>, TelemetryError> {
    let filter = EnvFilter::try_new(directives).map_err(|source| TelemetryError::ParseFilter {
        filter: directives.to_owned(),
        source,
    })?;
    Ok(filter.and_then(filter_fn(|metadata| !is_silenced(metadata.target()))))
}

fn is_silenced(target: &str) -> bool {
    SILENCED.iter().any(|silenced| {
        target
            .strip_prefix(silenced)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    })
}

/// A panic is a log record like any other, so that collectors see it.
fn log_panic(info: &PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string);
    let backtrace = std::backtrace::Backtrace::capture().to_string();
    let message = info.payload_as_str().unwrap_or("(no message)");
    tracing::error!(location, backtrace, message, "panicked");
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn log_format_reads_what_it_writes() {
        for format in [LogFormat::Json, LogFormat::Compact] {
            assert_eq!(format.to_string().parse::<LogFormat>().unwrap(), format);
        }
        assert_eq!(
            "xml".parse::<LogFormat>().unwrap_err().to_string(),
            "unknown log format \"xml\": use json or compact"
        );
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn clients_that_log_bodies_stay_silent_whatever_the_filter_says() {
        for directives in [
            "trace",
            "async_openai=trace,kube_client::client=trace,info",
            "[request]=trace",
        ] {
            let lines = Lines::default();
            let writer = lines.clone();
            let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
            let subscriber = tracing_subscriber::registry()
                .with(filter(directives).unwrap())
                .with(layer);
            tracing::subscriber::with_default(subscriber, || {
                let _span = tracing::info_span!("request").entered();
                tracing::warn!(target: "kube_client::client", "private");
                tracing::error!(target: "async_openai::client", "private");
                tracing::warn!(target: "kube_client::config", "public");
            });
            let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
            assert!(
                text.contains("public") && !text.contains("private"),
                "{directives}: {text}"
            );
        }
    }

    #[test]
    fn a_bad_filter_is_named_in_the_error() {
        let error = filter::<tracing_subscriber::Registry>("info,=")
            .err()
            .map(|error| error.to_string());
        let expected = "cannot read the log level \"info,=\": write one like info or info,kube=debug";
        assert_eq!(error.as_deref(), Some(expected));
    }
}
