//! Leader election: the replica that holds the Lease acts, the others wait.
//!
//! Decides when the Lease counts as lost. A replica that loses the Lease ends;
//! it never acquires the Lease a second time.

use std::time::Duration;

use kube::Client;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::kube::lease::{LeaseLock, LockResult};

// The three times are controller-runtime's defaults.

/// How long other replicas leave the Lease alone after its last renewal.
const LEASE_DURATION: Duration = Duration::from_secs(15);
/// How long renewals may fail before the Lease counts as lost. Shorter than the duration, so that two replicas never
/// act at once.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// The pause between two renewals by the holder, and between two attempts of a waiting replica.
const RETRY_PERIOD: Duration = Duration::from_secs(2);
/// Time limit of a request for the Lease; a request must fail before the renew deadline.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);

/// Why this replica may not act.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refuses requests for the Lease.
    #[error("acquire the Lease {namespace}/{name}")]
    Refused {
        /// The operator's namespace.
        namespace: String,
        /// The Lease.
        name: String,
        /// The cause.
        source: kube::Error,
    },
    /// Another replica holds the Lease.
    #[error("the Lease was acquired by another replica, {by}")]
    Lost {
        /// The identity of that replica.
        by: String,
    },
    /// The Lease was not renewed in time.
    #[error("the Lease could not be renewed for {} s", RENEW_DEADLINE.as_secs())]
    NotRenewed,
}

/// The right to act, as long as the Lease is renewed.
#[derive(Debug)]
pub(crate) struct Leadership {
    lock: LeaseLock,
    renewed: Instant,
}

/// Waits until this replica holds the Lease. `None` when `stop` is cancelled first.
pub(crate) async fn acquire(
    client: Client,
    namespace: &str,
    name: &str,
    pod: &str,
    stop: &CancellationToken,
) -> Result<Option<Leadership>, Error> {
    // A container of a pod may be restarted under the pod's name.
    let identity = format!("{pod}_{}", Uuid::new_v4());
    tracing::info!(namespace, lease = name, identity, "waiting for the Lease");
    let mut lock = LeaseLock::new(client, namespace, name, identity, LEASE_DURATION);
    let mut last_holder = None;
    loop {
        let requested = Instant::now();
        // Never dropped before it ends: the Lease would name a replica that does not know that it holds it.
        match lock.try_acquire_or_renew(Instant::now).await {
            Ok(LockResult::Acquired) => {
                return Ok(Some(Leadership {
                    lock,
                    renewed: requested,
                }));
            }
            Ok(LockResult::Held { by }) => {
                if last_holder.as_ref() != Some(&by) {
                    tracing::info!(holder = by, "another replica holds the Lease");
                    last_holder = Some(by);
                }
            }
            Ok(LockResult::Conflict) => {}
            Err(source) if is_refusal(&source) => {
                return Err(Error::Refused {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                    source,
                });
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot acquire the Lease; trying again"
                );
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(RETRY_PERIOD) => {}
        }
    }
}

impl Leadership {
    /// Renews the Lease until it is lost, and returns the reason.
    pub(crate) async fn renew_until_lost(&mut self) -> Error {
        loop {
            let deadline = self.renewed + RENEW_DEADLINE;
            match tokio::time::timeout_at(deadline, self.renew()).await {
                Ok(Ok(renewed)) => self.renewed = renewed,
                Ok(Err(lost)) => return lost,
                Err(_elapsed) => return Error::NotRenewed,
            }
        }
    }

    /// Tries until the Lease is renewed. Returns the time of the request that succeeded.
    async fn renew(&mut self) -> Result<Instant, Error> {
        loop {
            tokio::time::sleep(RETRY_PERIOD).await;
            let requested = Instant::now();
            match self.lock.try_acquire_or_renew(Instant::now).await {
                Ok(LockResult::Acquired) => return Ok(requested),
                Ok(LockResult::Held { by }) => return Err(Error::Lost { by }),
                Ok(LockResult::Conflict) => {}
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot renew the Lease; trying again"
                    );
                }
            }
        }
    }

    /// Releases the Lease, so that another replica need not wait until it expires.
    pub(crate) async fn release(self) {
        if let Err(error) = self.lock.release().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot release the Lease; the next replica waits until it expires"
            );
        }
    }
}

/// Whether another attempt cannot help: no permission, or no such namespace.
fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400..=499) && !matches!(status.code, 408 | 429))
}
