//! What workers say of MCP servers, in the status of AgentTools.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use steadfast_crds::{AgentTool, conditions::ConditionType};
use steadfast_operator::conditions::find;
use steadfast_process::{AdminServer, Readiness, prometheus::Registry};
use steadfast_testkit::wait;
use tokio::net::TcpListener;

use crate::harness::{Cluster, TIMEOUT};

/// An address of this machine that no other test uses, with the port of every worker.
const WORKER: &str = "127.0.71.1";

/// The admin port of a worker.
#[derive(Clone, Default)]
struct Worker {
    offers: Arc<Mutex<Value>>,
    requests: Arc<AtomicUsize>,
}

impl Worker {
    async fn start(offers: Value) -> Self {
        let worker = Self::default();
        worker.says(offers);
        let listener = TcpListener::bind((WORKER, 8081)).await.unwrap();
        let report = worker.clone();
        let server = AdminServer::new(Readiness::new(), Registry::new()).with_report("/mcp-offers", move || {
            report.requests.fetch_add(1, Ordering::SeqCst);
            report.offers.lock().unwrap().clone()
        });
        tokio::spawn(server.serve(listener, std::future::pending()));
        worker
    }

    fn says(&self, offers: Value) {
        *self.offers.lock().unwrap() = json!({ "servers": { "my_docs": offers } });
    }

    /// Waits until it was asked several times more.
    async fn asked_again(&self) {
        let before = self.requests.load(Ordering::SeqCst);
        wait::until("further requests of the operator", TIMEOUT, || async {
            ensure!(self.requests.load(Ordering::SeqCst) > before + 3, "not yet");
            Ok(())
        })
        .await
        .unwrap();
    }
}

async fn condition(cluster: &Cluster, status: &str, reason: &str) -> AgentTool {
    let api = cluster.api::<AgentTool>();
    wait::until(format!("ToolsOffered={status}/{reason}"), TIMEOUT, || async {
        let tool = api.get("my-docs").await?;
        let now = tool.status.clone().unwrap_or_default();
        let found = find(&now.conditions, ConditionType::ToolsOffered).context("no such condition")?;
        ensure!(
            (found.status.as_str(), found.reason.as_str()) == (status, reason),
            "it is {found:?}"
        );
        Ok(tool)
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn the_status_of_an_agent_tool_says_what_its_server_offers_and_at_rest_nothing_is_written() {
    let (cluster, operator) = Cluster::with_operator("offers").await;
    let worker = Worker::start(json!({
        "tools": ["search"], "count": 1, "missing": ["edit"], "problems": ["the tool \"edit\" is left out: x"],
    }))
    .await;
    let mcp = json!({ "url": "http://docs/mcp", "tools": [{ "name": "search" }, { "name": "edit" }] });
    let tool = json!({ "apiVersion": "steadfast.dev/v1alpha1", "kind": "AgentTool", "metadata": { "name": "my-docs" }, "spec": { "description": "d", "mcp": mcp } });
    cluster.create::<AgentTool>(tool).await.unwrap();
    cluster
        .agent("reader", json!({ "tools": [{ "tool": "my-docs" }] }))
        .await;
    cluster.deployment("reader", |_| true).await;
    let running = json!({ "phase": "Running", "podIP": WORKER, "podIPs": [{ "ip": WORKER }] });
    cluster.set_pods_status("reader", &running).await;
    cluster.make_ready("reader").await;

    let tool = condition(&cluster, "False", "SelectedToolMissing").await;
    let status = tool.status.unwrap();
    assert!(
        find(&status.conditions, ConditionType::Ready).unwrap().status == "True",
        "Ready does not depend on it"
    );
    let mcp = status.mcp.unwrap();
    assert_eq!((mcp.agent.as_str(), mcp.offered_count), ("reader", 1));
    assert_eq!(mcp.offered, ["search"]);
    assert_eq!(
        mcp.problems,
        [
            "the server does not offer the selected tool \"edit\"",
            "the tool \"edit\" is left out: x"
        ]
    );

    let before = cluster.versions::<AgentTool>().await;
    worker.asked_again().await;
    assert_eq!(
        cluster.versions::<AgentTool>().await,
        before,
        "at rest nothing is written"
    );

    worker.says(json!({ "failure": "cannot reach docs" }));
    condition(&cluster, "False", "ServerUnavailable").await;
    worker.says(json!({ "tools": ["edit", "search"], "count": 2 }));
    let tool = condition(&cluster, "True", "Offered").await;
    assert_eq!(tool.status.unwrap().mcp.unwrap().offered, ["edit", "search"]);

    // What a worker of another version says changes nothing.
    let before = cluster.versions::<AgentTool>().await;
    worker.says(json!({ "tools": "of another form" }));
    worker.asked_again().await;
    assert_eq!(cluster.versions::<AgentTool>().await, before);
    operator.stop().await;

    // A restarted operator that hears nothing keeps what is known.
    let operator = cluster
        .start_operator(steadfast_operator::args::LeaderElection::Disabled)
        .await;
    worker.asked_again().await;
    assert_eq!(cluster.versions::<AgentTool>().await, before);
    operator.stop().await;
}
