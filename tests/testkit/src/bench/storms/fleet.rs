//! Many Agents that share a Secret and an AgentTool, and what is expected of them after a change.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{Pod, Secret, ServiceAccount},
    },
    jiff::Timestamp,
};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{DynamicObject, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use steadfast_crds::{
    Agent, AgentRevision, AgentTool,
    names::{CREDENTIALS_HASH_ANNOTATION, MANAGED_BY, MANAGED_BY_LABEL},
};

use super::{LIMIT, report::Change};
use crate::{
    bench::{
        arrivals::{Arrivals, has_condition, state},
        fleet::arena::{Arena, by_kind, create},
        statistics::{float, rounded},
    },
    cluster::Write,
};

const NAMESPACE: &str = "storm";
/// The name of the Secret and of the AgentTool of all.
const SHARED: &str = "shared";
const KEY: &str = "api-key";
/// Requests of the bench that are in flight at once.
const REQUESTS_AT_ONCE: usize = 16;

pub(super) struct Fleet<'a> {
    arena: &'a Arena,
    agents: usize,
}

/// What the Agents are to become after a change.
pub(super) struct Expected {
    arrivals: Arrivals,
    agents: usize,
}

impl Expected {
    /// Waits until so many of the Agents have become it.
    pub(super) async fn reached_by(&mut self, agents: usize) -> anyhow::Result<()> {
        self.arrivals.until(0, agents, LIMIT).await.map(drop)
    }

    /// How many of the Agents have become it.
    pub(super) fn count(&self) -> usize {
        self.arrivals.count(0)
    }

    /// Waits until all have become it, and until the operator does nothing more.
    pub(super) async fn converged(mut self, fleet: &Fleet<'_>) -> anyhow::Result<Instant> {
        let reached = self.arrivals.until(0, self.agents, LIMIT).await?;
        let last = reached.values().max().copied().unwrap_or_else(Instant::now);
        fleet.arena.until_idle(0).await.map(|idle| idle.max(last))
    }
}

impl<'a> Fleet<'a> {
    /// Creates it, and waits until all Agents are Ready.
    pub(super) async fn create(arena: &'a Arena, agents: usize) -> anyhow::Result<Self> {
        arena.create_namespace(NAMESPACE).await?;
        create(&arena.within::<Secret>(NAMESPACE), secret(0)).await?;
        create(&arena.within::<AgentTool>(NAMESPACE), tool("Looks up the weather.")).await?;
        let fleet = Self { arena, agents };
        let mut ready = fleet.watch(|agent| has_condition(agent, "Ready"));
        let api = fleet.all::<Agent>();
        stream::iter(0..agents)
            .map(|number| create(&api, agent(number)))
            .buffer_unordered(REQUESTS_AT_ONCE)
            .try_collect::<()>()
            .await?;
        ready.until(0, agents, LIMIT).await?;
        arena.until_idle(agents).await?;
        Ok(fleet)
    }

    pub(super) fn arena(&self) -> &'a Arena {
        self.arena
    }

    pub(super) fn len(&self) -> usize {
        self.agents
    }

    fn all<K: Resource<DynamicType = ()>>(&self) -> Api<DynamicObject> {
        self.arena.within::<K>(NAMESPACE)
    }

    /// Watches for Agents of which this is true.
    pub(super) fn watch(&self, reached: impl Fn(&DynamicObject) -> bool + Send + Sync + 'static) -> Arrivals {
        Arrivals::watch(self.all::<Agent>(), vec![state(reached)])
    }

    /// Makes a change, and measures what it takes until all are as expected.
    pub(super) async fn change(
        &self,
        change: impl Future<Output = anyhow::Result<Expected>>,
    ) -> anyhow::Result<Change> {
        let (mark, began) = (self.arena.mark()?, Instant::now());
        let expected = change.await?;
        let agents = expected.agents;
        let ended = expected.converged(self).await?;
        let writes = self.arena.writes_since(mark)?;
        Ok(Change {
            agents,
            seconds: rounded(ended.saturating_duration_since(began).as_secs_f64()),
            writes_per_agent: rounded(float(writes.len()) / float(agents)),
            most_status_writes: most_status_writes(&writes),
            by_kind: by_kind(&writes),
        })
    }

    /// A new value in the Secret: every Agent gets other pods.
    pub(super) async fn rotate_secret(&self, number: usize) -> anyhow::Result<Expected> {
        let before = self.statuses("credentialsHash").await?;
        let expected = self.expected(self.agents, move |agent| {
            let hash = &agent.data["status"]["credentialsHash"];
            has_condition(agent, "Ready") && before.get(&agent.name_any()) != Some(hash)
        });
        self.patch::<Secret>(SHARED, &secret(number)).await?;
        Ok(expected)
    }

    /// Another description of the AgentTool: every Agent gets another revision.
    pub(super) async fn edit_tool(&self) -> anyhow::Result<Expected> {
        let before = self.statuses("revision").await?;
        let expected = self.expected(self.agents, move |agent| has_next_revision(agent, &before));
        self.patch::<AgentTool>(SHARED, &tool("Looks up the weather of today."))
            .await?;
        Ok(expected)
    }

    /// Other instructions of one Agent.
    pub(super) async fn edit_agent(&self, number: usize) -> anyhow::Result<Expected> {
        let before = self.statuses("revision").await?;
        let name = name(number);
        let expected = self.expected(1, {
            let name = name.clone();
            move |agent| agent.name_any() == name && has_next_revision(agent, &before)
        });
        let now = Timestamp::now();
        let change = json!({ "spec": { "instructions": format!("Answer as of {now}.") } });
        self.patch::<Agent>(&name, &change).await?;
        Ok(expected)
    }

    fn expected(&self, agents: usize, reached: impl Fn(&DynamicObject) -> bool + Send + Sync + 'static) -> Expected {
        Expected {
            arrivals: self.watch(reached),
            agents,
        }
    }

    /// This field of the status of each Agent.
    async fn statuses(&self, field: &str) -> anyhow::Result<Arc<BTreeMap<String, Value>>> {
        let agents = self
            .all::<Agent>()
            .list(&ListParams::default())
            .await
            .context("list the Agents")?;
        let of_agent = |agent: &DynamicObject| (agent.name_any(), agent.data["status"][field].clone());
        Ok(Arc::new(agents.iter().map(of_agent).collect()))
    }

    async fn patch<K: Resource<DynamicType = ()>>(&self, name: &str, change: &Value) -> anyhow::Result<()> {
        let patched = self
            .all::<K>()
            .patch(name, &PatchParams::default(), &Patch::Merge(change))
            .await;
        patched
            .map(drop)
            .with_context(|| format!("change the {} {name}", K::kind(&())))
    }

    /// Sets the condition Ready of every pod, as kubelets do when a readiness probe changes its mind.
    pub(super) async fn set_pods(&self, ready: &str) -> anyhow::Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.arena.client(), NAMESPACE);
        let all = pods.list(&ListParams::default()).await.context("list the pods")?;
        let now = Timestamp::now().to_string();
        let condition = |kind: &str| json!({ "type": kind, "status": ready, "lastTransitionTime": now });
        let patch = json!({ "status": { "conditions": [condition("Ready"), condition("ContainersReady")] } });
        stream::iter(all.items)
            .map(|pod| {
                let (pods, patch) = (&pods, &patch);
                async move {
                    pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(patch))
                        .await
                        .map(drop)
                        .context("set the readiness of a pod")
                }
            })
            .buffer_unordered(REQUESTS_AT_ONCE)
            .try_collect()
            .await
    }

    /// What belongs to no Agent, and Agents whose pods do not have the value that their status tells.
    pub(super) async fn leftovers(&self) -> anyhow::Result<Vec<String>> {
        let hashes = self.statuses("credentialsHash").await?;
        let mut leftovers = Vec::new();
        let deployments = self.managed::<Deployment>().await?;
        for deployment in &deployments {
            let annotation =
                &deployment.data["spec"]["template"]["metadata"]["annotations"][CREDENTIALS_HASH_ANNOTATION];
            let agent = deployment.name_any().trim_start_matches("agent-").to_owned();
            if hashes.get(&agent) != Some(annotation) {
                leftovers.push(format!("the Deployment of {agent} has another value than its status"));
            }
        }
        let wanted: BTreeSet<String> = (0..self.agents)
            .map(|number| format!("agent-{}", name(number)))
            .collect();
        for (kind, objects) in [
            ("Deployment", deployments),
            ("ServiceAccount", self.managed::<ServiceAccount>().await?),
        ] {
            let found: BTreeSet<String> = objects.iter().map(kube::ResourceExt::name_any).collect();
            leftovers.extend(found.symmetric_difference(&wanted).map(|name| format!("{kind} {name}")));
        }
        let newest = self.statuses("revision").await?;
        let revisions = self.managed::<AgentRevision>().await?;
        let kept: BTreeMap<String, i64> = revisions.iter().fold(BTreeMap::new(), |mut kept, revision| {
            let sequence = revision.data["spec"]["sequence"].as_i64().unwrap_or_default();
            let agent = revision.data["spec"]["agent"].as_str().unwrap_or_default().to_owned();
            let highest: &mut i64 = kept.entry(agent).or_default();
            *highest = sequence.max(*highest);
            kept
        });
        let outdated = newest
            .iter()
            .filter(|(agent, newest)| kept.get(*agent).copied() != newest.as_i64());
        leftovers.extend(outdated.map(|(agent, _)| format!("the newest revision of {agent} is another one")));
        Ok(leftovers)
    }

    async fn managed<K: Resource<DynamicType = ()>>(&self) -> anyhow::Result<Vec<DynamicObject>> {
        let ours = ListParams::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"));
        let listed = self.all::<K>().list(&ours).await;
        Ok(listed.with_context(|| format!("list the {}", K::plural(&())))?.items)
    }
}

/// The most writes of one Agent's status.
pub(super) fn most_status_writes(writes: &[Write]) -> usize {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for write in writes.iter().filter(|write| write.resource == "agents/status") {
        *counts.entry(&write.name).or_default() += 1;
    }
    counts.values().copied().max().unwrap_or_default()
}

fn has_next_revision(agent: &DynamicObject, before: &BTreeMap<String, Value>) -> bool {
    let now = agent.data["status"]["revision"].as_i64();
    let before = before.get(&agent.name_any()).and_then(Value::as_i64);
    has_condition(agent, "Ready") && now > before
}

fn name(number: usize) -> String {
    format!("storm-{number}")
}

fn secret(number: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": SHARED },
        "stringData": { KEY: format!("sk-{number}") },
    })
}

fn tool(description: &str) -> Value {
    json!({
        "apiVersion": "steadfast.dev/v1alpha1", "kind": "AgentTool", "metadata": { "name": SHARED },
        "spec": { "description": description, "activity": { "name": "look_up", "taskQueue": "weather" } },
    })
}

fn agent(number: usize) -> Value {
    json!({
        "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent", "metadata": { "name": name(number) },
        "spec": {
            "instructions": "You answer questions about the weather.",
            "model": { "name": "gpt-5-mini", "apiKeyEnvVar": "OPENAI_API_KEY" },
            "credentials": [{ "envVarName": "OPENAI_API_KEY", "secretName": SHARED, "secretKey": KEY }],
            "tools": [{ "tool": SHARED }],
        },
    })
}
