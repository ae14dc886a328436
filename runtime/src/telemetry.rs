//! Sets up logging to standard error, once per process. Decides the format
//! and which targets never speak; never reads the environment.

use std::fmt;
use std::panic::PanicHookInfo;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Targets that log what must not be logged: async-openai writes the bodies
/// of model calls, prompts included, when it cannot decode them.
const SILENCED: &[&str] = &["async_openai=off"];

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

/// Starts logging for `program`. `filter` is a level (`info`) or a list of
/// directives (`info,steadfast_operator=debug`).
pub fn init(program: &'static str, format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let registry = tracing_subscriber::registry().with(parse_filter(filter)?);
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
    Ok(())
}

fn parse_filter(filter: &str) -> Result<EnvFilter, TelemetryError> {
    let failed = |source| TelemetryError::ParseFilter {
        filter: filter.to_owned(),
        source,
    };
    let parsed = EnvFilter::try_new(filter).map_err(failed)?;
    SILENCED.iter().try_fold(parsed, |filter, directive| {
        let directive = directive.parse().map_err(failed)?;
        Ok(filter.add_directive(directive))
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
    #![allow(clippy::unwrap_used, reason = "tests")]
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

    #[test]
    fn async_openai_stays_silent_whatever_the_filter_says() {
        let filter = parse_filter("debug,async_openai=trace").unwrap();
        assert_eq!(filter.to_string(), "async_openai=off,debug");
    }

    #[test]
    fn a_bad_filter_is_named_in_the_error() {
        let error = parse_filter("info,=").err().map(|error| error.to_string());
        let expected = "cannot read the log level \"info,=\": write one like info or info,kube=debug";
        assert_eq!(error.as_deref(), Some(expected));
    }
}
