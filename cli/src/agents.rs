//! `steadfast agents`: which agents there are, and why one is not ready.

mod explanation;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Event;
use kube::{Api, ResourceExt as _, api::ListParams};
use steadfast_crds::Agent;

use crate::args::{AgentsCommand, ExplainAgentArguments, ListAgentsArguments, OutputFormat};
use crate::columns::{self, one_line};
use crate::connect;
use crate::stdout::{print, print_json};

const HEADER: [&str; 3] = ["NAME", "STATUS", "DESCRIPTION"];

pub(crate) async fn run(command: AgentsCommand) -> anyhow::Result<()> {
    match command {
        AgentsCommand::List(arguments) => list(arguments).await,
        AgentsCommand::Explain(arguments) => explain(arguments).await,
    }
}

/// The agents that the caller may talk to, from the gateway.
async fn list(arguments: ListAgentsArguments) -> anyhow::Result<()> {
    let connection = connect::connect(&arguments.connection, arguments.namespace.as_deref()).await?;
    let agents = connection.client.list_agents().await?;
    let text = match arguments.output {
        OutputFormat::Json => return print_json(&agents),
        OutputFormat::Text if agents.is_empty() => "no agents: check your permissions in their namespaces\n".to_owned(),
        OutputFormat::Text => columns::render(
            HEADER,
            agents
                .iter()
                .map(|agent| [&agent.name, &agent.status, &agent.description].map(|text| one_line(text))),
        ),
    };
    print(&text)
}

/// The conditions and Events of an Agent, from the API server.
async fn explain(arguments: ExplainAgentArguments) -> anyhow::Result<()> {
    let config = connect::load_kubeconfig(arguments.context.as_deref()).await?;
    let namespace = arguments.namespace.unwrap_or_else(|| config.default_namespace.clone());
    let client = kube::Client::try_from(config).context("set up the Kubernetes client")?;
    let agents: Api<Agent> = Api::namespaced(client.clone(), &namespace);
    let name = &arguments.agent;
    let agent = agents
        .get(name)
        .await
        .with_context(|| format!("read the Agent {namespace}/{name}"))?;
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
