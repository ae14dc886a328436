//! The Lease that says which replica acts, by the rules of client-go's leader
//! election (<https://pkg.go.dev/k8s.io/client-go/tools/leaderelection>): who
//! waits counts on its own clock how long the Lease has not changed, and every
//! write names the version that it follows, so that of two writers one fails.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::time::Instant;

/// One replica, and what it has seen of the Lease.
#[derive(Debug)]
pub struct Candidate {
    api: Api<Lease>,
    lease: String,
    identity: String,
    /// How long the others leave the Lease alone after its last change.
    duration: Duration,
    last_change: Option<(LeaseSpec, Instant)>,
}

/// What the Lease says to one replica.
#[derive(Debug)]
pub enum Sight {
    /// It may be taken, or taken on with: it is this replica's, nobody's, or
    /// its holder has not renewed it in time. Without a version there is none yet.
    Open(Box<Lease>),
    /// Another replica has it.
    Held {
        /// That one's identity.
        by: String,
    },
}

/// What came of asking for the Lease.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is this replica's, from when it asked.
    Granted,
    /// Another replica has it.
    Held {
        /// That one's identity.
        by: String,
    },
    /// Somebody wrote the Lease in between; the next look tells who.
    Raced,
}

impl Candidate {
    /// A replica that has not looked yet. `identity` must be no other process's.
    #[must_use]
    pub fn new(client: Client, namespace: &str, lease: &str, identity: String, duration: Duration) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            lease: lease.to_owned(),
            identity,
            duration,
            last_change: None,
        }
    }

    /// Looks at the Lease, and takes or renews it where that is allowed.
    pub async fn ask(&mut self, clock: impl Fn() -> Instant) -> Result<Answer, kube::Error> {
        Ok(match self.look(clock).await? {
            Sight::Held { by } => Answer::Held { by },
            Sight::Open(lease) => {
                if self.take(lease).await? {
                    Answer::Granted
                } else {
                    Answer::Raced
                }
            }
        })
    }

    /// What the Lease says.
    pub async fn look(&mut self, clock: impl Fn() -> Instant) -> Result<Sight, kube::Error> {
        let lease = self.api.get_opt(&self.lease).await?;
        // Not before: the holder may have renewed it while the request was under way.
        let now = clock();
        let lease = lease.unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(self.lease.clone()),
                ..ObjectMeta::default()
            },
            spec: None,
        });
        let spec = lease.spec.clone().unwrap_or_default();
        let unchanged_since = match &self.last_change {
            Some((seen, since)) if *seen == spec => *since,
            _ => now,
        };
        let held = holder(&spec)
            .filter(|holder| *holder != self.identity)
            .filter(|_| now.duration_since(unchanged_since) < self.promised(&spec))
            .map(ToOwned::to_owned);
        self.last_change = Some((spec, unchanged_since));
        Ok(held.map_or_else(|| Sight::Open(Box::new(lease)), |by| Sight::Held { by }))
    }

    /// How long the holder may count on the Lease after a renewal.
    fn promised(&self, spec: &LeaseSpec) -> Duration {
        let seconds = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok());
        seconds.map_or(self.duration, Duration::from_secs)
    }

    /// Writes this replica into the Lease that was seen; false if somebody
    /// wrote first.
    pub async fn take(&self, seen: Box<Lease>) -> Result<bool, kube::Error> {
        let now = MicroTime(Timestamp::now());
        let transitions = seen.spec.as_ref().map(|spec| spec.lease_transitions.unwrap_or(0));
        let before = seen.spec.unwrap_or_default();
        let is_new = holder(&before) != Some(self.identity.as_str());
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.duration.as_secs()).ok(),
            acquire_time: before.acquire_time.filter(|_| !is_new).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(transitions.map_or(0, |count| count.saturating_add(is_new.into()))),
            ..LeaseSpec::default()
        };
        self.write(seen.metadata, spec).await
    }

    /// Gives the Lease back if it is this replica's, so that the others need
    /// not wait for its end.
    pub async fn give_back(&self) -> Result<(), kube::Error> {
        loop {
            let Some(lease) = self.api.get_opt(&self.lease).await? else {
                return Ok(());
            };
            let spec = lease.spec.unwrap_or_default();
            if holder(&spec) != Some(self.identity.as_str()) {
                return Ok(());
            }
            let nobody = LeaseSpec {
                lease_transitions: spec.lease_transitions,
                ..LeaseSpec::default()
            };
            // A renewal that was under way may have come first.
            if self.write(lease.metadata, nobody).await? {
                return Ok(());
            }
        }
    }

    /// Follows the version in `metadata`, or creates the Lease where there is
    /// none; false if there is a newer one.
    async fn write(&self, metadata: ObjectMeta, spec: LeaseSpec) -> Result<bool, kube::Error> {
        let lease = Lease {
            metadata,
            spec: Some(spec),
        };
        let parameters = PostParams::default();
        let written = if lease.metadata.resource_version.is_some() {
            self.api.replace(&self.lease, &parameters, &lease).await
        } else {
            self.api.create(&parameters, &lease).await
        };
        match written {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn holder(spec: &LeaseSpec) -> Option<&str> {
    spec.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}
