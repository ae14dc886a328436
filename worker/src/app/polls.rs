//! The long polls of this worker: how many are open at the Temporal server, and whether the server refuses them. The SDK
//! repeats a refused poll for ever and tells nobody, but a worker without a poll serves nothing.
//!
//! The metrics of the Temporal client tell which polls are open, not why one has ended. Where none stays open, a probe
//! asks: a poll of a task queue that has no tasks.

mod meter;
mod probe;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use steadfast_process::{
    ReadinessGauge,
    prometheus::{self, IntGaugeVec, Opts, Registry},
};
use temporalio_common::telemetry::{
    TaskQueueLabelStrategy,
    metrics::{NewAttributes, TemporalMeter},
};
use tokio_util::sync::CancellationToken;

pub(super) use self::probe::Probe;
use self::{meter::PollMeter, probe::advice};

/// The poll for workflow tasks. There are two: for new tasks, and for those of the workflows in memory, which have a
/// task queue of their own.
const WORKFLOWS: &str = "PollWorkflowTaskQueue";
const ACTIVITIES: &str = "PollActivityTaskQueue";
/// The polls that a worker cannot be without, by the name of the gRPC method.
const NEEDED: [&str; 2] = [WORKFLOWS, ACTIVITIES];
/// Time between two checks of the polls.
const INTERVAL: Duration = Duration::from_millis(250);
/// Checks in a row that find a poll open: a refused one is open for milliseconds.
const CHECKS_UNTIL_TAKEN: u32 = 2;
/// Checks between two probes.
const CHECKS_BETWEEN_PROBES: u32 = 4;
/// Refused probes in a row, a good second apart: a rate limit may refuse one poll of many at any time.
const REFUSALS_UNTIL_UNREADY: u32 = 3;

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
        TemporalMeter::new(
            Arc::new(PollMeter::new(self.clone())),
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

/// The kind of a poll.
#[derive(Clone, Debug)]
struct PollOf {
    operation: &'static str,
    task_queue: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(operation: &'static str) -> PollOf {
        PollOf {
            operation,
            task_queue: "queue".to_owned(),
        }
    }

    #[test]
    fn a_poll_of_each_kind_stays_open_or_one_is_named_that_does_not() {
        let polls = Polls::register(&Registry::new()).unwrap();
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
}
