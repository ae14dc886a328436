//! Leader election: of several operators one acts.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use serde_json::json;
use steadfast_operator::{
    args::LeaderElection,
    kube::lease::{LeaseLock, LockResult, Observed},
};
use steadfast_testkit::wait;
use tokio::time::Instant;

use crate::harness::Cluster;

const LEASE: &str = "steadfast-operator-test";
const DURATION: Duration = Duration::from_secs(15);
/// A waiting operator checks the Lease every two seconds; the rest is slack for a busy machine.
const TAKEOVER: Duration = Duration::from_secs(5);
/// The time at which the Lease still counts.
const BEFORE_EXPIRY: Duration = Duration::from_millis(14_999);

#[tokio::test]
async fn a_waiting_operator_takes_over_when_the_leading_one_ends() {
    let cluster = Cluster::new("leading").await;
    let first = cluster.start_operator(LeaderElection::Enabled).await;
    cluster.agent("one", json!({})).await;
    cluster.revision("one-1").await;
    let before = spec(&cluster).await.holder_identity;

    let second = cluster.start_operator(LeaderElection::Enabled).await;
    first.stop().await;
    wait::until("the waiting operator to hold the Lease", TAKEOVER, async || {
        let after = spec(&cluster).await.holder_identity;
        ensure!(after.is_some() && after != before, "its holder is {after:?}");
        Ok(())
    })
    .await
    .unwrap();
    cluster.agent("two", json!({})).await;
    cluster.revision("two-1").await;
    second.stop().await;
}

#[tokio::test]
async fn a_released_lease_is_acquired_at_the_next_attempt() {
    let cluster = Cluster::new("lease-released").await;
    let (mut first, mut second) = (lock(&cluster, "first"), lock(&cluster, "second"));
    let now = Instant::now();
    assert_eq!(first.try_acquire_or_renew(|| now).await.unwrap(), LockResult::Acquired);
    assert_eq!(second.try_acquire_or_renew(|| now).await.unwrap(), held_by("first"));

    first.release().await.unwrap();
    assert_eq!(second.try_acquire_or_renew(|| now).await.unwrap(), LockResult::Acquired);
    // The first replica no longer holds the Lease: nothing is released.
    first.release().await.unwrap();
    let spec = spec(&cluster).await;
    assert_eq!(spec.holder_identity.as_deref(), Some("second"));
    assert_eq!(spec.lease_transitions, Some(1));
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_is_acquired_after_its_duration_and_not_before() {
    let cluster = Cluster::new("lease-expired").await;
    let (mut first, mut second) = (lock(&cluster, "first"), lock(&cluster, "second"));
    let start = Instant::now();
    assert_eq!(
        first.try_acquire_or_renew(|| start).await.unwrap(),
        LockResult::Acquired
    );
    assert_eq!(second.try_acquire_or_renew(|| start).await.unwrap(), held_by("first"));
    assert_eq!(
        second.try_acquire_or_renew(|| start + BEFORE_EXPIRY).await.unwrap(),
        held_by("first")
    );

    // The duration begins again with each observed renewal.
    assert_eq!(
        first.try_acquire_or_renew(|| start + BEFORE_EXPIRY).await.unwrap(),
        LockResult::Acquired
    );
    assert_eq!(
        second.try_acquire_or_renew(|| start + DURATION).await.unwrap(),
        held_by("first")
    );
    assert_eq!(
        second
            .try_acquire_or_renew(|| start + DURATION + BEFORE_EXPIRY)
            .await
            .unwrap(),
        held_by("first")
    );
    assert_eq!(
        second
            .try_acquire_or_renew(|| start + DURATION + DURATION)
            .await
            .unwrap(),
        LockResult::Acquired
    );
    assert_eq!(
        first
            .try_acquire_or_renew(|| start + DURATION + DURATION)
            .await
            .unwrap(),
        held_by("second"),
        "the replica that did not renew learns that it lost the Lease"
    );
}

/// A wrong clock or a slow request makes two replicas write the same version.
#[tokio::test]
async fn one_of_two_replicas_acquires_an_expired_lease() {
    let cluster = Cluster::new("lease-race").await;
    let (mut gone, mut second, mut third) = (
        lock(&cluster, "gone"),
        lock(&cluster, "second"),
        lock(&cluster, "third"),
    );
    // The Lease does not exist: both try to create it.
    let now = Instant::now();
    let (of_gone, of_second) = (available(&mut gone, now).await, available(&mut second, now).await);
    assert!(of_gone.metadata.resource_version.is_none() && of_second.metadata.resource_version.is_none());
    assert!(gone.update(of_gone).await.unwrap());
    assert!(!second.update(of_second).await.unwrap());

    // The Lease expires: both try to acquire it.
    assert_eq!(second.try_acquire_or_renew(|| now).await.unwrap(), held_by("gone"));
    assert_eq!(third.try_acquire_or_renew(|| now).await.unwrap(), held_by("gone"));
    let later = now + DURATION;
    let (of_second, of_third) = (available(&mut second, later).await, available(&mut third, later).await);
    assert!(second.update(of_second).await.unwrap());
    assert!(!third.update(of_third).await.unwrap());
    assert_eq!(third.try_acquire_or_renew(|| later).await.unwrap(), held_by("second"));
}

/// The Lease, which a replica may acquire.
async fn available(lock: &mut LeaseLock, now: Instant) -> Box<Lease> {
    match lock.get(|| now).await.unwrap() {
        Observed::Available(lease) => lease,
        Observed::Held { by } => panic!("{by} holds the Lease"),
    }
}

fn lock(cluster: &Cluster, identity: &str) -> LeaseLock {
    LeaseLock::new(
        cluster.client.clone(),
        &cluster.namespace,
        LEASE,
        identity.to_owned(),
        DURATION,
    )
}

fn held_by(identity: &str) -> LockResult {
    LockResult::Held {
        by: identity.to_owned(),
    }
}

async fn spec(cluster: &Cluster) -> LeaseSpec {
    let lease = cluster.api::<Lease>().get(LEASE).await.unwrap();
    lease.spec.unwrap()
}
