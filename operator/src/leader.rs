//! Which replica acts: the one that holds the Lease. Decides when the Lease
//! counts as lost, which ends the process; it is never asked for twice.

use std::time::Duration;

use kube::Client;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::lease::{Answer, Candidate};

// The three times are controller-runtime's defaults.

/// How long the others leave the Lease alone after its last renewal.
const LEASE_DURATION: Duration = Duration::from_secs(15);
/// How long renewing may fail until the Lease counts as lost; less than its
/// duration, so that two replicas never act at once.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often the Lease is renewed by its holder and looked at by the others.
const RETRY_PERIOD: Duration = Duration::from_secs(2);
/// Requests for the Lease must fail before the deadline does.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);

/// Why this replica may not act (any more).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refuses the request.
    #[error("ask for Lease {namespace}/{name}")]
    Refused {
        /// The operator's namespace.
        namespace: String,
        /// The Lease.
        name: String,
        /// The cause.
        source: kube::Error,
    },
    /// Another replica has the Lease.
    #[error("the Lease was taken by {by}")]
    Lost {
        /// The identity of that replica.
        by: String,
    },
    /// The Lease could not be renewed in time.
    #[error("the Lease could not be renewed for {} s", RENEW_DEADLINE.as_secs())]
    NotRenewed,
}

/// The right to act.
#[derive(Debug)]
pub struct Leadership {
    candidate: Candidate,
    renewed: Instant,
}

/// Waits until this replica may act; none if told to stop before.
pub async fn acquire(
    client: Client,
    namespace: &str,
    name: &str,
    pod: &str,
    stop: &CancellationToken,
) -> Result<Option<Leadership>, Error> {
    // A pod's containers may be restarted under its name.
    let identity = format!("{pod}_{}", Uuid::new_v4());
    tracing::info!(namespace, lease = name, identity, "waiting for the Lease");
    let mut candidate = Candidate::new(client, namespace, name, identity, LEASE_DURATION);
    let mut last_holder = None;
    loop {
        let asked = Instant::now();
        // Never dropped half-way: the Lease might be granted to nobody.
        match candidate.ask(Instant::now).await {
            Ok(Answer::Granted) => {
                return Ok(Some(Leadership {
                    candidate,
                    renewed: asked,
                }));
            }
            Ok(Answer::Held { by }) => {
                if last_holder.as_ref() != Some(&by) {
                    tracing::info!(holder = by, "another replica has the Lease");
                    last_holder = Some(by);
                }
            }
            Ok(Answer::Raced) => {}
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
                    "the Lease cannot be asked for"
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
    /// Keeps the Lease; returns when it is lost.
    pub async fn hold(&mut self) -> Error {
        loop {
            let deadline = self.renewed + RENEW_DEADLINE;
            match tokio::time::timeout_at(deadline, self.renew()).await {
                Ok(Ok(renewed)) => self.renewed = renewed,
                Ok(Err(lost)) => return lost,
                Err(_elapsed) => return Error::NotRenewed,
            }
        }
    }

    /// Tries until the Lease is renewed; when that was asked for.
    async fn renew(&mut self) -> Result<Instant, Error> {
        loop {
            tokio::time::sleep(RETRY_PERIOD).await;
            let asked = Instant::now();
            match self.candidate.ask(Instant::now).await {
                Ok(Answer::Granted) => return Ok(asked),
                Ok(Answer::Held { by }) => return Err(Error::Lost { by }),
                Ok(Answer::Raced) => {}
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the Lease cannot be renewed");
                }
            }
        }
    }

    /// Gives the Lease back, so that another replica need not wait for its end.
    pub async fn release(self) {
        if let Err(error) = self.candidate.give_back().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the Lease was not given back");
        }
    }
}

/// Whether asking again cannot help: no permission, no such namespace.
fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400..=499) && !matches!(status.code, 408 | 429))
}
