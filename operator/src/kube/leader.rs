//! Leader election: the replica that holds the Lease acts, the others wait.
//!
//! Decides when the Lease counts as lost. A replica that loses the Lease ends;
//! it never acquires the Lease a second time.

use std::time::Duration;

use kube::Client;
use tokio::{task::JoinError, time::Instant};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use uuid::Uuid;

use crate::kube::lease::{LeaseLock, LockResult};

// The three times are controller-runtime's defaults.

/// How long other replicas leave the Lease alone after its last renewal.
const LEASE_DURATION: Duration = Duration::from_secs(15);
/// How long renewals may fail before the Lease counts as lost. Shorter than the duration, so that two replicas never
/// act at once.
pub(crate) const RENEW_DEADLINE: Duration = Duration::from_secs(10);
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
    /// The renewal or the work panicked.
    #[error("act while holding the Lease")]
    Task(#[from] JoinError),
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
    async fn renew_until_lost(&mut self) -> Error {
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

    /// Does `work` in one task and renews the Lease in another one, so that work that blocks its thread does not cost the
    /// Lease. Releases the Lease when the work ends; aborts the work when the Lease is lost.
    pub(crate) async fn hold_during<W>(self, work: W) -> Result<W::Output, Error>
    where
        W: Future<Output: Send> + Send + 'static,
    {
        let ended = CancellationToken::new();
        let mut renewal = AbortOnDropHandle::new(tokio::spawn(self.hold_until(ended.clone())));
        let mut work = AbortOnDropHandle::new(tokio::spawn(work));
        tokio::select! {
            output = &mut work => {
                ended.cancel();
                renewal.await??;
                Ok(output?)
            }
            lost = &mut renewal => {
                lost??;
                // Not reached: the renewal ends well only after the work.
                Ok(work.await?)
            }
        }
    }

    /// Renews the Lease until `ended`, and then releases it, so that another replica need not wait until it expires.
    async fn hold_until(mut self, ended: CancellationToken) -> Result<(), Error> {
        tokio::select! {
            lost = self.renew_until_lost() => return Err(lost),
            () = ended.cancelled() => {}
        }
        if let Err(error) = self.lock.release().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot release the Lease; the next replica waits until it expires"
            );
        }
        Ok(())
    }
}

/// Whether another attempt cannot help: no permission, or no such namespace.
fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400..=499) && !matches!(status.code, 408 | 429))
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{Arc, Mutex},
    };

    use http::{Method, Request, Response, StatusCode};
    use kube::client::Body;
    use serde_json::{Value, json};
    use tokio::sync::{oneshot, watch};

    use super::*;

    /// An API server with one Lease, which is absent at first, and the number of its writes.
    fn api_server() -> (Client, Arc<Mutex<Value>>, watch::Receiver<u32>) {
        let lease = Arc::new(Mutex::new(Value::Null));
        let (writes, written) = watch::channel(0);
        let stored = Arc::clone(&lease);
        let service = tower::service_fn(move |request: Request<Body>| {
            let (stored, writes) = (Arc::clone(&stored), writes.clone());
            async move {
                let (parts, body) = request.into_parts();
                if parts.method != Method::GET {
                    let mut object: Value = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap();
                    writes.send_modify(|count| *count += 1);
                    object["metadata"]["resourceVersion"] = json!(writes.borrow().to_string());
                    *stored.lock().unwrap() = object;
                }
                let lease = stored.lock().unwrap().clone();
                let (code, body) = if lease.is_null() {
                    (
                        StatusCode::NOT_FOUND,
                        json!({ "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404 }),
                    )
                } else {
                    (StatusCode::OK, lease)
                };
                let response = Response::builder().status(code);
                Ok::<_, Infallible>(response.body(Body::from(body.to_string().into_bytes())).unwrap())
            }
        });
        (Client::new(service, "operator"), lease, written)
    }

    async fn lead(client: Client) -> Leadership {
        let acquired = acquire(client, "operator", "lease", "pod", &CancellationToken::new()).await;
        acquired.unwrap().unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn work_that_blocks_its_thread_does_not_cost_the_lease() {
        let (client, lease, mut writes) = api_server();
        let leadership = lead(client).await;
        let (unblock, blocked) = std::sync::mpsc::channel::<()>();
        let work = async move { blocked.recv().is_ok() };
        let held = tokio::spawn(leadership.hold_during(work));
        let renewed = writes.wait_for(|count| *count >= 3);
        tokio::time::timeout(3 * LEASE_DURATION, renewed)
            .await
            .unwrap()
            .unwrap();

        unblock.send(()).unwrap();
        assert!(held.await.unwrap().unwrap());
        assert_eq!(
            lease.lock().unwrap()["spec"]["holderIdentity"],
            Value::Null,
            "not released"
        );
    }

    #[tokio::test]
    async fn work_is_dropped_when_another_replica_has_the_lease() {
        let (client, lease, _writes) = api_server();
        let leadership = lead(client).await;
        lease.lock().unwrap()["spec"]["holderIdentity"] = json!("another");
        let (working, dropped) = oneshot::channel::<()>();
        let work = async move {
            let _working = working;
            std::future::pending::<()>().await;
        };
        let lost = leadership.hold_during(work).await;
        assert!(matches!(&lost, Err(Error::Lost { by }) if by == "another"), "{lost:?}");
        assert!(dropped.await.is_err());
    }
}
