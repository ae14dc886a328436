//! Of several operators one acts.

use k8s_openapi::api::coordination::v1::Lease;
use serde_json::json;
use steadfast_operator::args::LeaderElection;
use steadfast_platform::wait;

use crate::harness::Cluster;

#[tokio::test]
async fn a_waiting_operator_takes_over_when_the_leading_one_ends() {
    let cluster = Cluster::new("leading").await;
    let first = cluster.start_operator(LeaderElection::Enabled).await;
    cluster.agent("one", json!({})).await;
    cluster.revision("one-1").await;
    let holder = holder(&cluster).await;

    let second = cluster.start_operator(LeaderElection::Enabled).await;
    first.stop().await;
    cluster.agent("two", json!({})).await;
    cluster.revision("two-1").await;
    assert_ne!(self::holder(&cluster).await, holder);
    second.stop().await;
}

async fn holder(cluster: &Cluster) -> String {
    let api = cluster.api::<Lease>();
    wait::until("a holder", std::time::Duration::from_secs(30), || async {
        let lease = api.get("steadfast-operator-test").await?;
        let holder = lease
            .spec
            .and_then(|spec| spec.holder_identity)
            .filter(|holder| !holder.is_empty());
        holder.ok_or_else(|| anyhow::anyhow!("nobody"))
    })
    .await
    .unwrap()
}
