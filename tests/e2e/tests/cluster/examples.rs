//! The documented examples, applied unchanged, each in its own namespace, with a fake
//! model that answers from the example's fixtures.

pub(crate) mod approvals;
pub(crate) mod several_agents;
pub(crate) mod single_agent;
pub(crate) mod tools;

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use steadfast_e2e::backend::cluster::namespace::Namespace;
use steadfast_testkit::{
    FakeModel, FakeModelOptions,
    install::{self, Example},
    stack::{API_KEY, Client, Line, Task},
};

/// For the pods of several examples to start at once.
const PODS_TIMEOUT: Duration = Duration::from_mins(3);
/// The keys of the specialists in `handoffs`. All other agents have `API_KEY`.
const BILLING_KEY: &str = "sk-of-billing-alone";
const SPANISH_KEY: &str = "sk-of-spanish-support-alone";

/// An example whose agents are Ready.
struct RunningExample {
    namespace: Namespace,
    /// May talk to the agents and decide their approvals.
    client: Client,
    /// Runs until it is dropped.
    _model: FakeModel,
}

impl RunningExample {
    async fn start(namespace: Namespace, name: &str) -> anyhow::Result<Self> {
        let example = Example::named(name)?;
        let platform = namespace.platform();
        let model = platform.fake_model(FakeModelOptions::new(example.fixtures())).await?;
        install::apply_example(platform, namespace.name(), name).await?;
        // Only the address of the model differs from the example. The keys come last,
        // so that no agent is Ready before.
        let base_url = json!({"model": {"baseUrl": model.base_url()}});
        for agent in example.agents {
            namespace.patch_agent(agent, &base_url).await?;
        }
        install::set_model_keys(platform, namespace.name(), API_KEY).await?;
        for (secret, key) in [("billing-openai", BILLING_KEY), ("spanish-support-openai", SPANISH_KEY)] {
            install::set_model_key_in(platform, namespace.name(), secret, key).await?;
        }
        example
            .wait_until_ready(platform, namespace.name(), PODS_TIMEOUT)
            .await?;
        let first = example.agents.first().context("find an agent of the example")?;
        let client = namespace.approver(first).await?;
        Ok(Self {
            namespace,
            client,
            _model: model,
        })
    }

    /// Creates a task of an agent.
    async fn task(&self, agent: &str) -> anyhow::Result<Task> {
        self.client.task(&self.namespace.public_name(agent)).await
    }

    /// Sends one message in a new task, and returns the task's messages after its turn.
    async fn ask(&self, agent: &str, message: &str) -> Vec<Line> {
        let task = self.task(agent).await.unwrap();
        task.complete_turn(1, message).await.unwrap();
        task.lines().await.unwrap()
    }

    /// The log of a Deployment's pod.
    async fn log(&self, deployment: &str) -> String {
        let deployment = format!("deployment/{deployment}");
        self.namespace.kubectl(&["logs", &deployment]).await.unwrap()
    }
}

/// The content of the only response of a tool, and whether it is an error.
fn tool_response<'a>(tool: &str, lines: &'a [Line]) -> (&'a Value, bool) {
    let mut responses = lines.iter().filter_map(|line| match line {
        Line::ToolResponse {
            name,
            content,
            is_error,
        } if name == tool => Some((content, *is_error)),
        _ => None,
    });
    let response = responses.next().expect("the tool has responded");
    assert_eq!(responses.next(), None, "{tool} has responded twice");
    response
}
