//! The long polls of this worker: how many are open at the Temporal server, and whether the server refuses them. The SDK
//! repeats a refused poll for ever and tells nobody, but a worker without a poll serves nothing.
//!
//! The metrics of the Temporal client tell which polls are open, not why one has ended. Where none stays open, a probe
//! asks: a poll of a task queue that has no tasks.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use steadfast_process::{
    ReadinessGauge,
    prometheus::{self, IntGaugeVec, Opts, Registry},
};
use temporalio_client::{
    Client, RetryOptions,
    request_extensions::RetryConfigForCall,
    tonic::{Code, Request, Status},
};
use temporalio_common::{
    protos::temporal::api::{
        taskqueue::v1::TaskQueue,
        workflowservice::v1::{PollActivityTaskQueueRequest, PollWorkflowTaskQueueRequest},
    },
    telemetry::{
        TaskQueueLabelStrategy,
        metrics::{
            CoreMeter, Counter, CounterBase, Gauge, GaugeF64, Histogram, HistogramDuration, HistogramDurationBase,
            HistogramF64, MetricAttributable, MetricAttributes, MetricParameters, NewAttributes, NoOpCoreMeter,
            NoOpInstrument, TemporalMeter, UpDownCounter,
        },
    },
};
use tokio_util::sync::CancellationToken;

/// The poll for workflow tasks. There are two: for new tasks, and for those of the workflows in memory, which have a
/// task queue of their own.
const WORKFLOWS: &str = "PollWorkflowTaskQueue";
const ACTIVITIES: &str = "PollActivityTaskQueue";
/// The polls that a worker cannot be without, by the name of the gRPC method.
const NEEDED: [&str; 2] = [WORKFLOWS, ACTIVITIES];
/// All polls.
const OPERATIONS: [&str; 3] = [WORKFLOWS, ACTIVITIES, "PollNexusTaskQueue"];
/// Time between two checks of the polls.
const INTERVAL: Duration = Duration::from_millis(250);
/// Checks in a row that find a poll open: a refused one is open for milliseconds.
const CHECKS_UNTIL_TAKEN: u32 = 2;
/// Checks between two probes.
const CHECKS_BETWEEN_PROBES: u32 = 4;
/// A poll that stays open for so long is not refused.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
/// Refused probes in a row, a good second apart: a rate limit may refuse one poll of many at any time.
const REFUSALS_UNTIL_UNREADY: u32 = 3;

/// Names that the Temporal client gives to its metrics and labels.
mod names {
    pub(super) const STARTED: &str = "long_request";
    pub(super) const ENDED: &str = "long_request_latency";
    pub(super) const OPERATION: &str = "operation";
    pub(super) const TASK_QUEUE: &str = "task_queue";
}

/// The long polls of one process. Cheap to clone.
#[derive(Clone)]
pub(super) struct Polls {
    inner: Arc<Inner>,
}

struct Inner {
    /// By operation and task queue.
    kinds: Mutex<BTreeMap<(&'static str, String), Poll>>,
    open: IntGaugeVec,
}

/// The polls of one kind.
#[derive(Clone, Debug, Default)]
struct Poll {
    open: u32,
    /// Checks in a row that found one open.
    open_checks: u32,
}

/// What a check of the polls finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PollState {
    /// Not every kind of poll has been sent.
    Starting,
    /// A poll of each kind is open.
    Open,
    /// None of this kind stays open: the server refuses them, or the worker has no place for another task.
    NotOpen(&'static str),
}

impl Polls {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let options = Opts::new(
            "steadfast_temporal_polls_open",
            "Long polls for tasks that are open at the Temporal server",
        );
        let open = IntGaugeVec::new(options, &["operation"])?;
        registry.register(Box::new(open.clone()))?;
        Ok(Self {
            inner: Arc::new(Inner {
                kinds: Mutex::default(),
                open,
            }),
        })
    }

    /// The meter for the connection whose polls are counted.
    pub(super) fn meter(&self) -> TemporalMeter {
        let meter = PollMeter { polls: self.clone() };
        TemporalMeter::new(
            Arc::new(meter),
            NewAttributes::default(),
            TaskQueueLabelStrategy::UseNormalAndSticky,
        )
    }

    /// Keeps the check up to date until the token is cancelled.
    pub(super) async fn watch(self, probe: Probe, ready: ReadinessGauge, stop: CancellationToken) {
        let mut ticker = tokio::time::interval(INTERVAL);
        let mut refusals = Refusals::default();
        let mut checks_since_probe = CHECKS_BETWEEN_PROBES;
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    ready.set(false);
                    return;
                }
                _ = ticker.tick() => {}
            }
            checks_since_probe = checks_since_probe.saturating_add(1);
            let taken = match self.check() {
                PollState::Starting => continue,
                PollState::Open => Ok(()),
                PollState::NotOpen(_) if checks_since_probe < CHECKS_BETWEEN_PROBES => continue,
                PollState::NotOpen(operation) => {
                    checks_since_probe = 0;
                    probe.poll(operation).await
                }
            };
            match refusals.verdict(taken.is_err()) {
                Some(Verdict::Ready) => ready.set(true),
                Some(Verdict::Unready) => {
                    ready.set(false);
                    if let Err(status) = taken {
                        tracing::error!(code = ?status.code(), reason = status.message(), "{}", advice(status.code()));
                    }
                }
                None => {}
            }
        }
    }

    fn check(&self) -> PollState {
        let mut kinds = self.inner.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = PollState::Open;
        for operation in NEEDED {
            let mut is_sent = false;
            for ((of, _), poll) in &mut *kinds {
                if *of != operation {
                    continue;
                }
                is_sent = true;
                poll.open_checks = if poll.open > 0 { poll.open_checks + 1 } else { 0 };
                if poll.open_checks < CHECKS_UNTIL_TAKEN {
                    state = PollState::NotOpen(operation);
                }
            }
            if !is_sent {
                return PollState::Starting;
            }
        }
        state
    }

    fn change(&self, poll: &PollOf, change: impl FnOnce(&mut Poll)) {
        let mut kinds = self.inner.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        change(kinds.entry((poll.operation, poll.task_queue.clone())).or_default());
        let open: u32 = kinds
            .iter()
            .filter(|((operation, _), _)| *operation == poll.operation)
            .map(|(_, poll)| poll.open)
            .sum();
        drop(kinds);
        self.inner
            .open
            .with_label_values(&[poll.operation])
            .set(i64::from(open));
    }

    fn started(&self, poll: &PollOf) {
        self.change(poll, |poll| poll.open += 1);
    }

    fn ended(&self, poll: &PollOf) {
        self.change(poll, |poll| poll.open = poll.open.saturating_sub(1));
    }
}

/// Counts refusals in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Refusals(u32);

/// What a poll says about the readiness of the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ready,
    /// Said once, when the polls have been refused for long enough.
    Unready,
}

impl Refusals {
    fn verdict(&mut self, refused: bool) -> Option<Verdict> {
        if !refused {
            self.0 = 0;
            return Some(Verdict::Ready);
        }
        self.0 = self.0.saturating_add(1);
        (self.0 == REFUSALS_UNTIL_UNREADY).then_some(Verdict::Unready)
    }
}

/// Polls a task queue that has no tasks.
pub(super) struct Probe {
    client: Client,
    task_queue: String,
}

impl Probe {
    pub(super) fn new(client: Client, task_queue: &str) -> Self {
        Self {
            client,
            task_queue: format!("{task_queue}/probe"),
        }
    }

    /// Whether the server takes a poll of this kind. An unavailable server is the matter of another check.
    async fn poll(&self, operation: &str) -> Result<(), Status> {
        let mut service = self.client.connection().workflow_service();
        let namespace = self.client.options().namespace.clone();
        let task_queue = Some(TaskQueue {
            name: self.task_queue.clone(),
            ..TaskQueue::default()
        });
        let polled = async {
            if operation == WORKFLOWS {
                let request = PollWorkflowTaskQueueRequest {
                    namespace,
                    task_queue,
                    ..PollWorkflowTaskQueueRequest::default()
                };
                service.poll_workflow_task_queue(once(request)).await.map(drop)
            } else {
                let request = PollActivityTaskQueueRequest {
                    namespace,
                    task_queue,
                    ..PollActivityTaskQueueRequest::default()
                };
                service.poll_activity_task_queue(once(request)).await.map(drop)
            }
        };
        match tokio::time::timeout(PROBE_TIMEOUT, polled).await {
            Ok(Err(status)) if is_refusal(status.code()) => Err(status),
            _ => Ok(()),
        }
    }
}

/// A request that is not repeated.
fn once<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let retries = RetryConfigForCall(RetryOptions::no_retries());
    request.extensions_mut().insert(retries);
    request
}

fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::ResourceExhausted
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::NotFound
            | Code::InvalidArgument
            | Code::FailedPrecondition
    )
}

/// What to do when polls are refused.
fn advice(code: Code) -> &'static str {
    match code {
        Code::ResourceExhausted => {
            "the Temporal server refuses the polls of this worker, which gets no tasks: raise the frontend's limit of \
             concurrent polls (frontend.namespaceCount) or of requests per second, or run fewer workers in this namespace"
        }
        Code::PermissionDenied | Code::Unauthenticated => {
            "the Temporal server refuses the polls of this worker, which gets no tasks: its API key or certificate may \
             not poll in this namespace"
        }
        _ => "the Temporal server refuses the polls of this worker, which gets no tasks",
    }
}

/// The kind of a poll.
#[derive(Clone, Debug)]
struct PollOf {
    operation: &'static str,
    task_queue: String,
}

/// Gets the metrics of a Temporal client, and keeps those of polls.
struct PollMeter {
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
    #![allow(clippy::unwrap_used, reason = "tests")]

    use temporalio_common::telemetry::metrics::MetricKeyValue;

    use super::*;

    fn polls() -> Polls {
        Polls::register(&Registry::new()).unwrap()
    }

    fn of(operation: &'static str) -> PollOf {
        PollOf {
            operation,
            task_queue: "queue".to_owned(),
        }
    }

    #[test]
    fn a_poll_of_each_kind_stays_open_or_one_is_named_that_does_not() {
        let polls = polls();
        let sticky = PollOf {
            operation: WORKFLOWS,
            task_queue: "sticky".to_owned(),
        };
        polls.started(&of(WORKFLOWS));
        assert_eq!(polls.check(), PollState::Starting);
        polls.started(&of(ACTIVITIES));
        polls.started(&sticky);
        assert_eq!(polls.check(), PollState::NotOpen(ACTIVITIES));
        assert_eq!(polls.check(), PollState::Open);
        // One of the two kinds of polls for workflow tasks.
        polls.ended(&sticky);
        assert_eq!(polls.check(), PollState::NotOpen(WORKFLOWS));
        polls.started(&sticky);
        assert_eq!(polls.check(), PollState::NotOpen(WORKFLOWS));
        assert_eq!(polls.check(), PollState::Open);
    }

    #[test]
    fn a_worker_is_not_ready_after_several_refusals_and_ready_after_one_poll() {
        let mut refusals = Refusals::default();
        for _ in 1..REFUSALS_UNTIL_UNREADY {
            assert_eq!(refusals.verdict(true), None);
        }
        assert_eq!(refusals.verdict(true), Some(Verdict::Unready));
        assert_eq!(refusals.verdict(true), None);
        assert_eq!(refusals.verdict(false), Some(Verdict::Ready));
        assert_eq!(refusals.verdict(true), None);
    }

    #[test]
    fn the_metrics_of_the_client_are_counted() {
        let polls = polls();
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
