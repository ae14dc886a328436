//! The verbs that scenarios need of a running Steadfast.

pub mod cluster;
pub mod stack;

use anyhow::Context as _;
use steadfast_testkit::{
    process::ProcessId,
    scripted_model::{ModelRequest, Reply, ScriptedModel},
    stack::Task,
};

/// The script of a model: its reply to each request.
pub type Script = Box<dyn Fn(&ModelRequest) -> Reply + Send + Sync>;

/// The settings of a scenario's agent.
pub struct AgentOptions {
    pub instructions: &'static str,
    pub workers: usize,
    pub script: Script,
}

impl AgentOptions {
    /// One worker.
    pub fn new(script: impl Fn(&ModelRequest) -> Reply + Send + Sync + 'static) -> Self {
        Self {
            instructions: "You are a test.",
            workers: 1,
            script: Box::new(script),
        }
    }
}

/// A running Steadfast with room for one agent of a scenario.
pub trait Backend {
    type Agent: BackendAgent;

    /// Starts an agent. Returns when it is ready.
    fn start_agent(&self, options: AgentOptions) -> impl Future<Output = anyhow::Result<Self::Agent>>;

    /// Starts the agent `weather` of the documented example, with its tool.
    fn start_weather_agent(&self, script: Script) -> impl Future<Output = anyhow::Result<Self::Agent>>;
}

/// A running agent of a scenario.
pub trait BackendAgent {
    /// The model that the workers call.
    fn model(&self) -> &ScriptedModel;

    /// Creates a task.
    fn task(&self) -> impl Future<Output = anyhow::Result<Task>>;

    /// The address of the gateway and the credentials for it.
    fn access(&self) -> impl Future<Output = anyhow::Result<GatewayAccess>>;

    /// The processes of all workers.
    fn worker_processes(&self) -> impl Future<Output = anyhow::Result<Vec<ProcessId>>>;

    /// Waits until another process has replaced a killed worker.
    fn replace_killed_worker(&self, killed: ProcessId) -> impl Future<Output = anyhow::Result<()>>;

    /// Edits the agent's instructions. Returns when the next message gets them.
    fn set_instructions(&self, instructions: &str) -> impl Future<Output = anyhow::Result<()>>;
}

/// How a client reaches the gateway.
#[derive(Clone, Debug)]
pub struct GatewayAccess {
    /// `http://<address>:<port>`.
    pub url: String,
    /// The bearer token, if the gateway requires one.
    pub token: Option<String>,
}

/// The worker process that streams a response of the model: the one with a connection to it.
pub async fn streaming_worker(agent: &impl BackendAgent) -> anyhow::Result<ProcessId> {
    let port = agent.model().port();
    for process in agent.worker_processes().await? {
        if process.is_connected_to(port)? {
            return Ok(process);
        }
    }
    None.context("find the worker with a connection to the model")
}
