//! The API server with a node that is played, Temporal, and the operator with a user of its own.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, DynamicObject, ListParams, PostParams},
    core::ApiResource,
};
use serde_json::{Value, json};
use steadfast_crds::{Agent, AgentTool};

use super::manifests::{Member, TOOLS_PER_AGENT};
use crate::{
    bench::{Build, process_usage},
    cluster::{AuditMark, NewUser, Write},
    control_plane::{ControlPlane, ControlPlaneOptions},
    played_node::PlayedNode,
    process::Service,
    stack::{BinaryDir, Component, OperatorSetup, operator},
    temporal::{Temporal, TemporalOptions},
    wait,
};

/// The user that the operator is.
pub(in crate::bench) const OPERATOR: &str = "steadfast-operator";
/// The user that its other replica is.
pub(in crate::bench) const STANDBY: &str = "steadfast-operator-standby";
/// Between two looks at the operator's metrics.
const POLL: Duration = Duration::from_millis(100);
/// The operator is idle when no reconciliation has ended for so long, and none runs.
const QUIET: Duration = Duration::from_secs(3);
const LIMIT: Duration = Duration::from_mins(10);
/// Requests of the bench that are in flight at once.
const REQUESTS_AT_ONCE: usize = 16;

/// What one operator is measured in. Dropped in this order: clients before servers.
pub(in crate::bench) struct Arena {
    pub(in crate::bench) operator: Component,
    _node: PlayedNode,
    control_plane: ControlPlane,
    temporal: Temporal,
    programs: BinaryDir,
}

impl Arena {
    /// Starts everything, with an operator that has nothing to do.
    pub(in crate::bench) async fn start(build: &Build) -> anyhow::Result<Self> {
        let temporal = Temporal::start(TemporalOptions::default()).await?;
        let options = ControlPlaneOptions {
            users: [OPERATOR, STANDBY]
                .map(|name| NewUser::new(name, &["system:masters"]))
                .to_vec(),
        };
        let control_plane = ControlPlane::start_audited(options).await?;
        control_plane.define(build.definitions.clone()).await?;
        let operator = replica(&build.programs, &control_plane, &temporal, OPERATOR).await?;
        operator.launch().await?;
        let arena = Self {
            operator,
            _node: PlayedNode::start(&control_plane),
            control_plane,
            temporal,
            programs: build.programs.clone(),
        };
        arena.until_idle(0).await?;
        Ok(arena)
    }

    /// Another replica of the operator, which is not started yet.
    pub(in crate::bench) async fn standby(&self) -> anyhow::Result<Component> {
        replica(&self.programs, &self.control_plane, &self.temporal, STANDBY).await
    }

    pub(in crate::bench) fn temporal(&self) -> &Temporal {
        &self.temporal
    }

    pub(in crate::bench) fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    pub(in crate::bench) fn client(&self) -> Client {
        self.control_plane.client()
    }

    pub(in crate::bench) fn process(&self) -> &Service {
        self.operator.service()
    }

    /// All objects of a kind.
    pub(in crate::bench) fn all<K: Resource<DynamicType = ()>>(&self) -> Api<DynamicObject> {
        Api::all_with(self.client(), &ApiResource::erase::<K>(&()))
    }

    /// The objects of a kind in a namespace.
    pub(in crate::bench) fn within<K: Resource<DynamicType = ()>>(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client(), namespace, &ApiResource::erase::<K>(&()))
    }

    pub(in crate::bench) async fn create_namespace(&self, name: &str) -> anyhow::Result<()> {
        create(
            &self.all::<Namespace>(),
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }),
        )
        .await
    }

    /// Deletes a namespace and waits until nothing is left of it.
    pub(in crate::bench) async fn delete_namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespaces = self.all::<Namespace>();
        let deleted = namespaces.delete(name, &DeleteParams::background()).await;
        deleted.with_context(|| format!("delete the namespace {name}"))?;
        wait::until(format!("the end of the namespace {name}"), LIMIT, async || {
            ensure!(namespaces.get_opt(name).await?.is_none(), "it is still there");
            Ok(())
        })
        .await
    }

    /// Creates what an Agent refers to.
    pub(in crate::bench) async fn create_references(&self, member: &Member) -> anyhow::Result<()> {
        let secrets = self.within::<Secret>(&member.namespace);
        create(&secrets, member.secret()).await?;
        let tools = self.within::<AgentTool>(&member.namespace);
        for number in 0..TOOLS_PER_AGENT {
            create(&tools, member.tool(number)).await?;
        }
        Ok(())
    }

    /// Creates an Agent, and returns when the request was sent.
    pub(in crate::bench) async fn create_agent(&self, member: &Member) -> anyhow::Result<Instant> {
        let sent = Instant::now();
        create(&self.within::<Agent>(&member.namespace), member.agent()).await?;
        Ok(sent)
    }

    /// Creates a fleet in its namespaces, as fast as the API server takes it. Returns when the last request was answered.
    pub(in crate::bench) async fn create_fleet(&self, members: &[Member]) -> anyhow::Result<Instant> {
        stream::iter(members)
            .map(|member| async move {
                self.create_references(member).await?;
                self.create_agent(member).await.map(drop)
            })
            .buffer_unordered(REQUESTS_AT_ONCE)
            .try_collect::<()>()
            .await?;
        Ok(Instant::now())
    }

    /// How many objects of a kind there are.
    pub(in crate::bench) async fn count<K: Resource<DynamicType = ()>>(&self) -> anyhow::Result<usize> {
        let listed = self.all::<K>().list_metadata(&ListParams::default().limit(1)).await;
        let listed = listed.with_context(|| format!("count the {}", K::plural(&())))?;
        let rest = listed.metadata.remaining_item_count.unwrap_or_default();
        Ok(listed.items.len() + usize::try_from(rest).unwrap_or_default())
    }

    pub(in crate::bench) fn mark(&self) -> anyhow::Result<AuditMark> {
        self.control_plane.audit()?.mark()
    }

    /// What the operator has written since a mark, without the Lease.
    pub(in crate::bench) fn writes_since(&self, mark: AuditMark) -> anyhow::Result<Vec<Write>> {
        self.writes_of(OPERATOR, mark)
    }

    /// What one of the replicas has written since a mark, without the Lease.
    pub(in crate::bench) fn writes_of(&self, user: &str, mark: AuditMark) -> anyhow::Result<Vec<Write>> {
        let mut writes = self.control_plane.audit()?.since(mark)?;
        writes.retain(|write| write.user == user && write.resource != "leases");
        Ok(writes)
    }

    /// Waits until the operator has reconciled at least so many Agents since its start and does nothing more. Returns
    /// when it last did something.
    pub(in crate::bench) async fn until_idle(&self, agents: usize) -> anyhow::Result<Instant> {
        let deadline = Instant::now() + LIMIT;
        let (mut before, mut changed) = (None, Instant::now());
        loop {
            let seen = match self.operator.admin("metrics").await {
                Ok(page) => Some(Work::of(&page)),
                Err(_) => None,
            };
            let done = seen.is_some_and(|work| work.running == 0 && work.agents >= agents);
            if seen != before || !done {
                (before, changed) = (seen, Instant::now());
            }
            if done && changed.elapsed() >= QUIET {
                return Ok(changed);
            }
            ensure!(
                Instant::now() < deadline,
                "the operator is not idle after {LIMIT:?}: {seen:?}"
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Ends the operator as Kubernetes does, starts it again, and returns how long it took until it was idle.
    pub(in crate::bench) async fn restart(&self, agents: usize) -> anyhow::Result<Duration> {
        self.operator.stop().await?;
        let started = Instant::now();
        self.operator.launch().await?;
        let idle = self.until_idle(agents).await?;
        Ok(idle.saturating_duration_since(started))
    }

    pub(in crate::bench) fn mebibytes(&self) -> anyhow::Result<f64> {
        process_usage::resident_mebibytes(self.process())
    }
}

/// What the operator does, by its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Work {
    /// Reconciliations of Agents so far.
    agents: usize,
    /// Of all kinds.
    all: usize,
    /// Reconciliations that run.
    running: usize,
}

impl Work {
    fn of(page: &str) -> Self {
        let sum = |prefix: &str| {
            let lines = page.lines().filter(|line| line.starts_with(prefix));
            let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok());
            values.sum::<usize>()
        };
        Self {
            agents: sum("controller_runtime_reconcile_total{controller=\"agent\""),
            all: sum("controller_runtime_reconcile_total{"),
            running: sum("controller_runtime_active_workers{"),
        }
    }
}

/// One operator, as this user.
async fn replica(
    programs: &BinaryDir,
    control_plane: &ControlPlane,
    temporal: &Temporal,
    user: &str,
) -> anyhow::Result<Component> {
    let kubeconfig = control_plane.kubeconfig_of(&control_plane.user(user).await?)?;
    let setup = OperatorSetup::new(&kubeconfig).named(user);
    operator(programs, &setup, |launch| {
        launch
            .variable("TEMPORAL_ADDRESS", temporal.url())
            // For workers, which nobody starts.
            .variable("REDIS_URL", "redis://redis.invalid:6379")
    })
}

/// Creates an object from its JSON.
pub(in crate::bench) async fn create(api: &Api<DynamicObject>, object: Value) -> anyhow::Result<()> {
    let object: DynamicObject = serde_json::from_value(object).context("read an object of the bench")?;
    let created = api.create(&PostParams::default(), &object).await;
    created.map(drop).context("create an object of the bench")
}

/// How many writes there were of each verb and resource, as `patch agents/status`.
pub(in crate::bench) fn by_kind(writes: &[Write]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for write in writes {
        *counts.entry(format!("{} {}", write.verb, write.resource)).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_of_an_operator_is_read_from_its_metrics() {
        let page = "# TYPE controller_runtime_reconcile_total counter\n\
            controller_runtime_active_workers{controller=\"agent\"} 2\n\
            controller_runtime_reconcile_total{controller=\"agent\",result=\"error\"} 1\n\
            controller_runtime_reconcile_total{controller=\"agent\",result=\"success\"} 40\n\
            controller_runtime_reconcile_total{controller=\"agenttool\",result=\"success\"} 7\n";
        let work = Work {
            agents: 41,
            all: 48,
            running: 2,
        };
        assert_eq!(Work::of(page), work);
    }
}
