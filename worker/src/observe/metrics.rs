//! The Prometheus metrics of a worker: tokens, model calls, tool calls, turns and
//! approvals of each agent. Every label has a bounded set of values: names of
//! revisions and fixed words. No label is an ID, a message or a URL.

use std::time::Duration;

use steadfast_events::{TurnStatus, Usage, Verdict};
use steadfast_process::prometheus::{
    self, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
    core::{Collector, Metric, MetricVec, MetricVecBuilder},
    exponential_buckets,
};

/// The metrics of one process. Clones share their counts.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    tokens: IntCounterVec,
    model_call_seconds: HistogramVec,
    time_to_first_token_seconds: HistogramVec,
    model_errors: IntCounterVec,
    model_requests_adapted: IntCounterVec,
    tool_call_seconds: HistogramVec,
    turns: IntCounterVec,
    approvals_requested: IntCounterVec,
    approvals_decided: IntCounterVec,
    log_lagging: IntCounterVec,
    log_messages_lost: IntCounterVec,
    pub(crate) workflows_evicted: IntCounter,
}

/// How a tool call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToolCallOutcome {
    Success,
    /// The tool answered with an error, or the call was refused; the model gets the error.
    Error,
    /// The attempt failed; Temporal may retry it.
    Failed,
}

impl Metrics {
    /// Registers the metrics.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let histogram = |name: &str, help: &str, labels: &[&str], buckets| {
            let options = HistogramOpts::new(name, help).buckets(buckets);
            registered(registry, HistogramVec::new(options, labels)?)
        };
        let workflows_evicted = IntCounter::new(
            "steadfast_workflows_evicted_total",
            "Tasks that were removed from memory to keep within its limit; each is replayed when it goes on",
        )?;
        registry.register(Box::new(workflows_evicted.clone()))?;
        Ok(Self {
            tokens: counter(
                "steadfast_tokens_total",
                "Tokens of completed model calls; cached_input is a part of input, reasoning is a part of output",
                &["agent", "model", "type"],
            )?,
            model_call_seconds: histogram(
                "steadfast_model_call_seconds",
                "Duration of one attempt of a model call, to the end of the response",
                &["agent", "model", "outcome"],
                exponential_buckets(0.08, 2.0, 14)?,
            )?,
            time_to_first_token_seconds: histogram(
                "steadfast_model_time_to_first_token_seconds",
                "Time from the request to the first event of the model's response",
                &["agent", "model"],
                exponential_buckets(0.01, 2.0, 14)?,
            )?,
            model_errors: counter(
                "steadfast_model_errors_total",
                "Failed attempts of model calls",
                &["agent", "category"],
            )?,
            model_requests_adapted: counter(
                "steadfast_model_requests_adapted_total",
                "Requests that a model server refused in part and got again without that part; adaptation says which",
                &["agent", "model", "adaptation"],
            )?,
            tool_call_seconds: histogram(
                "steadfast_tool_call_seconds",
                "Duration of one attempt of a tool call",
                &["agent", "tool", "outcome"],
                exponential_buckets(0.01, 4.0, 9)?,
            )?,
            turns: counter("steadfast_turns_total", "Turns that ended", &["agent", "status"])?,
            approvals_requested: counter(
                "steadfast_approvals_requested_total",
                "Approvals that were requested from people",
                &["agent"],
            )?,
            approvals_decided: counter(
                "steadfast_approvals_decided_total",
                "Approvals that were decided",
                &["agent", "decision"],
            )?,
            log_lagging: counter(
                "steadfast_log_lagging_total",
                "Activities that ended before the log had all their events; a later activity appends them",
                &["agent"],
            )?,
            log_messages_lost: counter(
                "steadfast_log_messages_lost_total",
                "Segments that the log lacks and no history in Temporal has any more",
                &["agent"],
            )?,
            workflows_evicted,
        })
    }

    /// A model call has completed.
    pub(crate) fn model_call_succeeded(&self, agent: &str, model: &str, duration: Duration, usage: Usage) {
        self.model_call_ended(agent, model, duration, "success");
        self.tokens_used(agent, model, usage);
    }

    /// An attempt of a model call failed. `category` is that of its failure.
    pub(crate) fn model_call_failed(&self, agent: &str, model: &str, duration: Duration, category: &'static str) {
        self.model_call_ended(agent, model, duration, "error");
        self.model_errors.with_label_values(&[agent, category]).inc();
    }

    /// A model server refused a part of a request, and gets the next one without it. `adaptation` names a member of the
    /// request or a fixed word.
    pub(crate) fn model_request_adapted(&self, agent: &str, model: &str, adaptation: &str) {
        self.model_requests_adapted
            .with_label_values(&[agent, model, adaptation])
            .inc();
    }

    /// A model call was interrupted; `usage` is what the provider had reported until then.
    pub(crate) fn model_call_interrupted(&self, agent: &str, model: &str, duration: Duration, usage: Usage) {
        self.model_call_ended(agent, model, duration, "interrupted");
        self.tokens_used(agent, model, usage);
    }

    /// The first event of a response has arrived.
    pub(crate) fn first_token(&self, agent: &str, model: &str, after: Duration) {
        let seconds = &self.time_to_first_token_seconds;
        seconds.with_label_values(&[agent, model]).observe(after.as_secs_f64());
    }

    /// An attempt of a tool call has ended. `tool` is its name in the revision; for the tool of an MCP server, the
    /// name of the server.
    pub(crate) fn tool_call_ended(&self, agent: &str, tool: &str, duration: Duration, outcome: ToolCallOutcome) {
        let outcome = match outcome {
            ToolCallOutcome::Success => "success",
            ToolCallOutcome::Error => "error",
            ToolCallOutcome::Failed => "failed",
        };
        let seconds = &self.tool_call_seconds;
        seconds
            .with_label_values(&[agent, tool, outcome])
            .observe(duration.as_secs_f64());
    }

    pub(crate) fn turn_ended(&self, agent: &str, status: TurnStatus) {
        let status = match status {
            TurnStatus::Completed => "completed",
            TurnStatus::Failed => "failed",
            TurnStatus::Interrupted => "interrupted",
            TurnStatus::Canceled => "canceled",
        };
        self.turns.with_label_values(&[agent, status]).inc();
    }

    pub(crate) fn approval_requested(&self, agent: &str) {
        self.approvals_requested.with_label_values(&[agent]).inc();
    }

    pub(crate) fn approval_decided(&self, agent: &str, verdict: Verdict) {
        self.approvals_decided
            .with_label_values(&[agent, verdict.as_str()])
            .inc();
    }

    /// An activity ended before the log had all its events.
    pub(crate) fn log_lagging(&self, agent: &str) {
        self.log_lagging.with_label_values(&[agent]).inc();
    }

    /// The log goes on without so many segments.
    pub(crate) fn log_messages_lost(&self, agent: &str, count: u64) {
        if count > 0 {
            self.log_messages_lost.with_label_values(&[agent]).inc_by(count);
        }
    }

    fn model_call_ended(&self, agent: &str, model: &str, duration: Duration, outcome: &'static str) {
        let seconds = &self.model_call_seconds;
        seconds
            .with_label_values(&[agent, model, outcome])
            .observe(duration.as_secs_f64());
    }

    fn tokens_used(&self, agent: &str, model: &str, usage: Usage) {
        for (kind, count) in [
            ("input", usage.input_tokens),
            ("cached_input", usage.cached_input_tokens),
            ("output", usage.output_tokens),
            ("reasoning", usage.reasoning_tokens),
        ] {
            self.tokens.with_label_values(&[agent, model, kind]).inc_by(count);
        }
    }
}

fn registered<B>(registry: &Registry, metric: MetricVec<B>) -> Result<MetricVec<B>, prometheus::Error>
where
    B: MetricVecBuilder + 'static,
    MetricVec<B>: Collector + Clone,
    B::M: Metric,
{
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;
    use steadfast_testkit::documented_metrics;

    use super::*;

    const AGENT: &str = "weather";
    const MODEL: &str = "gpt-5-mini";

    /// The samples without buckets and sums, one per line.
    fn samples(registry: &Registry) -> Vec<String> {
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter(|line| !line.contains("_bucket{") && !line.contains("_sum{"))
            .map(ToOwned::to_owned)
            .collect()
    }

    #[test]
    fn metrics_have_the_documented_names_and_labels() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let second = Duration::from_secs(1);
        let usage = Usage {
            input_tokens: 100,
            cached_input_tokens: 80,
            output_tokens: 20,
            reasoning_tokens: 5,
            model_calls: 1,
        };
        metrics.model_call_failed(AGENT, MODEL, second, "model_rate_limit");
        metrics.first_token(AGENT, MODEL, second);
        metrics.model_call_succeeded(AGENT, MODEL, second, usage);
        metrics.model_call_interrupted(AGENT, MODEL, second, Usage::default());
        metrics.approval_requested(AGENT);
        metrics.approval_decided(AGENT, Verdict::Expired);
        metrics.tool_call_ended(AGENT, "get-weather", second, ToolCallOutcome::Success);
        metrics.log_lagging(AGENT);
        metrics.log_messages_lost(AGENT, 2);
        metrics.turn_ended(AGENT, TurnStatus::Completed);
        let expected = [
            "steadfast_approvals_decided_total{agent=\"weather\",decision=\"expired\"} 1",
            "steadfast_approvals_requested_total{agent=\"weather\"} 1",
            "steadfast_log_lagging_total{agent=\"weather\"} 1",
            "steadfast_log_messages_lost_total{agent=\"weather\"} 2",
            "steadfast_model_call_seconds_count{agent=\"weather\",model=\"gpt-5-mini\",outcome=\"error\"} 1",
            "steadfast_model_call_seconds_count{agent=\"weather\",model=\"gpt-5-mini\",outcome=\"interrupted\"} 1",
            "steadfast_model_call_seconds_count{agent=\"weather\",model=\"gpt-5-mini\",outcome=\"success\"} 1",
            "steadfast_model_errors_total{agent=\"weather\",category=\"model_rate_limit\"} 1",
            "steadfast_model_time_to_first_token_seconds_count{agent=\"weather\",model=\"gpt-5-mini\"} 1",
            "steadfast_tokens_total{agent=\"weather\",model=\"gpt-5-mini\",type=\"cached_input\"} 80",
            "steadfast_tokens_total{agent=\"weather\",model=\"gpt-5-mini\",type=\"input\"} 100",
            "steadfast_tokens_total{agent=\"weather\",model=\"gpt-5-mini\",type=\"output\"} 20",
            "steadfast_tokens_total{agent=\"weather\",model=\"gpt-5-mini\",type=\"reasoning\"} 5",
            "steadfast_tool_call_seconds_count{agent=\"weather\",outcome=\"success\",tool=\"get-weather\"} 1",
            "steadfast_turns_total{agent=\"weather\",status=\"completed\"} 1",
            "steadfast_workflows_evicted_total 0",
        ];
        assert_eq!(samples(&registry), expected);

        metrics.model_request_adapted(AGENT, MODEL, "temperature");
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        // The polls are counted where the connection is made.
        documented_metrics::compare("Worker", &text, &["steadfast_temporal_polls_open"]).unwrap();
    }

    #[test]
    fn the_longest_model_call_has_a_bucket() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let longest = Duration::from_mins(10);
        metrics.model_call_failed(AGENT, MODEL, longest, "model_timeout");
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let last = text.lines().find(|line| line.contains("le=\"655.36\"")).unwrap();
        assert!(last.ends_with(" 1"), "{last}");
    }
}
