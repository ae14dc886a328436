//! What keeps one caller, or many viewers at once, from using up a gateway: limits on what runs
//! at a time, shared answers, and the cache of messages that were rebuilt from history.

mod next_flight;
mod rates;
mod rebuilds;
mod shared_limit;

use std::{sync::Arc, time::Duration};

use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeWorkflowExecutionResponse;
use tokio::{sync::Mutex, time::Instant};

pub use self::rates::RateLimits;
use self::{next_flight::NextFlight, rates::Rates, shared_limit::SharedLimit};
pub(crate) use self::{
    rebuilds::{RebuildError, Rebuilds, Run, RunMessages},
    shared_limit::{Busy, Permit},
};
use crate::{access::Caller, error::ApiError, temporal::TemporalError};

/// Requests that read many tasks or whole logs, at a time.
const HEAVY_REQUESTS: u32 = 16;
const HEAVY_REQUESTS_OF_EACH: u32 = 4;
/// Bytes of long request bodies in memory at a time. A parsed body uses a multiple of its bytes.
const BODY_BYTES: u32 = 32 * 1024 * 1024;
/// Bytes of one caller: enough for one body with attachments.
const BODY_BYTES_OF_EACH: u32 = 16 * 1024 * 1024;
const STREAMS: u32 = 3000;
const STREAMS_OF_EACH: u32 = 1500;
/// How long a request waits for its turn.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// Questions about tasks to Temporal at a time, of viewers.
const DESCRIPTIONS: usize = 8;
/// The same of requests, which somebody waits for. When all viewers come back at once, Temporal must not refuse them.
const DESCRIPTIONS_FOR_REQUESTS: usize = 64;
/// Probes that come faster get the answer of the one before.
const PROBE_PERIOD: Duration = Duration::from_secs(1);

/// How long things may take, and when they are looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// For the body of a request, waiting for memory included.
    pub body: Duration,
    /// How often it is checked that a viewer may still see its task. With the ages of the caches of
    /// tokens and decisions, a stream ends at most 90 s after its viewer has lost the permission.
    pub recheck: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            body: Duration::from_secs(30),
            recheck: Duration::from_secs(30),
        }
    }
}

type Description = Result<Arc<DescribeWorkflowExecutionResponse>, Arc<TemporalError>>;

/// The limits and caches of one gateway.
#[derive(Debug)]
pub struct Load {
    pub(crate) times: Times,
    heavy: SharedLimit,
    bodies: SharedLimit,
    streams: SharedLimit,
    /// Where nobody authenticates, one caller is everybody.
    streams_of_anybody: SharedLimit,
    descriptions: NextFlight<Description>,
    descriptions_for_requests: NextFlight<Description>,
    pub(crate) rates: Rates,
    pub(crate) rebuilds: Rebuilds,
    probe: Mutex<Option<(Instant, Probe)>>,
}

/// What the services behind the gateway answered to a probe: `None`, or an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) temporal: Option<String>,
    pub(crate) redis: Option<String>,
}

impl Default for Load {
    fn default() -> Self {
        Self::with_times(Times::default())
    }
}

impl Load {
    /// The usual limits with other times.
    pub fn with_times(times: Times) -> Self {
        Self {
            times,
            heavy: SharedLimit::new(HEAVY_REQUESTS, HEAVY_REQUESTS_OF_EACH),
            bodies: SharedLimit::new(BODY_BYTES, BODY_BYTES_OF_EACH),
            streams: SharedLimit::new(STREAMS, STREAMS_OF_EACH),
            streams_of_anybody: SharedLimit::new(STREAMS, STREAMS),
            descriptions: NextFlight::new(DESCRIPTIONS),
            descriptions_for_requests: NextFlight::new(DESCRIPTIONS_FOR_REQUESTS),
            rates: Rates::new(RateLimits::default()),
            rebuilds: Rebuilds::new(),
            probe: Mutex::default(),
        }
    }

    /// The same with other rates of callers.
    #[must_use]
    pub fn with_rates(self, limits: RateLimits) -> Self {
        Self {
            rates: Rates::new(limits),
            ..self
        }
    }

    /// Waits for the turn of a request that reads many tasks or a whole log.
    pub(crate) async fn heavy_request(&self, caller: &Caller) -> Result<Permit, ApiError> {
        let permit = self.heavy.take(caller.name(), 1, QUEUE_TIMEOUT).await;
        permit.map_err(|busy| refusal(busy, "requests that read much"))
    }

    /// Waits for the memory of a long request body.
    pub(crate) async fn body(&self, caller: &Caller, bytes: u32) -> Result<Permit, ApiError> {
        let permit = self.bodies.take(caller.name(), bytes, QUEUE_TIMEOUT).await;
        permit.map_err(|busy| refusal(busy, "long request bodies"))
    }

    /// A place for a stream.
    pub(crate) async fn stream(&self, caller: &Caller) -> Result<Permit, ApiError> {
        let limit = match caller {
            Caller::Anonymous => &self.streams_of_anybody,
            Caller::User(_) => &self.streams,
        };
        let permit = limit.take(caller.name(), 1, Duration::ZERO).await;
        permit.map_err(|busy| refusal(busy, "open streams"))
    }

    /// What Temporal knows of a task now; viewers who ask at the same time share the answer.
    pub(crate) async fn describe(
        &self,
        task_id: &str,
        ask: impl Future<Output = Result<DescribeWorkflowExecutionResponse, TemporalError>>,
    ) -> Description {
        let question = async { ask.await.map(Arc::new).map_err(Arc::new) };
        self.descriptions.ask(task_id, question).await
    }

    /// The same for a request, before anything else is done for it.
    pub(crate) async fn describe_for_request(
        &self,
        task_id: &str,
        ask: impl Future<Output = Result<DescribeWorkflowExecutionResponse, TemporalError>>,
    ) -> Description {
        let question = async { ask.await.map(Arc::new).map_err(Arc::new) };
        self.descriptions_for_requests.ask(task_id, question).await
    }

    /// The answers of the services to a probe. However many ask, each service is asked once in
    /// [`PROBE_PERIOD`].
    pub(crate) async fn probe(&self, ask: impl Future<Output = Probe>) -> Probe {
        // Held while asking on purpose: the others wait for the same answer.
        let mut last = self.probe.lock().await;
        if let Some((asked_at, probe)) = &*last
            && asked_at.elapsed() < PROBE_PERIOD
        {
            return probe.clone();
        }
        let probe = ask.await;
        *last = Some((Instant::now(), probe.clone()));
        probe
    }
}

fn refusal(busy: Busy, what: &str) -> ApiError {
    let error = match busy {
        Busy::Caller => ApiError::too_many_requests(format!("you have too many {what} at a time")),
        Busy::Everybody => ApiError::overloaded(format!("the gateway has too many {what} at a time")),
    };
    error.retry_after(TRY_AGAIN)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;

    use super::*;

    #[tokio::test]
    async fn many_probes_ask_the_services_once_a_second() {
        let (load, asked) = (Load::default(), AtomicUsize::new(0));
        let probe = || {
            load.probe(async {
                asked.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                Probe::default()
            })
        };
        join_all((0..100).map(|_| probe())).await;
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let earlier = Instant::now().checked_sub(PROBE_PERIOD).unwrap();
        *load.probe.lock().await = Some((earlier, Probe::default()));
        probe().await;
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
}
