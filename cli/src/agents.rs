//! `steadfast agents`: which agents there are, and why one is not ready.

mod explanation;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Event;
use kube::{Api, ResourceExt as _, api::ListParams};
use serde_json::Value;
use steadfast_crds::Agent;

use crate::args::{AgentsCommand, ExplainAgentArguments, ListAgentsArguments};
use crate::columns::{self, one_line};
use crate::connect;
use crate::progress::during;
use crate::stdout::{print, print_structured};

const HEADER: [&str; 3] = ["NAME", "STATUS", "DESCRIPTION"];
const WIDE_HEADER: [&str; 4] = ["NAME", "STATUS", "ID", "DESCRIPTION"];

pub(crate) async fn run(command: AgentsCommand) -> anyhow::Result<()> {
    match command {
        AgentsCommand::List(arguments) => list(arguments).await,
        AgentsCommand::Explain(arguments) => explain(arguments).await,
    }
}

/// The agents that the caller may talk to, from the gateway.
async fn list(arguments: ListAgentsArguments) -> anyhow::Result<()> {
    let connection = connect::connect(&arguments.connection).await?;
    let agents = during("list the agents", connection.client.list_agents()).await?;
    if let Some(format) = arguments.output.structured() {
        return print_structured(format, &agents);
    }
    if agents.is_empty() {
        return print("no agents: check your permissions in their namespaces\n");
    }
    if arguments.output.is_wide() {
        let rows = agents.iter().map(|agent| {
            let id = agent.other.get("id").and_then(Value::as_str).unwrap_or_default();
            [&agent.name, &agent.status, id, &agent.description].map(one_line)
        });
        return print(&columns::render(WIDE_HEADER, rows));
    }
    let rows = agents
        .iter()
        .map(|agent| [&agent.name, &agent.status, &agent.description].map(|text| one_line(text)));
    print(&columns::render(HEADER, rows))
}

/// The conditions and Events of an Agent, from the API server.
async fn explain(arguments: ExplainAgentArguments) -> anyhow::Result<()> {
    let config = connect::load_kubeconfig(arguments.context.as_deref()).await?;
    let namespace = arguments.namespace.unwrap_or_else(|| config.default_namespace.clone());
    let client = kube::Client::try_from(config).context("set up the Kubernetes client")?;
    let agents: Api<Agent> = Api::namespaced(client.clone(), &namespace);
    let name = &arguments.agent;
    let agent = during("read the Agent", agents.get(name))
        .await
        .with_context(|| format!("read the Agent {namespace}/{name}"))?;
    if let Some(format) = arguments.output.structured() {
        return print_structured(format, &agent);
    }
    let selector = format!(
        "involvedObject.kind=Agent,involvedObject.name={name},involvedObject.uid={}",
        agent.uid().unwrap_or_default()
    );
    let events: Api<Event> = Api::namespaced(client, &namespace);
    // Events are a help, which not everybody may read.
    let events = events.list(&ListParams::default().fields(&selector)).await;
    let events = events.map(|list| list.items).unwrap_or_default();
    print(&explanation::explain(&agent, &events, jiff::Timestamp::now()))
}
