//! Which replica acts: the one that holds the Lease. Decides when the Lease
//! counts as lost, which ends the process; it is never asked for twice.

use std::time::{Duration, Instant};

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio_util::sync::CancellationToken;

/// How long a Lease is valid after its last renewal, in seconds.
const LEASE_SECONDS: u64 = 30;
/// How long before its end a Lease is renewed, in seconds.
const RENEW_BEFORE_END_SECONDS: u64 = 15;
/// How long renewing may fail until the Lease counts as lost; less than what
/// is left of it, so that two replicas never act at once.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Requests for the Lease must fail before the deadline does.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Why this replica may not act (any more).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Lease cannot be made or read.
    #[error("ask for Lease {namespace}/{name}")]
    Ask {
        /// The operator's namespace.
        namespace: String,
        /// The Lease.
        name: String,
        /// The cause.
        source: LeaseManagerError,
    },
    /// Another replica has the Lease.
    #[error("the Lease was taken by another replica")]
    Lost,
    /// The Lease could not be renewed in time.
    #[error("the Lease could not be renewed for {} s", RENEW_DEADLINE.as_secs())]
    NotRenewed(#[source] LeaseManagerError),
}

/// The right to act.
#[derive(Debug)]
pub struct Leadership {
    manager: LeaseManager,
}

/// Waits until this replica may act; none if told to stop before.
pub async fn acquire(
    client: Client,
    namespace: &str,
    name: &str,
    stop: &CancellationToken,
) -> Result<Option<Leadership>, Error> {
    let ask = |source| Error::Ask {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        source,
    };
    let manager = LeaseManagerBuilder::new(client, name)
        .with_namespace(namespace)
        .with_duration(LEASE_SECONDS)
        .with_grace(RENEW_BEFORE_END_SECONDS)
        .build()
        .await
        .map_err(ask)?;
    tracing::info!(namespace, lease = name, "waiting for the Lease");
    loop {
        let held = tokio::select! {
            () = stop.cancelled() => return Ok(None),
            held = manager.changed() => held,
        };
        match held {
            Ok(true) => return Ok(Some(Leadership { manager })),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the Lease cannot be asked for"
                );
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

impl Leadership {
    /// Keeps the Lease; returns when it is lost.
    pub async fn hold(&self) -> Error {
        let mut failing: Option<Failing> = None;
        loop {
            match self.manager.changed().await {
                Ok(true) => failing = None,
                Ok(false) => return Error::Lost,
                Err(error) => {
                    let now = Instant::now();
                    let since = failing.filter(|f| f.is_same(now)).map_or(now, |f| f.since);
                    if now.duration_since(since) >= RENEW_DEADLINE {
                        return Error::NotRenewed(error);
                    }
                    tracing::warn!(error = &error as &dyn std::error::Error, "the Lease cannot be renewed");
                    failing = Some(Failing { since, last: now });
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    /// Gives the Lease back, so that another replica need not wait for its end.
    pub async fn release(self) {
        if let Err(error) = self.manager.release().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the Lease was not given back");
        }
    }
}

/// A run of failures; a success in between shows only as a long pause.
#[derive(Clone, Copy, Debug)]
struct Failing {
    since: Instant,
    last: Instant,
}

impl Failing {
    fn is_same(self, now: Instant) -> bool {
        now.duration_since(self.last) < REQUEST_TIMEOUT + RETRY_PAUSE * 2
    }
}
