use futures::stream;
use jiff::Timestamp;
use tokio::time::timeout;

use super::*;
use crate::agents::AgentName;

fn task() -> TaskRecord {
    TaskRecord {
        id: "t".to_owned(),
        log_id: "t".to_owned(),
        run_id: "run".to_owned(),
        agent: AgentName::new("default", "haiku"),
        creator: String::new(),
        name: None,
        metadata: None,
        status: TaskStatus::Running,
        task_queue: "test/default/agent/haiku".to_owned(),
        approvals: Vec::new(),
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
    }
}

#[tokio::test]
async fn a_viewer_that_waits_for_temporal_ends_when_the_gateway_stops() {
    let gateway = Arc::new(Gateway::without_services());
    let lost = stream::iter([LogItem::Reset(Snapshot::default())]).chain(stream::pending());
    let viewer = Viewer::new(gateway.clone(), task(), Format::Agentex, None);
    let mut events = viewer.events(lost, None, End::WithTask);
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
