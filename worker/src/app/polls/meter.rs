//! The metrics of a Temporal client, of which those of polls are counted.

use std::{fmt, sync::Arc, time::Duration};

use temporalio_common::telemetry::metrics::{
    CoreMeter, Counter, CounterBase, Gauge, GaugeF64, Histogram, HistogramDuration, HistogramDurationBase,
    HistogramF64, MetricAttributable, MetricAttributes, MetricParameters, NewAttributes, NoOpCoreMeter, NoOpInstrument,
    UpDownCounter,
};

use super::{ACTIVITIES, PollOf, Polls, WORKFLOWS};

/// All polls.
const OPERATIONS: [&str; 3] = [WORKFLOWS, ACTIVITIES, "PollNexusTaskQueue"];

/// Names that the Temporal client gives to its metrics and labels.
mod names {
    pub(super) const STARTED: &str = "long_request";
    pub(super) const ENDED: &str = "long_request_latency";
    pub(super) const OPERATION: &str = "operation";
    pub(super) const TASK_QUEUE: &str = "task_queue";
}

/// Gets the metrics of a Temporal client, and keeps those of polls.
pub(super) struct PollMeter {
    polls: Polls,
}

impl fmt::Debug for PollMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PollMeter")
    }
}

impl CoreMeter for PollMeter {
    fn new_attributes(&self, attributes: NewAttributes) -> MetricAttributes {
        NoOpCoreMeter.new_attributes(attributes)
    }

    fn extend_attributes(&self, existing: MetricAttributes, attributes: NewAttributes) -> MetricAttributes {
        NoOpCoreMeter.extend_attributes(existing, attributes)
    }

    fn counter(&self, parameters: MetricParameters) -> Counter {
        match parameters.name.as_ref() {
            names::STARTED => Counter::new(Arc::new(self.instrument(PollMetric::Started))),
            _ => NoOpCoreMeter.counter(parameters),
        }
    }

    fn histogram(&self, parameters: MetricParameters) -> Histogram {
        NoOpCoreMeter.histogram(parameters)
    }

    fn histogram_f64(&self, parameters: MetricParameters) -> HistogramF64 {
        NoOpCoreMeter.histogram_f64(parameters)
    }

    fn histogram_duration(&self, parameters: MetricParameters) -> HistogramDuration {
        match parameters.name.as_ref() {
            names::ENDED => HistogramDuration::new(Arc::new(self.instrument(PollMetric::Ended))),
            _ => NoOpCoreMeter.histogram_duration(parameters),
        }
    }

    fn gauge(&self, parameters: MetricParameters) -> Gauge {
        NoOpCoreMeter.gauge(parameters)
    }

    fn gauge_f64(&self, parameters: MetricParameters) -> GaugeF64 {
        NoOpCoreMeter.gauge_f64(parameters)
    }

    fn up_down_counter(&self, parameters: MetricParameters) -> UpDownCounter {
        NoOpCoreMeter.up_down_counter(parameters)
    }
}

impl PollMeter {
    pub(super) fn new(polls: Polls) -> Self {
        Self { polls }
    }

    fn instrument(&self, metric: PollMetric) -> Instrument {
        Instrument {
            polls: self.polls.clone(),
            metric,
        }
    }
}

/// What a metric of the client says when it is recorded.
#[derive(Clone, Copy)]
enum PollMetric {
    Started,
    Ended,
}

struct Instrument {
    polls: Polls,
    metric: PollMetric,
}

/// An instrument with the attributes of one request.
struct BoundInstrument {
    polls: Polls,
    metric: PollMetric,
    poll: PollOf,
}

impl Instrument {
    fn bind(&self, attributes: &MetricAttributes) -> Option<BoundInstrument> {
        let MetricAttributes::NoOp(labels) = attributes else {
            return None;
        };
        let name = labels.get(names::OPERATION)?;
        let operation = OPERATIONS.into_iter().find(|known| known == name)?;
        Some(BoundInstrument {
            polls: self.polls.clone(),
            metric: self.metric,
            poll: PollOf {
                operation,
                task_queue: labels.get(names::TASK_QUEUE).cloned().unwrap_or_default(),
            },
        })
    }
}

impl MetricAttributable<Box<dyn CounterBase>> for Instrument {
    fn with_attributes(
        &self,
        attributes: &MetricAttributes,
    ) -> Result<Box<dyn CounterBase>, Box<dyn std::error::Error>> {
        Ok(match self.bind(attributes) {
            Some(bound) => Box::new(bound),
            None => Box::new(NoOpInstrument),
        })
    }
}

impl MetricAttributable<Box<dyn HistogramDurationBase>> for Instrument {
    fn with_attributes(
        &self,
        attributes: &MetricAttributes,
    ) -> Result<Box<dyn HistogramDurationBase>, Box<dyn std::error::Error>> {
        Ok(match self.bind(attributes) {
            Some(bound) => Box::new(bound),
            None => Box::new(NoOpInstrument),
        })
    }
}

impl BoundInstrument {
    fn record(&self) {
        match self.metric {
            PollMetric::Started => self.polls.started(&self.poll),
            PollMetric::Ended => self.polls.ended(&self.poll),
        }
    }
}

impl CounterBase for BoundInstrument {
    fn adds(&self, _: u64) {
        self.record();
    }
}

impl HistogramDurationBase for BoundInstrument {
    fn records(&self, _: Duration) {
        self.record();
    }
}

#[cfg(test)]
mod tests {
    use steadfast_process::prometheus::Registry;
    use temporalio_common::telemetry::metrics::MetricKeyValue;

    use super::*;

    #[test]
    fn the_metrics_of_the_client_are_counted() {
        let polls = Polls::register(&Registry::new()).unwrap();
        let mut meter = polls.meter();
        let attribute = |name: &str, value: &str| [MetricKeyValue::new(name.to_owned(), value.to_owned())];
        meter.merge_attributes(attribute(names::OPERATION, WORKFLOWS).into());
        let attributes = meter.get_default_attributes().clone();
        meter.counter(names::STARTED.into()).add(1, &attributes);
        let open = || polls.inner.open.with_label_values(&[WORKFLOWS]).get();
        assert_eq!(open(), 1);
        let latency = meter.histogram_duration(names::ENDED.into());
        let latency = latency.with_attributes(&attributes).unwrap();
        latency.records(Duration::ZERO);
        assert_eq!(open(), 0);
    }
}
