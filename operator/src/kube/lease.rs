//! The Lease that names the replica that acts, by the rules of client-go's leader
//! election (<https://pkg.go.dev/k8s.io/client-go/tools/leaderelection>).
//!
//! A waiting replica measures on its own clock how long the Lease has not
//! changed. Every write names the version that it replaces, so that of two
//! writers one fails.

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

/// The Lease as one replica uses it.
#[derive(Debug)]
pub struct LeaseLock {
    api: Api<Lease>,
    name: String,
    identity: String,
    /// How long other replicas leave the Lease alone after its last change.
    duration: Duration,
    /// The last state of the Lease, and since when it has not changed.
    last_change: Option<(LeaseSpec, Instant)>,
}

/// The Lease as one replica observed it.
#[derive(Debug)]
pub enum Observed {
    /// This replica may acquire or renew the Lease: it holds the Lease, nobody does, or the holder has not renewed it
    /// in time. Without a resource version the Lease does not exist yet.
    Available(Box<Lease>),
    /// Another replica holds the Lease.
    Held {
        /// Identity of that replica.
        by: String,
    },
}

/// The result of an attempt to acquire or renew the Lease.
#[derive(Debug, PartialEq, Eq)]
pub enum LockResult {
    /// This replica holds the Lease, from the time of the request.
    Acquired,
    /// Another replica holds the Lease.
    Held {
        /// Identity of that replica.
        by: String,
    },
    /// Another replica wrote the Lease first; the next attempt names it.
    Conflict,
}

impl LeaseLock {
    /// The lock of one replica. No other process may use the same `identity`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: String, duration: Duration) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity,
            duration,
            last_change: None,
        }
    }

    /// Reads the Lease, and writes this replica into it if that is allowed.
    pub async fn try_acquire_or_renew(&mut self, clock: impl Fn() -> Instant) -> Result<LockResult, kube::Error> {
        Ok(match self.get(clock).await? {
            Observed::Held { by } => LockResult::Held { by },
            Observed::Available(lease) => {
                if self.update(lease).await? {
                    LockResult::Acquired
                } else {
                    LockResult::Conflict
                }
            }
        })
    }

    /// Writes this replica into the Lease, whoever holds it. The holder learns of it at its next renewal.
    pub async fn seize(&mut self) -> Result<LockResult, kube::Error> {
        let lease = self.api.get_opt(&self.name).await?.unwrap_or_else(|| self.absent());
        Ok(if self.update(Box::new(lease)).await? {
            LockResult::Acquired
        } else {
            LockResult::Conflict
        })
    }

    /// A Lease that does not exist yet.
    fn absent(&self) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            },
            spec: None,
        }
    }

    /// Reads the Lease.
    pub async fn get(&mut self, clock: impl Fn() -> Instant) -> Result<Observed, kube::Error> {
        let lease = self.api.get_opt(&self.name).await?;
        // The clock is read after the answer: the holder may have renewed the Lease while the request was under way.
        let now = clock();
        let lease = lease.unwrap_or_else(|| self.absent());
        let spec = lease.spec.clone().unwrap_or_default();
        let unchanged_since = match &self.last_change {
            Some((known, since)) if *known == spec => *since,
            _ => now,
        };
        let held_by = holder(&spec)
            .filter(|holder| *holder != self.identity)
            .filter(|_| now.duration_since(unchanged_since) < self.duration_of(&spec))
            .map(ToOwned::to_owned);
        self.last_change = Some((spec, unchanged_since));
        Ok(held_by.map_or_else(|| Observed::Available(Box::new(lease)), |by| Observed::Held { by }))
    }

    /// The time after a renewal in which only the holder may write the Lease.
    fn duration_of(&self, spec: &LeaseSpec) -> Duration {
        let seconds = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok());
        seconds.map_or(self.duration, Duration::from_secs)
    }

    /// Writes this replica into the Lease that it observed. False if another replica wrote the Lease first.
    pub async fn update(&self, observed: Box<Lease>) -> Result<bool, kube::Error> {
        let now = MicroTime(Timestamp::now());
        let transitions = observed.spec.as_ref().map(|spec| spec.lease_transitions.unwrap_or(0));
        let before = observed.spec.unwrap_or_default();
        let is_new = holder(&before) != Some(self.identity.as_str());
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.duration.as_secs()).ok(),
            acquire_time: before.acquire_time.filter(|_| !is_new).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(transitions.map_or(0, |count| count.saturating_add(is_new.into()))),
            ..LeaseSpec::default()
        };
        self.write(observed.metadata, spec).await
    }

    /// Removes this replica from the Lease if it is the holder, so that another replica can acquire the Lease at once.
    pub async fn release(&self) -> Result<(), kube::Error> {
        loop {
            let Some(lease) = self.api.get_opt(&self.name).await? else {
                return Ok(());
            };
            let spec = lease.spec.unwrap_or_default();
            if holder(&spec) != Some(self.identity.as_str()) {
                return Ok(());
            }
            let released = LeaseSpec {
                lease_transitions: spec.lease_transitions,
                ..LeaseSpec::default()
            };
            // A renewal that was under way may have been written first.
            if self.write(lease.metadata, released).await? {
                return Ok(());
            }
        }
    }

    /// Replaces the version in `metadata`, or creates the Lease if `metadata` has no version. False if there is a newer
    /// version.
    async fn write(&self, metadata: ObjectMeta, spec: LeaseSpec) -> Result<bool, kube::Error> {
        let lease = Lease {
            metadata,
            spec: Some(spec),
        };
        let parameters = PostParams::default();
        let written = if lease.metadata.resource_version.is_some() {
            self.api.replace(&self.name, &parameters, &lease).await
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
