use std::{fs, path::Path};

use futures::stream;
use tokio::time::timeout;

use super::*;
use crate::{
    access::{Access, CacheAges, Caller, testing::FakeCluster},
    agents::{AgentDirectory, Naming},
    load::{Load, Times},
    task::testing,
};

const REVISION: &str = "
apiVersion: steadfast.dev/v1alpha1
kind: AgentRevision
metadata: {name: haiku-1, namespace: default}
spec: {agent: haiku, sequence: 1, description: '', model: {name: fake}, taskQueue: test/default/agent/haiku}
";

/// A gateway with the agent of the test's task, which looks at permissions all the time.
fn watchful(cluster: &FakeCluster, revisions: &Path) -> Arc<Gateway> {
    const NOW: CacheAges = CacheAges {
        token: Duration::ZERO,
        refused_token: Duration::ZERO,
        decision: Duration::ZERO,
    };
    fs::write(revisions.join("haiku.yaml"), REVISION).unwrap();
    Arc::new(Gateway {
        access: Access::Kubernetes(Box::new(cluster.access(NOW))),
        agents: AgentDirectory::of_revision_files(Naming::default(), revisions.to_owned()).unwrap(),
        load: Load::with_times(Times {
            recheck: Duration::from_millis(5),
            ..Times::default()
        }),
        ..Gateway::without_services()
    })
}

/// What a viewer of a quiet task is told at the end, after a change in the cluster.
async fn told_after(change: impl FnOnce(&FakeCluster, &Path)) -> String {
    let (cluster, revisions) = (FakeCluster::with_user("alice"), tempfile::tempdir().unwrap());
    let gateway = watchful(&cluster, revisions.path());
    let viewer = viewer(&gateway, Session::of_user("alice"), None).await;
    let mut updates = viewer.updates(stream::pending(), End::WithTask);
    let quiet = timeout(Duration::from_millis(50), updates.next()).await;
    assert!(quiet.is_err(), "the stream ended although nothing had changed");
    change(&cluster, revisions.path());
    let update = timeout(Duration::from_secs(5), updates.next()).await.unwrap().unwrap();
    assert!(updates.next().await.is_none(), "the stream ends");
    match update {
        Update::Error(reason) => reason,
        other => panic!("{other:?}"),
    }
}

fn error(reason: &str) -> String {
    format!("the stream ends: {reason}")
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let told = told_after(|cluster, _| cluster.revoke_token("alice")).await;
    assert_eq!(told, error("the bearer token is no longer valid"));
}

#[tokio::test]
async fn a_stream_ends_with_its_role_binding() {
    let told = told_after(|cluster, _| cluster.remove_binding("alice")).await;
    assert_eq!(told, error("you may no longer see this task"));
}

#[tokio::test]
async fn a_stream_ends_with_its_agent() {
    let told = told_after(|_, revisions| fs::remove_file(revisions.join("haiku.yaml")).unwrap()).await;
    assert_eq!(told, error("the agent of this task was deleted"));
}

#[tokio::test]
async fn a_busy_stream_ends_too() {
    let (cluster, revisions) = (FakeCluster::with_user("alice"), tempfile::tempdir().unwrap());
    let gateway = watchful(&cluster, revisions.path());
    let entries = stream::iter(1..).map(|number| {
        let event = steadfast_events::testing::event(steadfast_events::testing::text_delta("m", "x"));
        let json = serde_json::to_string(&event).unwrap().into();
        LogItem::Entry(Arc::new(Entry::new(EntryId { epoch: 1, number }, event, json)))
    });
    let entries = entries.then(async |entry| {
        tokio::task::yield_now().await;
        entry
    });
    let cursor = EntryId { epoch: 1, number: 0 };
    let viewer = viewer(&gateway, Session::of_user("alice"), Some(cursor)).await;
    let mut updates = viewer.updates(entries.boxed(), End::WithTask);
    assert!(updates.next().await.is_some());
    cluster.remove_binding("alice");
    let rest = async { while updates.next().await.is_some() {} };
    timeout(Duration::from_secs(5), rest).await.expect("the stream ends");
}

#[tokio::test]
async fn an_outage_of_the_api_server_ends_no_stream() {
    let (cluster, revisions) = (FakeCluster::with_user("alice"), tempfile::tempdir().unwrap());
    let gateway = watchful(&cluster, revisions.path());
    let viewer = viewer(&gateway, Session::of_user("alice"), None).await;
    let mut updates = viewer.updates(stream::pending(), End::WithTask);
    cluster.stop_answering();
    let quiet = timeout(Duration::from_millis(50), updates.next()).await;
    assert!(quiet.is_err(), "the stream ended");
}

async fn viewer(gateway: &Arc<Gateway>, session: Session, cursor: Option<EntryId>) -> Follower {
    let place = gateway.load.stream(&Caller::Anonymous).await.unwrap();
    Follower::new(gateway.clone(), session, testing::task(), place, cursor)
}

#[tokio::test]
async fn a_viewer_that_waits_for_temporal_ends_when_the_gateway_stops() {
    let gateway = Arc::new(Gateway::without_services());
    let lost = stream::iter([LogItem::Reset(Snapshot::default())]).chain(stream::pending());
    let viewer = viewer(&gateway, Session::anonymous(), None).await;
    let mut updates = viewer.updates(lost, End::WithTask);
    let next = tokio::spawn(async move { updates.next().await.is_some() });
    // Temporal is unreachable, so the messages cannot be recovered.
    assert!(!next.is_finished());
    gateway.stopping.cancel();
    let has_next = timeout(Duration::from_secs(5), next)
        .await
        .expect("the stream ends")
        .unwrap();
    assert!(!has_next);
}

/// Who waits for the end of a turn does not get it after the messages, which cover its entry.
#[tokio::test]
async fn the_end_of_a_turn_that_a_reset_covers_is_told_with_it_and_once() {
    let gateway = Arc::new(Gateway::without_services());
    let at = |number| EntryId { epoch: 2, number };
    let event = steadfast_events::testing::event(steadfast_events::testing::turn_ended(
        steadfast_events::TurnStatus::Completed,
    ));
    let json = serde_json::to_string(&event).unwrap().into();
    let turn_end = Arc::new(Entry::new(at(7), event, json));
    for (seen, is_told) in [(EntryId { epoch: 1, number: 9 }, true), (at(7), false)] {
        let snapshot = Snapshot {
            complete: true,
            turn_end: Some(turn_end.clone()),
            last: Some(at(8)),
            ..Snapshot::default()
        };
        let items = stream::iter([LogItem::Reset(snapshot)]).chain(stream::pending());
        let viewer = viewer(&gateway, Session::anonymous(), Some(seen)).await;
        let update = viewer.updates(items, End::AfterEntry(at(8))).next().await.unwrap();
        let Update::Messages(all) = update else {
            panic!("{update:?}");
        };
        assert_eq!(all.position, Some(Position::After(at(8))));
        assert_eq!(all.turn_end.as_ref().map(|entry| entry.id), is_told.then(|| at(7)));
    }
}
