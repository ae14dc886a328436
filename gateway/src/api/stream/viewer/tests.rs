use futures::stream;
use tokio::time::timeout;

use super::*;
use crate::task::testing;

#[tokio::test]
async fn a_viewer_that_waits_for_temporal_ends_when_the_gateway_stops() {
    let gateway = Arc::new(Gateway::without_services());
    let lost = stream::iter([LogItem::Reset(Snapshot::default())]).chain(stream::pending());
    let viewer = Viewer::new(gateway.clone(), testing::task(), Format::Agentex, None);
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
