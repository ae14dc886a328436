use std::{convert::Infallible, fs, path::Path};

use axum::response::{IntoResponse as _, sse::Sse};
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
    let viewer = viewer(&gateway, Session::of_user("alice")).await;
    let mut events = viewer.events(stream::pending(), Start::First, End::WithTask);
    assert!(events.next().await.is_some(), "the connection is confirmed");
    let quiet = timeout(Duration::from_millis(50), events.next()).await;
    assert!(quiet.is_err(), "the stream ended although nothing had changed");
    change(&cluster, revisions.path());
    let event = timeout(Duration::from_secs(5), events.next()).await.unwrap().unwrap();
    assert!(events.next().await.is_none(), "the stream ends");
    body_of(event).await
}

async fn body_of(event: SseEvent) -> String {
    let response = Sse::new(stream::iter([Ok::<_, Infallible>(event)])).into_response();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

fn error(reason: &str) -> String {
    format!("data: {{\"type\":\"error\",\"message\":\"the stream ends: {reason}\"}}\n\n")
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
        LogItem::Entry(Arc::new(Entry {
            id: EntryId { epoch: 1, number },
            json: serde_json::to_string(&event).unwrap().into(),
            event,
        }))
    });
    let entries = entries.then(async |entry| {
        tokio::task::yield_now().await;
        entry
    });
    let viewer = viewer(&gateway, Session::of_user("alice")).await;
    let mut events = viewer.events(
        entries.boxed(),
        Start::After(EntryId { epoch: 1, number: 0 }),
        End::WithTask,
    );
    assert!(events.next().await.is_some());
    cluster.remove_binding("alice");
    let rest = async { while events.next().await.is_some() {} };
    timeout(Duration::from_secs(5), rest).await.expect("the stream ends");
}

#[tokio::test]
async fn an_outage_of_the_api_server_ends_no_stream() {
    let (cluster, revisions) = (FakeCluster::with_user("alice"), tempfile::tempdir().unwrap());
    let gateway = watchful(&cluster, revisions.path());
    let viewer = viewer(&gateway, Session::of_user("alice")).await;
    let mut events = viewer.events(stream::pending(), Start::First, End::WithTask);
    assert!(events.next().await.is_some());
    cluster.stop_answering();
    let quiet = timeout(Duration::from_millis(50), events.next()).await;
    assert!(quiet.is_err(), "the stream ended");
}

async fn viewer(gateway: &Arc<Gateway>, session: Session) -> Viewer {
    let place = gateway.load.stream(&Caller::Anonymous).await.unwrap();
    Viewer::new(gateway.clone(), session, testing::task(), Format::Agentex, place)
}

#[tokio::test]
async fn a_viewer_that_waits_for_temporal_ends_when_the_gateway_stops() {
    let gateway = Arc::new(Gateway::without_services());
    let lost = stream::iter([LogItem::Reset(Snapshot::default())]).chain(stream::pending());
    let viewer = viewer(&gateway, Session::anonymous()).await;
    let mut events = viewer.events(lost, Start::First, End::WithTask);
    assert!(events.next().await.is_some(), "the connection is confirmed");
    let next = tokio::spawn(async move { events.next().await.is_some() });
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
async fn the_end_of_a_turn_that_a_reset_covers_is_told_after_it_and_once() {
    let gateway = Arc::new(Gateway::without_services());
    let at = |number| EntryId { epoch: 2, number };
    let event = steadfast_events::testing::event(EventKind::TurnEnded {
        status: steadfast_events::TurnStatus::Completed,
        usage: steadfast_events::Usage::default(),
        error: None,
    });
    let turn_end = Arc::new(Entry {
        id: at(7),
        json: serde_json::to_string(&event).unwrap().into(),
        event,
    });
    for (seen, ends) in [(EntryId { epoch: 1, number: 9 }, 1), (at(7), 0)] {
        let snapshot = Snapshot {
            complete: true,
            turn_end: Some(turn_end.clone()),
            last: Some(at(8)),
            ..Snapshot::default()
        };
        let place = gateway.load.stream(&Caller::Anonymous).await.unwrap();
        let viewer = Viewer::new(
            gateway.clone(),
            Session::anonymous(),
            testing::task(),
            Format::Events,
            place,
        );
        let items = stream::iter([LogItem::Reset(snapshot)]).chain(stream::pending());
        let events = viewer.events(items, Start::After(seen), End::AfterEntry(at(8)));
        let mut told = String::new();
        for event in events.take(2 + ends).collect::<Vec<_>>().await {
            told.push_str(&body_of(event).await);
        }
        let reset = told.find("event: log_reset").unwrap();
        let ended: Vec<usize> = told.match_indices("event: turn_ended").map(|(at, _)| at).collect();
        assert_eq!(ended.len(), ends, "{told}");
        assert!(ended.iter().all(|at| *at > reset), "{told}");
        assert_eq!(told.matches("id: 2-").count(), 1, "{told}");
    }
}
