//! The stack as a backend, and the stack that most tests share.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use steadfast_contract::signals::{ReceiveEvent, SIGNAL_CHECKPOINT, SIGNAL_RECEIVE_EVENT};
use steadfast_events::{Content, TextFormat};
use steadfast_testkit::{
    process::ProcessId,
    scripted_model::ScriptedModel,
    stack::{Agent, AgentSetup, PythonWorker, Stack, TIMEOUT, Task, activity_tool, example},
    wait,
};
use tokio::sync::OnceCell;

use super::{AgentOptions, Backend, BackendAgent, GatewayAccess, Script};

/// The task queue of the activities in `python/tools.py`.
pub const TOOLS: &str = "test-tools";
/// The task queue of the worker in `examples/weather`.
const WEATHER_TOOLS: &str = "weather-tools";

struct Shared {
    stack: Stack,
    _weather: PythonWorker,
    _tools: PythonWorker,
}

/// The stack that most tests share, with the Python workers for tools. It ends with
/// the process.
pub async fn shared_stack() -> &'static Stack {
    static SHARED: OnceCell<Shared> = OnceCell::const_new();
    let shared = SHARED.get_or_init(async || {
        let stack = Stack::start().await.unwrap();
        let weather = stack.python_worker(&example("weather/worker/worker.py"), &[]).unwrap();
        let tools = tools_worker(&stack);
        Shared {
            stack,
            _weather: weather,
            _tools: tools,
        }
    });
    &shared.await.stack
}

/// A worker for the activities in `python/tools.py`.
pub fn tools_worker(stack: &Stack) -> PythonWorker {
    stack
        .python_worker(&python("tools.py"), &[("TASK_QUEUE", TOOLS)])
        .unwrap()
}

/// The spec of the tool `nonce`: it returns its argument and a value that is new in each call.
pub fn nonce_tool() -> Value {
    activity_tool("nonce", TOOLS, &json!({"of": {"type": "string"}}))
}

/// The same, which runs after somebody has approved the call.
pub fn guarded_nonce_tool() -> Value {
    let mut tool = nonce_tool();
    tool["approval"] = json!({"required": true});
    tool
}

/// The path of a Python script of these suites.
pub fn python(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name)
}

/// The path of a script for Node.js of these suites.
pub fn node(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("node").join(name)
}

/// The number of runs of a task so far.
pub async fn runs(stack: &Stack, task: &Task) -> anyhow::Result<usize> {
    let query = format!("WorkflowId = '{}'", task.id());
    let arguments = ["workflow", "list", "--output", "json", "--query", &query];
    let listed: Vec<Value> = serde_json::from_str(&stack.temporal().cli(&arguments).await?)?;
    Ok(listed.len())
}

/// Sends a message to a task without the gateway, as another program could.
pub async fn signal_message(stack: &Stack, task: &Task, id: &str, text: &str) {
    let message = ReceiveEvent {
        message_id: id.to_owned(),
        idempotency_key: None,
        content: Content::text(text, TextFormat::Plain),
        sender: String::new(),
    };
    let input = serde_json::to_string(&message).unwrap();
    stack
        .temporal()
        .signal(task.id(), SIGNAL_RECEIVE_EVENT, Some(&input))
        .await
        .unwrap();
}

/// Makes a task continue as new. It has this many runs then.
pub async fn continue_as_new(stack: &Stack, task: &Task, count: usize) {
    stack
        .temporal()
        .signal(task.id(), SIGNAL_CHECKPOINT, None)
        .await
        .unwrap();
    wait::until("another run", TIMEOUT, async || {
        let runs = runs(stack, task).await?;
        anyhow::ensure!(runs == count, "there are {runs} runs");
        Ok(())
    })
    .await
    .unwrap();
}

/// An agent of this name on the shared stack.
pub struct StackBackend {
    agent: &'static str,
}

impl StackBackend {
    /// The name must be unique in the suite.
    pub fn new(agent: &'static str) -> Self {
        Self { agent }
    }
}

impl Backend for StackBackend {
    type Agent = StackAgent;

    async fn start_agent(&self, options: AgentOptions) -> anyhow::Result<StackAgent> {
        let stack = shared_stack().await;
        let setup = AgentSetup::new(self.agent, options.script)
            .workers(options.workers)
            .configure(move |spec| options.instructions.clone_into(&mut spec.instructions));
        let agent = stack.agent(setup).await?;
        Ok(StackAgent { stack, agent })
    }

    async fn start_weather_agent(&self, script: Script) -> anyhow::Result<StackAgent> {
        let stack = shared_stack().await;
        let properties = json!({"city": {"type": "string"}});
        let setup = AgentSetup::new("weather", script)
            .tool("get_weather", activity_tool("get_weather", WEATHER_TOOLS, &properties));
        let agent = stack.agent(setup).await?;
        Ok(StackAgent { stack, agent })
    }
}

/// A scenario's agent on the shared stack.
pub struct StackAgent {
    stack: &'static Stack,
    agent: Agent,
}

impl BackendAgent for StackAgent {
    fn model(&self) -> &ScriptedModel {
        self.agent.model()
    }

    async fn task(&self) -> anyhow::Result<Task> {
        self.agent.task().await
    }

    async fn access(&self) -> anyhow::Result<GatewayAccess> {
        Ok(GatewayAccess {
            url: self.stack.url(),
            token: None,
        })
    }

    async fn worker_processes(&self) -> anyhow::Result<Vec<ProcessId>> {
        let workers = self.agent.workers().iter();
        Ok(workers.filter_map(|worker| worker.service().process()).collect())
    }

    /// Starts the killed worker again, as Kubernetes does.
    async fn replace_killed_worker(&self, killed: ProcessId) -> anyhow::Result<()> {
        for worker in self.agent.workers() {
            if worker.service().process() == Some(killed) {
                worker.launch().await?;
            }
        }
        Ok(())
    }

    async fn set_instructions(&self, instructions: &str) -> anyhow::Result<()> {
        self.agent.edit(|spec| instructions.clone_into(&mut spec.instructions))
    }
}
