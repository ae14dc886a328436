//! How much a caller may ask for in a time: requests, and bytes of their bodies. It is decided as soon as the caller is
//! known, before a permission is looked up and before a body is read.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use moka::future::Cache;

use crate::{access::Caller, error::ApiError};

/// Callers whose use is remembered. Whoever is forgotten begins anew.
const CALLERS: u64 = 10_000;
/// After this time without a request a caller is forgotten: every bucket is full by then.
const FORGET_AFTER: Duration = Duration::from_hours(1);
/// Bytes are counted in units of this size, so that any burst fits into a number of 32 bits.
const UNIT_BYTES: u64 = 1024;

/// The rates of one caller at one replica. Zero is without a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    pub requests_per_second: u32,
    /// Requests at once after a pause.
    pub request_burst: u32,
    /// Of request bodies, in KiB.
    pub body_kib_per_second: u32,
    pub body_kib_burst: u32,
}

impl Default for RateLimits {
    /// Far above what a person or a chat UI for many people uses, and far below what one replica serves.
    fn default() -> Self {
        Self {
            requests_per_second: 100,
            request_burst: 1000,
            body_kib_per_second: 1024,
            body_kib_burst: 32 * 1024,
        }
    }
}

/// The rates of all callers.
#[derive(Debug)]
pub(crate) struct Rates {
    limits: RateLimits,
    clock: RateClock,
    callers: Cache<String, Arc<Buckets>>,
}

type Bucket = RateLimiter<NotKeyed, InMemoryState, RateClock, NoOpMiddleware<Duration>>;

#[derive(Debug)]
struct Buckets {
    requests: Option<Bucket>,
    /// Whether the last request was refused.
    is_limited: AtomicBool,
    body_units: Option<Bucket>,
}

/// A request of a caller who has sent too many.
#[derive(Debug)]
pub(crate) struct Limited {
    pub(crate) error: ApiError,
    /// Whether the request before was let on.
    pub(crate) is_first: bool,
}

/// The time since the start.
#[derive(Clone, Debug)]
struct RateClock {
    start: Instant,
    /// How far a test has put the clock forward.
    #[cfg(test)]
    forward: Arc<std::sync::Mutex<Duration>>,
}

impl RateClock {
    fn start() -> Self {
        Self {
            start: Instant::now(),
            #[cfg(test)]
            forward: Arc::default(),
        }
    }
}

impl Clock for RateClock {
    type Instant = Duration;

    #[cfg(not(test))]
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Only a test itself moves the time.
    #[cfg(test)]
    fn now(&self) -> Duration {
        let _ = self.start;
        *self.forward.lock().unwrap()
    }
}

impl Rates {
    pub(super) fn new(limits: RateLimits) -> Self {
        Self {
            limits,
            clock: RateClock::start(),
            callers: Cache::builder()
                .max_capacity(CALLERS)
                .time_to_idle(FORGET_AFTER)
                .build(),
        }
    }

    /// Counts a request of a caller.
    pub(crate) async fn request(&self, caller: &Caller) -> Result<(), Limited> {
        let Some(buckets) = self.of(caller).await else {
            return Ok(());
        };
        let checked = buckets.requests.as_ref().map_or(Ok(()), Bucket::check);
        let was_limited = buckets.is_limited.swap(checked.is_err(), Ordering::Relaxed);
        checked.map_err(|until| Limited {
            error: refusal("requests", until.wait_time_from(self.clock.now())),
            is_first: !was_limited,
        })
    }

    /// Counts bytes of a request body.
    pub(crate) async fn body(&self, caller: &Caller, bytes: u64) -> Result<(), ApiError> {
        let Some(buckets) = self.of(caller).await else {
            return Ok(());
        };
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        let (Some(bucket), Some(units)) = (&buckets.body_units, NonZeroU32::new(units)) else {
            return Ok(());
        };
        match bucket.check_n(units) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => Err(refusal(
                "bytes of request bodies",
                until.wait_time_from(self.clock.now()),
            )),
            Err(_) => Err(ApiError::too_large(format!(
                "request bodies of one caller are at most {} KiB at a time",
                self.limits.body_kib_burst
            ))),
        }
    }

    /// Nobody is known where everybody is anonymous.
    async fn of(&self, caller: &Caller) -> Option<Arc<Buckets>> {
        let Caller::User(user) = caller else {
            return None;
        };
        if let Some(buckets) = self.callers.get(&user.name).await {
            return Some(buckets);
        }
        let buckets = async {
            Arc::new(Buckets {
                is_limited: AtomicBool::new(false),
                requests: self.bucket(self.limits.requests_per_second, self.limits.request_burst),
                body_units: self.bucket(self.limits.body_kib_per_second, self.limits.body_kib_burst),
            })
        };
        Some(self.callers.get_with(user.name.clone(), buckets).await)
    }

    fn bucket(&self, per_second: u32, burst: u32) -> Option<Bucket> {
        let per_second = NonZeroU32::new(per_second)?;
        let burst = NonZeroU32::new(burst).unwrap_or(per_second);
        let quota = Quota::per_second(per_second).allow_burst(burst);
        Some(RateLimiter::direct_with_clock(quota, self.clock.clone()))
    }
}

fn refusal(what: &str, wait: Duration) -> ApiError {
    // Whole seconds, rounded up: a client that waits as long as it was told gets through.
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    let wait = Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX));
    let message = format!("you have sent too many {what}: wait {seconds} s before the next one");
    ApiError::too_many_requests(message).retry_after(wait)
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;
    use crate::access::Session;

    fn caller(name: &str) -> Caller {
        Session::of_user(name).caller
    }

    impl Rates {
        fn put_forward(&self, time: Duration) {
            *self.clock.forward.lock().unwrap() += time;
        }
    }

    const FEW: RateLimits = RateLimits {
        requests_per_second: 1,
        request_burst: 3,
        body_kib_per_second: 10,
        body_kib_burst: 100,
    };

    #[tokio::test]
    async fn after_a_burst_a_caller_waits_and_others_do_not() {
        let rates = Rates::new(FEW);
        let alice = caller("alice");
        for _ in 0..3 {
            rates.request(&alice).await.unwrap();
        }
        let Limited { error, is_first } = rates.request(&alice).await.unwrap_err();
        assert_eq!(error.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(is_first);
        assert!(!rates.request(&alice).await.unwrap_err().is_first);
        assert_eq!(
            error.message,
            "you have sent too many requests: wait 1 s before the next one"
        );
        rates.request(&caller("bob")).await.unwrap();
        rates.put_forward(Duration::from_secs(1));
        rates.request(&alice).await.unwrap();
        assert!(rates.request(&alice).await.unwrap_err().is_first);
    }

    #[tokio::test]
    async fn bytes_have_a_rate_of_their_own() {
        let rates = Rates::new(FEW);
        let alice = caller("alice");
        rates.body(&alice, 100 * 1024).await.unwrap();
        let refused = rates.body(&alice, 1).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        let never = rates.body(&alice, 101 * 1024).await.unwrap_err();
        assert_eq!(never.status, StatusCode::PAYLOAD_TOO_LARGE);
        rates.put_forward(Duration::from_secs(5));
        rates.body(&alice, 50 * 1024).await.unwrap();
        // A body of no bytes costs nothing.
        rates.body(&alice, 0).await.unwrap();
    }

    #[tokio::test]
    async fn zero_is_without_a_limit_and_so_is_a_gateway_for_everybody() {
        let unlimited = Rates::new(RateLimits {
            requests_per_second: 0,
            body_kib_per_second: 0,
            ..FEW
        });
        let few = Rates::new(FEW);
        for _ in 0..100 {
            unlimited.request(&caller("alice")).await.unwrap();
            unlimited.body(&caller("alice"), u64::MAX).await.unwrap();
            few.request(&Caller::Anonymous).await.unwrap();
        }
    }
}
