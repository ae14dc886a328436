//! The operator beside the conversations: an API server without nodes, the operator, and an Agent that is edited all the
//! time. The workers of the conversations read the revisions that the operator makes.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use steadfast_crds::{Agent, AgentRevision, AgentTool};
use tokio::sync::watch;

use super::Happened;
use crate::{
    control_plane::ControlPlane,
    stack::{Component, NAMESPACE, Stack},
    wait,
};

/// Between an edit that has become a revision and the next edit.
const PAUSE: Duration = Duration::from_secs(3);
/// An edit must have become a revision after this time.
const LIMIT: Duration = Duration::from_mins(2);

/// An Agent in an API server, and the operator that serves it.
pub(super) struct OperatedAgent {
    // Dropped in this order: the client before its server.
    pub(super) operator: Component,
    agents: Api<Agent>,
    revisions: Api<AgentRevision>,
    name: String,
    control_plane: ControlPlane,
}

/// What became of the edits.
#[derive(Clone, Debug, Default)]
pub(super) struct Edits {
    /// From each edit to its revision.
    pub(super) delays: Vec<Duration>,
    /// An edit that did not become a revision in time.
    pub(super) problem: Option<String>,
}

impl OperatedAgent {
    /// Starts the API server and the operator, and waits for the first revision of an Agent with this model and tool.
    pub(super) async fn start(stack: &Stack, name: &str, model: &str, tool: (&str, &Value)) -> anyhow::Result<Self> {
        let control_plane = ControlPlane::start().await?;
        let client = control_plane.client();
        control_plane.define(steadfast_crds::definitions()).await?;
        let (tool_name, tool_spec) = tool;
        // A function may have an underscore in its name, an object not.
        let tool_name = tool_name.replace('_', "-");
        let tools: Api<AgentTool> = Api::namespaced(client.clone(), NAMESPACE);
        let object = json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "AgentTool",
            "metadata": {"name": tool_name}, "spec": tool_spec,
        });
        create(&tools, object).await?;
        let agents: Api<Agent> = Api::namespaced(client.clone(), NAMESPACE);
        let object = json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent",
            "metadata": {"name": name},
            "spec": {
                "description": description(0),
                "instructions": "You are a test.",
                "model": {
                    "name": "paced", "baseUrl": model, "apiKeyEnvVar": "",
                    "retry": {"initialInterval": "200ms", "maximumInterval": "2s"},
                },
                "tools": [{"tool": tool_name}],
            },
        });
        create(&agents, object).await?;
        let operator = stack.operator(&control_plane.kubeconfig())?;
        operator.launch().await?;
        let agent = Self {
            operator,
            agents,
            revisions: Api::namespaced(client, NAMESPACE),
            name: name.to_owned(),
            control_plane,
        };
        agent.until_revised(0).await?;
        Ok(agent)
    }

    /// The file by which a program reaches the API server.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.control_plane.kubeconfig()
    }

    /// Edits the Agent again and again, until nobody looks at the faults any more.
    pub(super) async fn edit(&self, happened: &watch::Sender<Vec<Happened>>) -> anyhow::Result<Edits> {
        let mut edits = Edits::default();
        for number in 1.. {
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = happened.closed() => break,
            }
            let edited = Instant::now();
            let change = json!({"spec": {"description": description(number)}});
            self.agents
                .patch(&self.name, &PatchParams::default(), &Patch::Merge(&change))
                .await
                .context("edit the Agent")?;
            if let Err(error) = self.until_revised(number).await {
                edits.problem = Some(format!("edit {number}: {error:#}"));
                break;
            }
            edits.delays.push(edited.elapsed());
        }
        Ok(edits)
    }

    async fn until_revised(&self, number: usize) -> anyhow::Result<()> {
        wait::until("the edit to be the newest revision", LIMIT, async || {
            let revisions = self.revisions.list(&kube::api::ListParams::default()).await?;
            let newest = revisions.iter().max_by_key(|revision| revision.spec.sequence);
            let newest = newest.context("there is no revision")?;
            ensure!(
                newest.spec.description == description(number),
                "{} is {:?}",
                newest.name_any(),
                newest.spec.description
            );
            Ok(())
        })
        .await
    }
}

fn description(edit: usize) -> String {
    format!("Edit {edit}.")
}

async fn create<K>(api: &Api<K>, object: Value) -> anyhow::Result<()>
where
    K: Clone + serde::Serialize + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let object: K = serde_json::from_value(object).context("read an object of the bench")?;
    api.create(&PostParams::default(), &object)
        .await
        .map(drop)
        .context("create an object of the bench")
}
