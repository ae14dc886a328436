//! The metrics of the controllers, under the names of controller-runtime, which
//! dashboards know.

use std::time::{Duration, Instant};

use steadfast_process::prometheus::{
    self, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
};

/// From an edit that restarts nothing to an image that a node has to pull first, in seconds.
const APPLY_TO_READY_BUCKETS: [f64; 12] = [0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0];

/// The metrics of all controllers of this process.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    reconciles: IntCounterVec,
    errors: IntCounterVec,
    seconds: HistogramVec,
    active: IntGaugeVec,
    leading: IntGaugeVec,
    apply_to_ready: Histogram,
    scalings: IntCounterVec,
    polls: IntCounterVec,
}

/// The result of a reconciliation or of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There is nothing to do until something changes.
    Success,
    /// It will be tried again.
    Error,
}

impl Outcome {
    /// The value of the label `result`.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
        }
    }
}

impl Metrics {
    /// Registers the metrics.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            reconciles: IntCounterVec::new(
                Opts::new(
                    "controller_runtime_reconcile_total",
                    "Number of reconciliations per controller",
                ),
                &["controller", "result"],
            )?,
            errors: IntCounterVec::new(
                Opts::new(
                    "controller_runtime_reconcile_errors_total",
                    "Number of failed reconciliations per controller",
                ),
                &["controller"],
            )?,
            seconds: HistogramVec::new(
                HistogramOpts::new(
                    "controller_runtime_reconcile_time_seconds",
                    "Duration of a reconciliation",
                ),
                &["controller"],
            )?,
            active: IntGaugeVec::new(
                Opts::new(
                    "controller_runtime_active_workers",
                    "Number of reconciliations that are running",
                ),
                &["controller"],
            )?,
            leading: IntGaugeVec::new(
                Opts::new(
                    "leader_election_master_status",
                    "Whether this replica holds the Lease: 1, or 0",
                ),
                &["name"],
            )?,
            apply_to_ready: Histogram::with_opts(
                HistogramOpts::new(
                    "steadfast_agent_apply_to_ready_seconds",
                    "Time from an apply of an Agent until it is Ready",
                )
                .buckets(APPLY_TO_READY_BUCKETS.to_vec()),
            )?,
            scalings: IntCounterVec::new(
                Opts::new(
                    "steadfast_autoscaler_scalings_total",
                    "Changes of the number of workers by spec.worker.autoscaling",
                ),
                &["direction", "cause"],
            )?,
            polls: IntCounterVec::new(
                Opts::new(
                    "steadfast_autoscaler_polls_total",
                    "Polls of Temporal for what waits for the workers of one owner",
                ),
                &["result"],
            )?,
        };
        registry.register(Box::new(metrics.scalings.clone()))?;
        registry.register(Box::new(metrics.polls.clone()))?;
        registry.register(Box::new(metrics.reconciles.clone()))?;
        registry.register(Box::new(metrics.errors.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.active.clone()))?;
        registry.register(Box::new(metrics.leading.clone()))?;
        registry.register(Box::new(metrics.apply_to_ready.clone()))?;
        Ok(metrics)
    }

    /// Whether this replica holds the Lease. One that loses it ends.
    pub(crate) fn leads(&self, lease: &str, leads: bool) {
        self.leading.with_label_values(&[lease]).set(i64::from(leads));
    }

    /// An Agent became Ready this long after it was applied.
    pub(crate) fn became_ready(&self, took: Duration) {
        self.apply_to_ready.observe(took.as_secs_f64());
    }

    /// The number of an owner's workers was changed. Both labels are fixed words.
    pub(crate) fn scaled(&self, direction: &'static str, cause: &'static str) {
        self.scalings.with_label_values(&[direction, cause]).inc();
    }

    /// Temporal was asked what waits for an owner's workers.
    pub(crate) fn polled(&self, outcome: Outcome) {
        self.polls.with_label_values(&[outcome.as_str()]).inc();
    }

    /// Starts measuring one reconciliation.
    #[must_use]
    pub(crate) fn begin(&self, controller: &'static str) -> Measurement<'_> {
        self.active.with_label_values(&[controller]).inc();
        Measurement {
            metrics: self,
            controller,
            started: Instant::now(),
        }
    }
}

/// A running reconciliation; it counts as ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Measurement<'a> {
    metrics: &'a Metrics,
    controller: &'static str,
    started: Instant,
}

impl Measurement<'_> {
    /// Records the result.
    pub(crate) fn end(self, outcome: Outcome) {
        self.metrics
            .reconciles
            .with_label_values(&[self.controller, outcome.as_str()])
            .inc();
        if outcome == Outcome::Error {
            self.metrics.errors.with_label_values(&[self.controller]).inc();
        }
        self.metrics
            .seconds
            .with_label_values(&[self.controller])
            .observe(self.started.elapsed().as_secs_f64());
    }
}

impl Drop for Measurement<'_> {
    fn drop(&mut self) {
        self.metrics.active.with_label_values(&[self.controller]).dec();
    }
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
        metrics.begin("agent").end(Outcome::Success);
        metrics.begin("agent").end(Outcome::Error);
        metrics.leads("steadfast-operator-demo", true);
        metrics.became_ready(Duration::from_secs(3));
        metrics.scaled("up", "woken");
        metrics.polled(Outcome::Success);
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        documented_metrics::compare("Operator", &text, &[]).unwrap();
    }
}
