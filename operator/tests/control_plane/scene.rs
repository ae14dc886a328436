//! What the tests of deletions, of the autoscaler and of versions share: the operator as a program, with a real Temporal.

use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use steadfast_testkit::{
    Temporal, TemporalOptions,
    process::{Launch, Lifetime, Service},
};

use crate::{harness::Cluster, temporal::operator};

/// A cluster, a Temporal and the operator as a program.
pub(crate) struct Scene {
    pub(crate) cluster: Cluster,
    pub(crate) temporal: Temporal,
    pub(crate) operator: Service,
    _logs: tempfile::TempDir,
}

impl Scene {
    pub(crate) async fn set(name: &str) -> Self {
        Self::with_flags(name, |operator| operator).await
    }

    /// `flags` adds to those of the operator.
    pub(crate) async fn with_flags(name: &str, flags: impl FnOnce(Launch) -> Launch) -> Self {
        Self::with_temporal(name, TemporalOptions::default(), flags).await
    }

    /// With a Temporal of these options.
    pub(crate) async fn with_temporal(
        name: &str,
        options: TemporalOptions,
        flags: impl FnOnce(Launch) -> Launch,
    ) -> Self {
        let cluster = Cluster::new(name).await;
        let temporal = Temporal::start(options).await.unwrap();
        let logs = tempfile::tempdir().unwrap();
        let launch = flags(operator(&cluster, temporal.url()));
        let operator = Service::new(launch, Lifetime::OfThisProcess, logs.path()).unwrap();
        operator.start().unwrap();
        Self {
            cluster,
            temporal,
            operator,
            _logs: logs,
        }
    }

    /// Starts a task that no worker takes, on a queue such as `agent/weather`.
    pub(crate) async fn start_task(&self, queue: &str, id: &str) {
        let queue = format!("test/{}/{queue}", self.cluster.namespace);
        let start = ["workflow", "start", "--type", "AgentTask", "--workflow-id", id];
        self.temporal
            .cli(&[&start[..], &["--task-queue", &queue]].concat())
            .await
            .unwrap();
    }

    /// The notes of the Events with this reason about an object so far.
    pub(crate) async fn notes(&self, object: &str, reason: &str) -> anyhow::Result<Vec<String>> {
        let events = self.cluster.api::<Event>().list(&ListParams::default()).await?;
        let of_object = events.items.into_iter().filter(|event| {
            let regarding = event.regarding.as_ref().and_then(|regarding| regarding.name.as_deref());
            event.reason.as_deref() == Some(reason) && regarding == Some(object)
        });
        Ok(of_object.filter_map(|event| event.note).collect())
    }

    pub(crate) async fn end_operator(&self) {
        self.operator.kill().await.unwrap();
    }
}
