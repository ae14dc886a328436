//! Of several operators one acts.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use serde_json::json;
use steadfast_operator::{
    args::LeaderElection,
    lease::{Answer, Candidate, Sight},
};
use steadfast_testkit::wait;
use tokio::time::Instant;

use crate::harness::Cluster;

const LEASE: &str = "steadfast-operator-test";
const DURATION: Duration = Duration::from_secs(15);
const ALMOST: Duration = Duration::from_millis(14_999);
/// A waiting operator checks the Lease every two seconds; the rest is slack for a busy machine.
const TAKEOVER: Duration = Duration::from_secs(5);

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
async fn a_lease_given_back_is_granted_at_the_next_question() {
    let cluster = Cluster::new("lease-given-back").await;
    let (mut first, mut second) = (candidate(&cluster, "first"), candidate(&cluster, "second"));
    let now = Instant::now();
    assert_eq!(first.ask(|| now).await.unwrap(), Answer::Granted);
    assert_eq!(second.ask(|| now).await.unwrap(), held_by("first"));

    first.give_back().await.unwrap();
    assert_eq!(second.ask(|| now).await.unwrap(), Answer::Granted);
    // Late, and not its own any more.
    first.give_back().await.unwrap();
    let spec = spec(&cluster).await;
    assert_eq!(spec.holder_identity.as_deref(), Some("second"));
    assert_eq!(spec.lease_transitions, Some(1));
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_is_granted_after_its_duration_and_not_before() {
    let cluster = Cluster::new("lease-expired").await;
    let (mut first, mut second) = (candidate(&cluster, "first"), candidate(&cluster, "second"));
    let start = Instant::now();
    assert_eq!(first.ask(|| start).await.unwrap(), Answer::Granted);
    assert_eq!(second.ask(|| start).await.unwrap(), held_by("first"));
    assert_eq!(second.ask(|| start + ALMOST).await.unwrap(), held_by("first"));

    // Its time begins anew with each renewal that is seen.
    assert_eq!(first.ask(|| start + ALMOST).await.unwrap(), Answer::Granted);
    assert_eq!(second.ask(|| start + DURATION).await.unwrap(), held_by("first"));
    assert_eq!(
        second.ask(|| start + DURATION + ALMOST).await.unwrap(),
        held_by("first")
    );
    assert_eq!(
        second.ask(|| start + DURATION + DURATION).await.unwrap(),
        Answer::Granted
    );
    assert_eq!(
        first.ask(|| start + DURATION + DURATION).await.unwrap(),
        held_by("second"),
        "the one that was away learns that it leads no more"
    );
}

/// What a clock that goes wrong, or a request that is slow, would otherwise do.
#[tokio::test]
async fn of_two_that_see_the_same_lease_run_out_one_gets_it() {
    let cluster = Cluster::new("lease-race").await;
    let (mut gone, mut second, mut third) = (
        candidate(&cluster, "gone"),
        candidate(&cluster, "second"),
        candidate(&cluster, "third"),
    );
    // No Lease yet: both would create it.
    let now = Instant::now();
    let (of_gone, of_second) = (seen(&mut gone, now).await, seen(&mut second, now).await);
    assert!(of_gone.metadata.resource_version.is_none() && of_second.metadata.resource_version.is_none());
    assert!(gone.take(of_gone).await.unwrap());
    assert!(!second.take(of_second).await.unwrap());

    // It runs out: both would take it.
    assert_eq!(second.ask(|| now).await.unwrap(), held_by("gone"));
    assert_eq!(third.ask(|| now).await.unwrap(), held_by("gone"));
    let later = now + DURATION;
    let (of_second, of_third) = (seen(&mut second, later).await, seen(&mut third, later).await);
    assert!(second.take(of_second).await.unwrap());
    assert!(!third.take(of_third).await.unwrap());
    assert_eq!(third.ask(|| later).await.unwrap(), held_by("second"));
}

/// The Lease that may be taken.
async fn seen(candidate: &mut Candidate, now: Instant) -> Box<Lease> {
    match candidate.look(|| now).await.unwrap() {
        Sight::Open(lease) => lease,
        Sight::Held { by } => panic!("{by} has it"),
    }
}

fn candidate(cluster: &Cluster, identity: &str) -> Candidate {
    Candidate::new(
        cluster.client.clone(),
        &cluster.namespace,
        LEASE,
        identity.to_owned(),
        DURATION,
    )
}

fn held_by(identity: &str) -> Answer {
    Answer::Held {
        by: identity.to_owned(),
    }
}

async fn spec(cluster: &Cluster) -> LeaseSpec {
    let lease = cluster.api::<Lease>().get(LEASE).await.unwrap();
    lease.spec.unwrap()
}
