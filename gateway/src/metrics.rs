//! What the gateway measures for Prometheus: requests, open streams and calls to Temporal.
//! Every label is from a bounded set: routes, RPC methods and fixed words. Never holds an
//! id, a name, a message or a URL.

use std::time::Duration;

use axum::http::StatusCode;
use steadfast_process::prometheus::{
    self, HistogramOpts, HistogramVec, IntGauge, Registry, core::Collector, exponential_buckets,
};

/// The metrics of one process; clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    request_seconds: HistogramVec,
    open_streams: IntGauge,
    temporal_call_seconds: HistogramVec,
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
        })
    }

    /// The response to a request has begun. `route` is a route's pattern, never a path.
    pub(crate) fn request_ended(&self, route: &str, rpc_method: &'static str, status: StatusCode, duration: Duration) {
        self.request_seconds
            .with_label_values(&[route, rpc_method, status_class(status)])
            .observe(duration.as_secs_f64());
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

    use super::*;

    #[test]
    fn metrics_have_the_documented_names_and_labels() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let second = Duration::from_secs(1);
        metrics.request_ended("/tasks/{task_id}", "", StatusCode::NOT_FOUND, second);
        metrics.temporal_call_ended("describe_workflow_execution", "timed_out", second);
        let open = metrics.stream_opened();
        drop(metrics.stream_opened());
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let samples: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.contains("_bucket{") && !line.contains("_sum{"))
            .collect();
        assert_eq!(
            samples,
            [
                "steadfast_gateway_open_streams 1",
                "steadfast_gateway_request_seconds_count{route=\"/tasks/{task_id}\",rpc_method=\"\",status=\"4xx\"} 1",
                "steadfast_gateway_temporal_call_seconds_count{call=\"describe_workflow_execution\",outcome=\"timed_out\"} 1",
            ]
        );
        drop(open);
    }
}
