//! What the gateway measures for Prometheus: requests, open streams, how late viewers are told, and calls to Temporal and
//! Redis.
//! Every label is from a bounded set: routes, RPC methods and fixed words. Never holds an
//! id, a name, a message or a URL.

use std::time::Duration;

use axum::http::StatusCode;
use jiff::Timestamp;
use steadfast_eventlog::LogError;
use steadfast_process::prometheus::{
    self, Histogram, HistogramOpts, HistogramVec, IntGauge, Registry, core::Collector, exponential_buckets,
};

/// The metrics of one process; clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    request_seconds: HistogramVec,
    open_streams: IntGauge,
    temporal_call_seconds: HistogramVec,
    redis_call_seconds: HistogramVec,
    event_lag_seconds: Histogram,
}

/// Counts a stream as open until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenStream(IntGauge);

impl Metrics {
    /// Registers the metrics.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let histogram = |name: &str, help: &str, labels: &[&str], buckets| {
            let options = HistogramOpts::new(name, help).buckets(buckets);
            registered(registry, HistogramVec::new(options, labels)?)
        };
        Ok(Self {
            request_seconds: histogram(
                "steadfast_gateway_request_seconds",
                "From a request to the head of its response; of a stream, until it is open",
                &["route", "rpc_method", "status"],
                exponential_buckets(0.002, 2.0, 14)?,
            )?,
            open_streams: registered(
                registry,
                IntGauge::new("steadfast_gateway_open_streams", "Streams of tasks that are open now")?,
            )?,
            temporal_call_seconds: histogram(
                "steadfast_gateway_temporal_call_seconds",
                "Length of a call to Temporal, retries included",
                &["call", "outcome"],
                exponential_buckets(0.002, 2.0, 13)?,
            )?,
            redis_call_seconds: histogram(
                "steadfast_gateway_redis_call_seconds",
                "Length of a call to Redis",
                &["call", "outcome"],
                exponential_buckets(0.000_25, 2.0, 14)?,
            )?,
            event_lag_seconds: registered(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "steadfast_gateway_event_lag_seconds",
                        "From the time of an event until it is handed to the stream of a viewer who was there before",
                    )
                    .buckets(exponential_buckets(0.001, 2.0, 15)?),
                )?,
            )?,
        })
    }

    /// The response to a request has begun. `route` is a route's pattern, never a path.
    pub(crate) fn request_ended(&self, route: &str, rpc_method: &'static str, status: StatusCode, duration: Duration) {
        self.request_seconds
            .with_label_values(&[route, rpc_method, status_class(status)])
            .observe(duration.as_secs_f64());
    }

    /// A call to Redis has ended.
    pub fn redis_call_ended(&self, call: &str, error: Option<&LogError>, duration: Duration) {
        let outcome = match error {
            None => "success",
            Some(error) if error.is_outage() => "unavailable",
            Some(_) => "refused",
        };
        self.redis_call_seconds
            .with_label_values(&[call, outcome])
            .observe(duration.as_secs_f64());
    }

    /// An event is handed to a viewer who connected at `connected`. What happened before is no delay.
    pub(crate) fn event_delivered(&self, event: Timestamp, connected: Timestamp) {
        if event > connected {
            let lag = Timestamp::now().duration_since(event);
            self.event_lag_seconds.observe(lag.as_secs_f64().max(0.0));
        }
    }

    pub(crate) fn stream_opened(&self) -> OpenStream {
        self.open_streams.inc();
        OpenStream(self.open_streams.clone())
    }

    /// A call to Temporal has ended; `outcome` is `success` or the category of its error.
    pub(crate) fn temporal_call_ended(&self, call: &'static str, outcome: &'static str, duration: Duration) {
        self.temporal_call_seconds
            .with_label_values(&[call, outcome])
            .observe(duration.as_secs_f64());
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;
    use steadfast_testkit::documented_metrics;

    use super::*;

    #[test]
    fn metrics_have_the_documented_names_and_labels() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let second = Duration::from_secs(1);
        metrics.request_ended("/tasks/{task_id}", "", StatusCode::NOT_FOUND, second);
        metrics.temporal_call_ended("describe_workflow_execution", "timed_out", second);
        metrics.redis_call_ended("XRANGE", None, second);
        let now = Timestamp::now();
        metrics.event_delivered(now, now - second);
        // A viewer who came later was told of it on purpose.
        metrics.event_delivered(now - second, now);
        let open = metrics.stream_opened();
        drop(metrics.stream_opened());
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        documented_metrics::compare("Gateway", &text, &[]).unwrap();
        let samples: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.contains("_bucket{") && !line.contains("_sum"))
            .collect();
        assert_eq!(
            samples,
            [
                "steadfast_gateway_event_lag_seconds_count 1",
                "steadfast_gateway_open_streams 1",
                "steadfast_gateway_redis_call_seconds_count{call=\"XRANGE\",outcome=\"success\"} 1",
                "steadfast_gateway_request_seconds_count{route=\"/tasks/{task_id}\",rpc_method=\"\",status=\"4xx\"} 1",
                "steadfast_gateway_temporal_call_seconds_count{call=\"describe_workflow_execution\",outcome=\"timed_out\"} 1",
            ]
        );
        drop(open);
    }
}
